"""Weights of a file into a model: everything fits, or nothing is changed and one line says what does not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import lamina
from lamina.errors import DataError, LaminaError, UsageError
from lamina.weights import loading
from lamina.weights.layout import Layout
from lamina.weights.loading import load_weights


class Toy(nn.Module):
    """A stand-in for an architecture of ours."""

    def __init__(self, channels: int = 3, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.expand = nn.Linear(4, 8)
        self.gamma = nn.Parameter(torch.ones(8))
        self.head: nn.Module = nn.Linear(8, classes) if classes else nn.Identity()


def names(model: nn.Module) -> Iterator[tuple[str, str]]:
    yield "conv1", "stem"
    yield "bn1", "norm"
    yield "mlp.fc1", "expand"
    yield "layer_scale", "gamma"
    yield "fc", "head"


THEIRS = Layout(source="theirs", names=names, ignored=(r"(.*\.)?index",))
WITHOUT = Layout(source="without", names=lambda model: ())


@pytest.fixture(autouse=True)
def _layouts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "layouts_of", lambda model: (WITHOUT, THEIRS))


def theirs(classes: int = 10) -> dict[str, Tensor]:
    """A file of theirs, whose 1x1 convolution and scale have ones in their shapes, with old batch normalisation."""
    torch.manual_seed(1)
    shapes = {
        "conv1.weight": (4, 3, 3, 3), "conv1.bias": (4,),
        "bn1.weight": (4,), "bn1.bias": (4,), "bn1.running_mean": (4,), "bn1.running_var": (4,),
        "mlp.fc1.weight": (8, 4, 1, 1), "mlp.fc1.bias": (8,), "layer_scale": (8, 1, 1),
        "fc.weight": (classes, 8), "fc.bias": (classes,),
    }  # fmt: skip
    return {name: torch.randn(shape) for name, shape in shapes.items()} | {"mlp.index": torch.arange(3)}


def toy(channels: int = 3, classes: int = 10) -> Toy:
    torch.manual_seed(2)
    return Toy(channels, classes)


def written(folder: Path, tensors: dict[str, Tensor]) -> Path:
    torch.save(tensors, folder / "x.pth")
    return folder / "x.pth"


def refused(model: nn.Module, file: Path | Mapping[str, object], reset_head: bool = False) -> str:
    """What is said; the model is as before, to the bit."""
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(LaminaError) as caught:
        load_weights(model, file, reset_head=reset_head)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, UsageError | DataError)
    return str(caught.value)


def test_names_and_shapes_are_translated(tmp_path: Path) -> None:
    model, file = toy(), theirs()
    loaded = load_weights(model, written(tmp_path, file))
    ours = model.state_dict()
    for name in file.keys() - {"mlp.index"}:
        found = ours[THEIRS.translation(model).ours(name) or ""]
        assert torch.equal(found, file[name].reshape(found.shape)), name
    assert (loaded.source, loaded.count, loaded.unused) == ("theirs", 11, ("mlp.index",))
    assert loaded.kept == ("norm.num_batches_tracked",)
    assert str(loaded) == f"11 tensors of {tmp_path / 'x.pth'}, named as theirs names them"


def test_our_own_names_are_known_without_a_layout(tmp_path: Path) -> None:
    torch.manual_seed(3)
    begun = Toy()
    loaded = load_weights(model := toy(), written(tmp_path, begun.state_dict()))
    assert (loaded.source, loaded.kept, loaded.unused) == ("lamina", (), ())
    for name, tensor in begun.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor)


def test_another_class_count_needs_a_new_head(tmp_path: Path) -> None:
    file = theirs(1000)
    path = written(tmp_path, file)
    says = refused(model := toy(), path)
    assert says == (
        f"{path} has 1000 classes, the model 10: reset_head=True (--reset-head) loads the rest and keeps the "
        "model's new head"
    )
    head = {name: tensor.clone() for name, tensor in model.head.state_dict().items()}
    loaded = load_weights(model, path, reset_head=True)
    assert loaded.unused == ("fc.weight", "fc.bias", "mlp.index")
    assert loaded.kept == ("norm.num_batches_tracked", "head.weight", "head.bias")
    assert str(loaded).endswith("; the head is new")
    assert torch.equal(model.stem.weight, file["conv1.weight"])
    for name, tensor in model.head.state_dict().items():
        assert torch.equal(tensor, head[name])


def test_a_head_on_one_side_only(tmp_path: Path) -> None:
    path = written(tmp_path, {name: tensor for name, tensor in theirs().items() if not name.startswith("fc")})
    assert "has no output layer, the model has one: reset_head=True" in refused(toy(), path)
    assert load_weights(toy(), path, reset_head=True).count == 9
    path = written(tmp_path, theirs())
    assert "has an output layer, the model has none: reset_head=True" in refused(toy(classes=0), path)
    assert load_weights(toy(classes=0), path, reset_head=True).count == 9


def test_what_is_missing_unexpected_and_misshapen_is_listed(tmp_path: Path) -> None:
    file = theirs(7)
    del file["bn1.bias"]
    file |= {f"extra{i}": torch.ones(1) for i in range(7)} | {"mlp.fc1.bias": torch.ones(9)}
    assert refused(toy(), path := written(tmp_path, file)) == (
        f"{path} (names of theirs) does not fit this Toy: missing bn1.bias (here norm.bias); "
        "unexpected extra0, extra1, extra2, extra3, extra4 and 2 more; "
        "misshapen mlp.fc1.bias (here expand.bias) is 9, not 8, fc.weight (here head.weight) is 7 x 8, not 10 x 8, "
        "fc.bias (here head.bias) is 7, not 10"
    )
    assert "head" not in refused(toy(), path, reset_head=True)


def test_other_channels_are_named(tmp_path: Path) -> None:
    says = refused(toy(channels=1), written(tmp_path, theirs()))
    assert says.endswith("misshapen conv1.weight (here stem.weight) is 4 x 3 x 3 x 3, not 4 x 1 x 3 x 3")


def test_one_of_ours_is_not_named_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    twice = Layout(source="twice", names=lambda model: (*names(model), ("old", "stem"), ("old_fc", "head")))
    monkeypatch.setattr(loading, "layouts_of", lambda model: (twice,))
    file = {name: tensor for name, tensor in theirs().items() if name != "mlp.index"}
    assert refused(toy(), written(tmp_path, file | {"old.bias": torch.ones(4)})).endswith("Toy: unexpected old.bias")
    says = refused(toy(), written(tmp_path, file | {"old_fc.bias": torch.ones(10)}))
    assert "has another output layer than the model: reset_head=True" in says
    del file["fc.bias"]
    assert "has another output layer than the model: reset_head=True" in refused(toy(), written(tmp_path, file))


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    torch.manual_seed(0)
    file = lamina.create_model("lenet5").state_dict()
    says = refused(toy(), path := written(tmp_path, file))
    assert says.startswith(f"{path} does not fit this Toy: 1 of its 10 tensors do; it holds ")
    assert says.endswith("and 5 more")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floating_point_numbers_are_loaded_where_none_of_them_changes(dtype: torch.dtype, tmp_path: Path) -> None:
    file = {name: tensor.to(dtype) for name, tensor in theirs().items() if name != "mlp.index"}
    exact = {name: tensor.half().to(dtype) for name, tensor in file.items()}
    short = str(dtype).removeprefix("torch.")
    loaded = load_weights(model := toy(), written(tmp_path, exact))
    assert loaded.notes == (f"{short} numbers held exactly as float32",)
    assert torch.equal(model.stem.weight, exact["conv1.weight"].float())
    file = {name: (tensor.double() / 3).to(dtype) for name, tensor in theirs().items() if name != "mlp.index"}
    narrow = torch.float32 if dtype == torch.float64 else dtype
    wide = dtype if dtype == torch.float64 else torch.float32
    path = written(tmp_path, {name: (tensor.double() / 3).to(wide) for name, tensor in file.items()})
    there, here = (str(one).removeprefix("torch.") for one in (wide, narrow))
    expected = f"{path} holds {there} weights, the model {here}: convert the file with lamina convert --dtype {here}"
    assert refused(toy().to(narrow), path) == expected
    assert load_weights(toy().to(dtype), written(tmp_path, file)).notes == ()


def test_counters_of_another_dtype_are_counters(tmp_path: Path) -> None:
    for dtype in (torch.int32, torch.float32, torch.float16):
        counted = {"bn1.num_batches_tracked": torch.tensor(12).to(dtype)}
        load_weights(model := toy(), written(tmp_path, theirs() | counted))
        assert torch.equal(model.norm.num_batches_tracked, torch.tensor(12))  # type: ignore[arg-type]
    says = refused(toy(), written(tmp_path, theirs() | {"bn1.num_batches_tracked": torch.tensor(0.5)}))
    assert says.endswith("bn1.num_batches_tracked (here norm.num_batches_tracked) is float32, expected int64")


@pytest.mark.parametrize("dtype", [torch.int8, torch.complex64, torch.bool])
def test_numbers_that_are_no_weights_are_refused(dtype: torch.dtype, tmp_path: Path) -> None:
    torch.save(theirs() | {"mlp.fc1.bias": torch.ones(8, dtype=dtype)}, tmp_path / "x.pth")
    short = str(dtype).removeprefix("torch.")
    says = refused(toy(), tmp_path / "x.pth")
    assert says.endswith(f"mlp.fc1.bias (here expand.bias) is {short}, expected float32")


def test_a_model_without_numbers_is_refused(tmp_path: Path) -> None:
    with torch.device("meta"):
        model = Toy()
    with pytest.raises(UsageError, match="the model is on the meta device"):
        load_weights(model, written(tmp_path, theirs()))


def test_the_part_of_a_checkpoint_is_named(tmp_path: Path) -> None:
    torch.save({"state_dict": {f"module.{name}": tensor for name, tensor in theirs().items()}}, tmp_path / "x.pth")
    loaded = load_weights(toy(), tmp_path / "x.pth")
    assert loaded.part == "state_dict"
    assert "x.pth in its 'state_dict', named as theirs names them" in str(loaded)


def test_it_is_in_the_package(tmp_path: Path) -> None:
    assert lamina.load_weights is load_weights
    assert "load_weights" in dir(lamina)


def test_layouts_are_found_by_the_models_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    from lamina.weights.alexnet import LAYOUTS

    with torch.device("meta"):
        assert loading.layouts_of(lamina.create_model("lenet5")) == ()
        assert not loading.layouts_of(Toy())
    stranger = type("Net", (nn.Module,), {"__module__": "lamina.models.alexnet"})()
    assert loading.layouts_of(stranger) is LAYOUTS
