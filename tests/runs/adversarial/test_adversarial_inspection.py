"""Inspection of adversarial runs: nearest training samples, gradients of the critic, the page and the verb."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import lamina
from lamina.cli.main import main
from lamina.errors import UsageError

NET: dict[str, Any] = {
    "generator_widths": (8, 6), "discriminator_widths": (6, 8), "latent": 5, "discriminator_norm": "none",
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> lamina.Run:
    return lamina.train(
        "dcgan-16", data="digits", steps=30, batch_size=32, directory=tmp_path_factory.mktemp("runs"), name="gan",
        model_options=NET, objective={"name": "wasserstein-gp", "n_critic": 2},
    )  # fmt: skip


def pictures(run: lamina.Run, split: str) -> torch.Tensor:
    """All pictures of a split as the model sees them, (N, F)."""
    return torch.cat([batch["image"].flatten(1) for batch in run.batches(split)]).double()


def test_the_nearest_training_sample_is_the_nearest(run: lamina.Run) -> None:
    seen, train = run.inspect(), pictures(run, "train")
    made = run.task.sample(run.model, 30, run.config.recipe.seed).flatten(1).double()  # type: ignore[attr-defined]
    for i, value in enumerate(made):
        apart = (train - value).square().mean(1).sqrt()
        assert seen.distance_N[i].item() == pytest.approx(apart.min().item(), rel=1e-6)
        assert seen.nearest_N[i].item() == int(apart.argmin())
    test = pictures(run, "test")
    some = torch.linspace(0, len(test) - 1, 256).round().long()  # 256 of 359, evenly
    expected = torch.cdist(test[some], train).min(1).values / 16
    assert torch.allclose(seen.real_distance_N, expected, rtol=1e-5)


def test_a_generator_that_copies_is_found_out(run: lamina.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    train = torch.cat([batch["image"] for batch in run.batches("train")])

    def copied(model: Any, count: int, seed: int, label: int | None = None) -> torch.Tensor:
        return train[torch.arange(count) % 7 + 3]

    before = dict(run.inspection().predictions)["copies"]
    monkeypatch.setattr(run.task, "sample", copied)
    seen, found = run.inspect(), dict(run.inspection().predictions)
    assert seen.distance_N.abs().max() < 1e-6
    assert seen.nearest_N[:8].tolist() == [3, 4, 5, 6, 7, 8, 9, 3]
    assert found["copies"].startswith("100.0")
    assert before.startswith("0.0")


def test_gradients_of_the_critic_are_those_at_interpolates(run: lamina.Run) -> None:
    """Against finite differences along the gradient: the norm is a slope of the critic."""
    seen = run.inspect()
    assert seen.gradient_norm_ND.shape == (256, 1)
    critic: Any = run.model.discriminator
    x = torch.cat([batch["image"] for batch in run.batches("test")])[:5].requires_grad_()
    (slope,) = torch.autograd.grad(critic(x).sum(), x)
    norm = slope.flatten(1).norm(dim=1)
    step = 1e-2 * slope / norm[:, None, None, None]
    with torch.no_grad():
        rise = (critic(x + step) - critic(x - step))[:, 0] / 2e-2
    assert rise.tolist() == pytest.approx(norm.tolist(), rel=0.1)
    lowest, highest = seen.gradient_norm_ND.min().item(), seen.gradient_norm_ND.max().item()
    assert norm.min().item() / 3 < lowest <= highest < 3 * norm.max().item()


def test_without_held_out_data_a_sample_is_not_its_own_neighbour(tmp_path: Path) -> None:
    lines = ["a,b", *(f"{x},{y}" for x in range(10) for y in range(10))]
    (tmp_path / "grid.csv").write_text("\n".join(lines))
    run = lamina.train(
        "gan-toy", data=str(tmp_path / "grid.csv"), validation=0.0, test=0.0, steps=2, batch_size=20,
        directory=tmp_path, model_options={"generator_hidden": (4,), "discriminator_hidden": (4,)},
    )  # fmt: skip
    distances = run.inspect().real_distance_N
    step = 1 / np.std(list(range(10)) * 10)
    assert distances.tolist() == pytest.approx([step / 2**0.5] * 100, rel=1e-5)
    page = run.report().read_text(encoding="utf-8")
    assert "Nearest training samples" in page
    assert "real and 256 generated points" in page


def test_the_page_and_the_verb(run: lamina.Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = run.report().read_text(encoding="utf-8")
    for text in (
        "Balance of the players",
        "Gradients of the discriminator",
        "Nearest training samples",
        "holds it near",
    ):
        assert text in page
    assert main(["inspect", str(run.path), "--out", str(tmp_path / "seen"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"critic's gradient", "nearest training sample", "copies"} <= set(found["predictions"])
    assert [Path(file).name for file in found["files"]] == ["inspect.html", "nearest.png"]
    assert Image.open(tmp_path / "seen" / "nearest.png").width > 500
    html = (tmp_path / "seen" / "inspect.html").read_text(encoding="utf-8")
    assert "Losses of the players over training" in html
    assert main(["inspect", str(run.path), "--text", "a"]) == 2
    assert "is inspected as it is" in capsys.readouterr().err
    with pytest.raises(UsageError, match="stage is for models that predict classes"):
        run.inspect(stage=1)


def test_other_runs_still_need_an_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = lamina.train("mlp", data="digits", steps=1, directory=tmp_path, report=False, model_options={"hidden": (4,)})
    assert main(["inspect", str(run.path)]) == 2
    assert "nothing to inspect: give --image FILE or --text TEXT" in capsys.readouterr().err
