"""Files that take pictures as they are: uint8 of any size in, the run's own prediction out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lamina.cli.main import main
from lamina.data.image.preprocess import ImagePreprocess
from lamina.data.targets.code import TargetCode
from lamina.errors import UsageError
from lamina.runs.run import Run

SIZES = ((20, 24), (32, 32), (9, 70), (150, 31), (64, 64), (1, 1), (400, 333))


def preprocess(**options: Any) -> ImagePreprocess:
    target = TargetCode(task="classification", classes=("a", "b"))
    given = {"channels": 3, "height": 28, "width": 20, "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.4), **options}
    return ImagePreprocess(target=target, **given)


@pytest.mark.parametrize(
    "options",
    [{"resize": "stretch"}, {"resize": "pad"}, {"resize": "crop"}, {"resize": "crop", "height": 20, "crop": 26}],
)
def test_the_operations_prepare_to_the_bit(options: dict[str, Any]) -> None:
    own = preprocess(**options)
    module, draw = own.as_module(), np.random.default_rng(0)
    for height, width in SIZES:
        picture = draw.integers(0, 256, (height, width, 3), dtype=np.uint8)
        picture[: height // 2] = picture[: height // 2] // 128 * 255  # flat areas and edges
        (wanted,) = own.input_batches(picture)
        got = module(torch.from_numpy(picture)[None])
        off = ((got - wanted["image"]).abs() * torch.tensor([0.2, 0.3, 0.4]).view(3, 1, 1) * 255).round()
        assert off.max() <= 1, (height, width)
        assert (off > 0).float().mean() < 0.001, (height, width)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "float32"}, "is for images of bytes, but these are stored as float32"),
        ({"dtype": "int32", "value_range": (0.0, 65535.0)}, "stored as int32"),
        ({"binarise": "always"}, "cannot make images black and white"),
    ],
)
def test_preprocessing_that_a_graph_does_not_hold_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        preprocess(**options).as_module()


@pytest.fixture(scope="module")
def whole(digits: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnxscript")
    done = digits.export("onnx", tmp_path_factory.mktemp("whole") / "whole.onnx", with_preprocessing=True)
    assert [str(one) for one in done.facts.inputs] == ["picture, uint8, batch x height x width x 1"]
    assert done.difference < 1e-4
    return done.path


def test_pictures_in_classes_out(engines: None, digits: Run, whole: Path) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(whole), providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    assert (given.name, given.type, given.shape) == ("picture", "tensor(uint8)", ["batch", "height", "width", 1])
    draw = np.random.default_rng(1)
    for height, width in SIZES:
        pictures = draw.integers(0, 256, (3, height, width, 1), dtype=np.uint8)
        classes, probabilities = session.run(["class", "probabilities"], {"picture": pictures})
        for picture, number, shares in zip(pictures, classes, probabilities, strict=True):
            (wanted,) = digits.predict(picture)
            assert digits.classes[number] == wanted["class"]
            assert list(shares) == pytest.approx(list(wanted["probabilities"].values()), abs=2e-3)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_predict_gives_the_file_the_picture(
    engines: None, digits: Run, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], engine: str
) -> None:
    """Colour, grey, and of several sizes in one call: decoded and brought to the run's channels, nothing more."""
    draw = np.random.default_rng(2)
    for number, shape in enumerate([(40, 33), (40, 33), (17, 90, 3)]):
        Image.fromarray(draw.integers(0, 256, shape, dtype=np.uint8)).save(tmp_path / f"{number}.png")
    found = []
    for model in ([whole, "--engine", engine], [digits.path]):
        capsys.readouterr()
        assert main(["predict", str(model[0]), str(tmp_path), *map(str, model[1:]), "--json"]) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert [one["class"] for one in found[0]] == [one["class"] for one in found[1]]
    for got, wanted in zip(*found, strict=True):
        assert got["probabilities"] == pytest.approx(wanted["probabilities"], abs=2e-3)
        assert "logits" not in got


def test_runs_of_other_data_and_models_are_refused(engines: None, iris: Run, digits: Run, plain: Path) -> None:
    with pytest.raises(UsageError, match=r"is for runs that predict from images, but .* with a table"):
        iris.export("onnx", plain / "m.onnx", with_preprocessing=True)
    with pytest.raises(UsageError, match="with_preprocessing and int8 exclude each other"):
        digits.export("onnx", plain / "m.onnx", with_preprocessing=True, int8=True)
    from lamina.export.options import ExportOptions
    from lamina.runs.views.export import export_variant

    with pytest.raises(UsageError, match="but lenet5 is a model: export a run of it"):
        export_variant("lenet5", "onnx", plain / "m.onnx", options=ExportOptions(with_preprocessing=True))
    assert not list(plain.iterdir())
