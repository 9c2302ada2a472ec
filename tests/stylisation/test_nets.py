"""Johnson's net and AdaIN: parity, counts, training, the verb of their runs, tiles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from style_reference import TransformerNet, picture

import lamina
from lamina.errors import UsageError
from lamina.models.adain import AdaIN, AdaINConfig
from lamina.models.johnson import Johnson, JohnsonConfig
from lamina.stylisation import memory
from lamina.stylisation.tiling import fixed_statistics, tiled


def test_johnson_is_pytorch_examples_net() -> None:
    reference = TransformerNet().double()
    with torch.no_grad():
        for weight in reference.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    ours = Johnson(JohnsonConfig(padding="layer", output="linear")).double()
    lamina.load_weights(ours, dict(reference.state_dict()))
    x = torch.randn(2, 3, 24, 36, dtype=torch.float64)
    torch.testing.assert_close(ours(x), reference(x), rtol=1e-10, atol=1e-10)


def test_counts() -> None:
    johnson = Johnson(JohnsonConfig())
    assert sum(p.numel() for name, p in johnson.named_parameters() if "norm" not in name) == 1_676_035
    adain = AdaIN(AdaINConfig())
    assert sum(p.numel() for p in adain.encoder.parameters()) == 3_505_728
    assert sum(p.numel() for p in adain.decoder.parameters()) == 3_505_219


def test_adain_gives_the_features_of_the_content_the_moments_of_the_style() -> None:
    model = AdaIN(AdaINConfig(widths=(3, 4, 5, 6), image_size=32)).double()
    content, style = torch.randn(2, 6, 5, 4).double(), 3 + torch.randn(2, 6, 3, 4).double()
    blended = model.blend(content, style)
    for got, wanted in zip(model.statistics(blended), model.statistics(style), strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(model.blend(content, content), content, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(model.blend(content, style, alpha=0.0), content)


JOHNSON: dict[str, Any] = {
    "steps": 8,
    "batch_size": 4,
    "lr": 0.003,
    "objective": {"features": "squeezenet-1.1", "style_size": 64},
    "model_options": {"width": 4, "image_size": 48},
    "report": False,
}


def test_a_style_is_learned_and_applied(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    style = (photos / "03.png").rename(tmp_path / "style.png")
    options = JOHNSON | {"objective": {**JOHNSON["objective"], "style": str(style)}, "steps": 40}
    run = lamina.train("johnson", data=str(photos), directory=tmp_path, **options)
    rows = (run.path / "metrics.csv").read_text().splitlines()
    names = rows[0].split(",")
    first, last = (dict(zip(names, row.split(","), strict=True)) for row in (rows[1], rows[-1]))
    column = next(name for name in names if "loss" in name and "validation" in name)
    assert float(last[column]) < 0.8 * float(first[column])
    made = run.style(photos / "00.png")
    assert made.shape == (50, 56, 3)
    again = lamina.open_run(run.path)
    assert np.array_equal(again.style(photos / "00.png"), made)
    evaluated = again.evaluate()
    style.unlink()  # the run has what it needs of it
    assert lamina.open_run(run.path).style(Image.fromarray(picture(0, 50, 56))).shape == (50, 56, 3)
    assert evaluated == lamina.open_run(run.path).evaluate()
    with pytest.raises(UsageError, match="one style"):
        run.style(photos / "00.png", photos / "01.png")
    with pytest.raises(UsageError, match="at least 44"):
        run.style(picture(0, 30, 90))
    # a picture that does not fit into memory is computed in tiles
    monkeypatch.setattr(memory, "available_bytes", lambda device: 0)
    assert np.array_equal(run.style(photos / "00.png"), made)


def test_a_run_resumes_to_the_bit(photos: Path, tmp_path: Path) -> None:
    options = JOHNSON | {"objective": {**JOHNSON["objective"], "style": str(photos / "03.png")}}
    whole = lamina.train("johnson", data=str(photos), directory=tmp_path, name="whole", **options)
    lamina.train("johnson", data=str(photos), directory=tmp_path, name="part", **options | {"steps": 4})
    part = lamina.train(name="part", directory=tmp_path, resume=True, steps=8, report=False)
    for name, weight in whole.model.state_dict().items():
        assert torch.equal(part.model.state_dict()[name], weight), name


def test_without_a_style(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--style PICTURE"):
        lamina.train("johnson", data=str(photos), directory=tmp_path, **JOHNSON)
    assert not list(tmp_path.glob("johnson*"))


def test_any_style(photos: Path, tmp_path: Path) -> None:
    small = {"widths": (4, 4, 6, 8), "image_size": 32}
    data = [str(photos), str(photos)]
    run = lamina.train(
        "adain", data=data, directory=tmp_path, steps=30, batch_size=4, lr=0.01, model_options=small, report=False
    )
    assert set(run.evaluate()) == {"loss", "content", "style"}
    content, style = photos / "00.png", photos / "01.png"
    assert not np.array_equal(run.style(content, style), run.style(content, photos / "02.png"))
    whole, none = run.style(content, style, alpha=1.0), run.style(content, style, alpha=0.0)
    assert whole.shape == (50, 56, 3)
    assert not np.array_equal(whole, none)
    assert np.array_equal(none, run.style(content, photos / "02.png", alpha=0.0))
    with pytest.raises(UsageError, match="any style"):
        run.style(content)
    with pytest.raises(UsageError, match="alpha"):
        run.style(content, style, alpha=1.5)


@pytest.mark.parametrize("padding", ["start", "layer"])
def test_tiles_equal_the_whole(padding: Any) -> None:
    model = Johnson(JohnsonConfig(width=3, padding=padding, blocks=2, image_size=64)).double()
    x = torch.randn(1, 3, 132, 200, dtype=torch.float64)
    with torch.no_grad():
        whole = model(x)
        with fixed_statistics(model, lambda: model(x)):
            parts = tiled(model, x, 64)
        torch.testing.assert_close(parts, whole, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(model(x), whole)  # and the statistics are its own again


def test_tiles_of_adain_equal_the_whole() -> None:
    model = AdaIN(AdaINConfig(widths=(3, 4, 5, 6), image_size=32)).double()
    x, style = torch.randn(1, 3, 136, 200, dtype=torch.float64), torch.randn(1, 3, 40, 40, dtype=torch.float64)
    with torch.no_grad():
        whole = model(x, style)
        with fixed_statistics(model, lambda: model(x, style)):
            parts = tiled(lambda part: model(part, style), x, 64)
    torch.testing.assert_close(parts, whole, rtol=1e-9, atol=1e-9)
