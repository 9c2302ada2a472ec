"""A file holds one player: the generator unless another is requested, compared with the model as every file is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

import lamina
from lamina.cli.main import main
from lamina.errors import UsageError
from lamina.export.onnx import OnnxModel, read_metadata
from lamina.runs.views.export import export_variant

TINY: dict[str, Any] = {"generator_widths": (8, 6), "discriminator_widths": (6, 8), "latent": 5, "classes": 2}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> lamina.Run:
    """Two steps of a conditional DCGAN."""
    pictures = np.random.default_rng(0).integers(0, 255, (40, 8, 8), dtype=np.uint8)
    return lamina.train(
        "dcgan-16", data=(pictures, np.arange(40) % 2), steps=2, batch_size=8, report=False, model_options=TINY,
        directory=tmp_path_factory.mktemp("players"),
    )  # fmt: skip


def session(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def test_the_generator_of_a_run_makes_the_pictures_of_the_run(run: lamina.Run) -> None:
    exported = run.export("onnx")
    assert exported.path == run.path / "exports" / "dcgan-16.onnx"
    assert exported.difference <= 1e-5
    assert [(one.name, one.shape) for one in exported.facts.inputs] == [("z", (5,)), ("label", ())]
    assert (exported.facts.player, exported.facts.outputs) == ("generator", ("samples",))
    generator: Any = run.model.generator  # type: ignore[union-attr]
    z, label = generator.draw(3, seed=1), np.array([1, 0, 1])
    (samples,) = session(exported.path).run(["samples"], {"z": z.numpy(), "label": label})
    with torch.no_grad():
        expected = generator(z, torch.from_numpy(label)).numpy()
    np.testing.assert_allclose(samples, expected, atol=1e-5)
    made = run.generate(count=1, seed=1, label=run.classes[1])[0][..., 0]
    assert np.abs((samples[0, 0] + 1) * 127.5 - made).max() <= 1
    with pytest.raises(UsageError, match="of a model that generates: use generate"):
        lamina.open_exported(exported.path)


def test_the_discriminator_is_another_file(run: lamina.Run) -> None:
    exported = run.export("onnx", player="discriminator")
    assert exported.path.name == "dcgan-16-discriminator.onnx"
    assert [(one.name, one.shape) for one in exported.facts.inputs] == [("image", (1, 16, 16)), ("label", ())]
    x, label = torch.rand(4, 1, 16, 16) * 2 - 1, torch.tensor([0, 1, 1, 0])
    logits = OnnxModel(exported.path)(x, label)
    with torch.no_grad():
        expected = run.model.discriminator(x, label)  # type: ignore[union-attr, operator]
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-4)
    assert read_metadata(exported.path)["player"] == '"discriminator"'


def test_info_lists_the_layers_of_conditional_players(run: lamina.Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(run.path)]) == 0
    printed = capsys.readouterr().out
    assert "generator.stages.0.0" in printed
    assert "discriminator.output" in printed


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["dcgan-16", "--player", "generatr"], "unknown player of dcgan-16 'generatr'; did you mean 'generator'"),
        (["lenet5", "--player", "generator"], "lenet5 is one model, without players"),
        (["gan-toy", "--player", "critic"], "unknown player of gan-toy 'critic'"),
    ],
)
def test_a_player_that_is_not_there(words: Sequence[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", *words, "--to", "torch"]) == 2
    assert reason in capsys.readouterr().err


def test_a_variant_by_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The weights of a file are those of both players, or of the one."""
    monkeypatch.chdir(tmp_path)
    model: Any = lamina.create_model("gan-toy")
    torch.save(model.generator.state_dict(), "one.pth")
    torch.save(model.state_dict(), "both.pth")
    z = torch.randn(6, 2)
    for file in ("one.pth", "both.pth"):
        assert main(["export", "gan-toy", "--to", "torch", "--weights", file]) == 0
        printed = capsys.readouterr().out
        assert "generator" in printed
        assert "z, float32, batch x 2" in printed
        made = torch.export.load(tmp_path / "gan-toy.pt2").module()(z)
        torch.testing.assert_close(made, model.generator(z), atol=1e-6, rtol=1e-5)
    assert main(["export", "gan-toy", "--to", "torch", "--player", "discriminator", "--weights", "both.pth"]) == 0
    judged = torch.export.load(tmp_path / "gan-toy-discriminator.pt2").module()(z)
    torch.testing.assert_close(judged, model.discriminator(z), atol=1e-6, rtol=1e-5)


def test_no_generator_no_default(tmp_path: Path) -> None:
    from lamina.runs.views.export import exported_player

    with pytest.raises(UsageError, match="has several players, and a file holds one: --player a or b"):
        exported_player("it", ("a", "b"), None)
    assert exported_player("it", ("a", "b"), "b") == "b"
    assert export_variant("gan-toy", "torch", tmp_path / "toy.pt2").facts.player == "generator"
