"""What is wrong is refused in one line, and nothing is written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lamina
from lamina.data.protocols import Input
from lamina.errors import ExportError, UsageError
from lamina.export.facts import ExportFacts
from lamina.export.verification import verify
from lamina.export.writing import write_export
from lamina.runs.run import Run

FACTS = ExportFacts(model="toy", inputs=(Input("features", "float32", (3,)),))


class Off(nn.Module):
    """Calculates one thing where torch.export looks, another elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.linear(x)
        return y * 1.01 if torch.compiler.is_exporting() else y


class Branches(nn.Module):
    """A branch on the values: torch.export cannot follow it."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 1 if float(x.sum()) > 0 else x - 1


def test_an_export_with_other_outputs_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "toy.pt2"
    path.write_bytes(b"what was there")
    with pytest.raises(
        ExportError, match=r"toy\.pt2 is not written: for a batch of 1 its outputs differ .* by 1\.0e-02"
    ):
        write_export(Off(), FACTS, "torch", path)
    assert [file.name for file in tmp_path.iterdir()] == ["toy.pt2"]
    assert path.read_bytes() == b"what was there"


def test_a_model_that_cannot_be_exported_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"^toy cannot be exported: "):
        write_export(Branches(), FACTS, "torch", tmp_path / "toy.pt2")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda x: torch.full((len(x), 2), float("nan")), "differ"),
        (lambda x: torch.zeros(len(x), 3), r"gives \(1, 3\), the model \(1, 2\)"),
        (lambda x: torch.zeros(1 // (2 - len(x)), 2), "fails for a batch of 2|differ"),
    ],
)
def test_verification_notices(wrong: Any, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        verify(wrong, nn.Linear(3, 2), FACTS, "toy.onnx")


def test_verification_tries_batches_above_one() -> None:
    model = nn.Linear(3, 2).eval()
    with pytest.raises(ExportError, match="batch of 5"):
        verify(lambda x: model(x) + (len(x) == 5), model, FACTS, "toy.onnx")
    assert verify(lambda x: model(x) * (1 + 5e-5), model, FACTS, "toy.onnx") == pytest.approx(5e-5, rel=0.02)


@pytest.mark.parametrize(("to", "library"), [("onnx", "onnxscript"), ("openvino", "openvino"), ("onnx", "onnxruntime")])
def test_a_missing_library_says_which_extra(
    iris: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str, library: str
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == library else object())
    with pytest.raises(UsageError, match=rf"^exporting to {to} needs {library}: pip install lamina\[export\]$"):
        iris.export(to, tmp_path / "x.onnx")
    if library != "onnxscript":
        with pytest.raises(UsageError, match=rf"'{library}' needs {library}: pip install lamina\[export\]"):
            iris.predict({}, engine=library)


def test_misspelt_names(iris: Run, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown export format 'onx'; did you mean 'onnx'"):
        iris.export("onx")
    with pytest.raises(UsageError, match="unknown engine 'openvinno'; did you mean 'openvino'"):
        iris.predict({}, engine="openvinno")
    with pytest.raises(UsageError, match=r"must end in \.pt2"):
        iris.export("torch", tmp_path / "iris.pth")
    with pytest.raises(UsageError, match="there is no folder"):
        iris.export("torch", tmp_path / "nowhere" / "iris.pt2")


@pytest.fixture(scope="module")
def whole(iris: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ONNX file of a run, weights and all."""
    return iris.export("onnx", tmp_path_factory.mktemp("whole") / "whole.onnx").path


@pytest.fixture
def kept_outside(engines: None, request: pytest.FixtureRequest, plain: Path) -> Any:
    """Writes m.onnx, its weights in another file, under the place that it is given."""
    import onnx

    whole = onnx.load(request.getfixturevalue("whole"))

    def write(place: str, name: str = "weights.bin") -> Path:
        onnx.save(whole, plain / "m.onnx", save_as_external_data=True, location=name, size_threshold=0)
        model = onnx.load(plain / "m.onnx", load_external_data=False)
        for tensor in model.graph.initializer:
            for entry in tensor.external_data:
                if entry.key == "location":
                    entry.value = place
        (plain / "m.onnx").write_bytes(model.SerializeToString())
        return plain / "m.onnx"

    return write


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
@pytest.mark.parametrize(
    "place", ["../weights.bin", "/etc/hostname", "a/../../weights.bin", "..\\weights.bin", "C:\\w"]
)
def test_weights_outside_the_folder_are_refused(kept_outside: Any, place: str, engine: str) -> None:
    path = kept_outside(place)
    with pytest.raises(ExportError, match=r"m\.onnx is refused: tensor '.+' lies outside its folder, in '") as refused:
        lamina.open_exported(path, engine)
    assert place in str(refused.value)


def test_weights_behind_a_link_are_refused(kept_outside: Any, plain: Path) -> None:
    path = kept_outside("weights.bin")
    assert lamina.open_exported(path).facts.model == "mlp"
    (plain / "weights.bin").rename(plain.parent / "elsewhere.bin")
    with pytest.raises(ExportError, match=r"the file 'weights\.bin' with tensor '.+' is missing"):
        lamina.open_exported(path)
    os.symlink(plain.parent / "elsewhere.bin", plain / "weights.bin")
    with pytest.raises(ExportError, match="lies outside its folder"):
        lamina.open_exported(path)


def test_weights_in_a_folder_below_are_taken(kept_outside: Any, plain: Path) -> None:
    path = kept_outside("below/weights.bin")
    (plain / "below").mkdir()
    (plain / "weights.bin").rename(plain / "below" / "weights.bin")
    assert lamina.open_exported(path).facts.model == "mlp"


def test_a_tensor_hidden_in_an_attribute_is_found(engines: None, plain: Path) -> None:
    import onnx

    from lamina.export.onnx import read_metadata

    hidden = onnx.TensorProto(name="secret", data_type=1, dims=[1], data_location=onnx.TensorProto.EXTERNAL)
    hidden.external_data.add(key="location", value="/etc/passwd")
    inner = onnx.helper.make_graph([onnx.helper.make_node("Constant", [], ["c"], value=hidden)], "inner", [], [])
    node = onnx.helper.make_node("If", ["x"], ["y"], then_branch=inner, else_branch=inner)
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "outer", [], []))
    (plain / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ExportError, match="tensor 'secret' lies outside its folder, in '/etc/passwd'"):
        read_metadata(plain / "m.onnx")


def test_files_that_are_not_exports(engines: None, plain: Path) -> None:
    import onnx

    (plain / "text.onnx").write_text("hello")
    with pytest.raises(ExportError, match=r"text\.onnx is not an ONNX file"):
        lamina.open_exported(plain / "text.onnx")
    (plain / "text.xml").write_text("hello")
    with pytest.raises(ExportError, match=r"text\.xml cannot be opened"):
        lamina.open_exported(plain / "text.xml")
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([], "g", [], [])), plain / "foreign.onnx")
    with pytest.raises(ExportError, match="it was not exported by lamina"):
        lamina.open_exported(plain / "foreign.onnx")
    with pytest.raises(UsageError, match="no such file"):
        lamina.open_exported(plain / "none.onnx")


def test_a_variant_has_no_preprocessing_to_predict_with(engines: None, plain: Path) -> None:
    from lamina.runs.views.export import export_variant

    done = export_variant("mlp", "onnx", plain / "mlp.onnx")
    with pytest.raises(ExportError, match="was exported from mlp alone"):
        lamina.open_exported(done.path)
