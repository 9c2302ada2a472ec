"""``lamina export`` and ``lamina predict`` with exported files and engines."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lamina.cli.main import main
from lamina.runs.run import Run


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def called(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    capsys.readouterr()
    status = main([str(word) for word in words])
    return status, *capsys.readouterr()


def test_export_then_predict_from_the_file(
    engines: None, digits: Run, tmp_path: Path, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = called(capsys, "export", digits.path, "--to", "onnx", "--out", tmp_path / "d.onnx")
    assert (status, err) == (0, "")
    assert str(tmp_path / "d.onnx") in out
    assert "batch x 1 x 32 x 32" in out
    assert "verified" in out
    (wanted,) = digits.predict(photo)
    for words in (
        [tmp_path / "d.onnx", photo],
        [tmp_path / "d.onnx", photo, "--engine", "openvino"],
        [digits.path, photo, "--engine", "onnxruntime"],
        [digits.path, photo, "--engine", "torch"],
    ):
        status, out, err = called(capsys, "predict", *words, "--json")
        assert (status, err) == (0, "")
        (said,) = json.loads(out)
        assert said["class"] == wanted["class"]
        assert said["probabilities"] == pytest.approx(wanted["probabilities"], abs=1e-4)


def test_a_model_is_exported_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, _ = called(capsys, "export", "lenet-5", "--to", "torch", "--json")
    assert status == 0
    said = json.loads(out)
    assert Path(said["path"]).resolve() == tmp_path.resolve() / "lenet5.pt2"
    assert said["facts"]["inputs"][0]["shape"] == [1, 32, 32]
    assert [file.name for file in tmp_path.iterdir()] == ["lenet5.pt2"]


def test_bad_input_has_one_line(digits: Run, tmp_path: Path, photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.pt2").write_bytes(b"")
    for words, message in (
        (("export", digits.path), "--to missing"),
        (("export", digits.path, "--to", "onxx"), "unknown export format 'onxx'; did you mean 'onnx'?"),
        (("export", "lenett5", "--to", "torch"), "did you mean 'lenet5'?"),
        (("export", digits.path, "--to", "torch", "--weights", "w"), "--weights is for a model"),
        (("export", digits.path, "--to", "torch", "--out", tmp_path / "d.onnx"), "must end in .pt2"),
        (("predict", digits.path, photo, "--engine", "onnxrt"), "unknown engine 'onnxrt'; did you mean 'onnxruntime'?"),
        (("predict", photo, photo), "is neither a run nor an exported file"),
        (("predict", tmp_path / "x.pt2", photo), "runs whatever code it holds"),
    ):
        status, out, err = called(capsys, *words)
        assert status == 2, words
        assert out == ""
        assert message in err
        assert err.count("\n") == 1
