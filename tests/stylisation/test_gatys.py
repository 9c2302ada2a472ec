"""Style transfer by optimisation: the losses fall, the seed decides, sizes and modes do not matter."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from style_reference import picture

import lamina
from lamina.errors import UsageError
from lamina.stylisation import memory
from lamina.stylisation.features import GATYS, feature_net
from lamina.stylisation.losses import gatys_content, gatys_style, gram
from lamina.stylisation.memory import optimisation_bytes

FAST: dict[str, Any] = {"features": "squeezenet-1.1", "size": 48, "steps": 40}
CONTENT, STYLE = picture(1, 40, 60), picture(2, 70, 50)


def test_both_losses_fall_from_noise() -> None:
    made = lamina.style(CONTENT, STYLE, **FAST)
    first, last = made.losses[0], made.losses[-1]
    assert len(made.losses) == 41
    assert last.style < 0.4 * first.style
    assert last.content < 0.4 * first.content
    assert made.picture.shape == (32, 48, 3)
    assert made.features == "squeezenet-1.1 with random weights (seed 0)"


def test_style_alone_falls_further() -> None:
    made = lamina.style(CONTENT, STYLE, content_weight=0, **FAST)
    assert made.losses[-1].style < 0.05 * made.losses[0].style
    assert made.losses[-1].content == 0


def test_the_first_losses_are_those_of_the_start() -> None:
    made = lamina.style(CONTENT, STYLE, start="content", **FAST | {"steps": 1})
    assert made.losses[0].content == 0
    net = feature_net("squeezenet-1.1")
    x, s = (torch.from_numpy(of).permute(2, 0, 1)[None] / 255 for of in (picture(1, 32, 48), picture(2, 48, 34)))
    layers = GATYS["squeezenet"]
    grams = {name: gram(of) for name, of in net(s, layers.style).items()}
    same = lamina.style(picture(1, 32, 48), picture(2, 48, 34), start="content", **FAST | {"steps": 1})
    assert same.losses[0].style == pytest.approx(float(gatys_style(net(x, layers.style), grams)), rel=1e-5)
    assert float(gatys_content(*[net(x, layers.content)["fire5"]] * 2)) == 0


def test_a_seed_gives_the_same_picture_and_another_one_another() -> None:
    one, again, other = (lamina.style(CONTENT, STYLE, seed=seed, **FAST | {"steps": 3}) for seed in (1, 1, 2))
    assert np.array_equal(one.picture, again.picture)
    assert not np.array_equal(one.picture, other.picture)


def test_lbfgs_and_average_pooling() -> None:
    made = lamina.style(CONTENT, STYLE, optimiser="lbfgs", pooling="average", **FAST)
    assert made.losses[-1].total < 0.2 * made.losses[0].total


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "CMYK"])
def test_pictures_of_any_mode(mode: str) -> None:
    content = Image.fromarray(CONTENT).convert(mode)
    made = lamina.style(content, STYLE, **FAST | {"steps": 1})
    assert made.picture.shape == (32, 48, 3)


def test_a_picture_too_large_names_the_size_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    net = feature_net("squeezenet-1.1")
    every = [*GATYS["squeezenet"].content, *GATYS["squeezenet"].style]
    needed = optimisation_bytes(net, lambda x: net(x, every), 200, 200)
    monkeypatch.setattr(memory, "available_bytes", lambda device: int(needed / memory.SHARE) + 1)
    big = picture(1, 400, 400)
    with pytest.raises(UsageError, match="--size") as refused:
        lamina.style(big, STYLE, **FAST | {"size": 400, "steps": 1})
    fits = int(str(refused.value).split("--size ")[1].split()[0])
    assert 150 <= fits <= 200
    assert lamina.style(big, STYLE, **FAST | {"size": fits, "steps": 1}).picture.shape[0] == fits


@pytest.mark.parametrize(
    "wrong",
    [{"steps": 0}, {"size": 5}, {"content_weight": 0, "style_weight": 0}, {"rate": -1.0}, {"features": "lenet5"}],
)
def test_options_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        lamina.style(CONTENT, STYLE, **FAST | wrong)


def test_the_command_line(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from lamina.cli.main import main

    pictures = [str(photos / "00.png"), str(photos / "01.png")]
    words = ["--features", "squeezenet-1.1", "--size", "48", "--steps", "2", "--json", "--out", str(tmp_path / "o.png")]
    assert main(["style", *pictures, *words]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["size"] == [43, 48]
    assert len(found["losses"]) == 3
    assert Image.open(tmp_path / "o.png").size == (48, 43)
    refused: Callable[..., int] = lambda *more: main(["style", *pictures, *more])  # noqa: E731
    assert refused("--out", str(tmp_path / "o.txt")) == 2
    assert refused("--out", str(tmp_path / "nowhere" / "o.png")) == 2
    assert main(["style", pictures[0], str(tmp_path / "missing.png")]) == 2
    assert main(["style", *pictures, pictures[0]]) == 2
