"""Every layout of every architecture: its names are one to one with ours, and a file in it loads to the bit."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import lamina.models
from lamina import registry
from lamina.cards import Variant
from lamina.errors import UsageError
from lamina.weights.layout import Layout
from lamina.weights.loading import layouts_of, load_weights


def variants() -> Iterator[tuple[str, Variant]]:
    for info in pkgutil.iter_modules(lamina.models.__path__):
        yield from importlib.import_module(f"lamina.models.{info.name}").VARIANTS.items()


def model_of(row: Variant, **options: object) -> nn.Module:
    return registry.build(row, registry.configure(row, {**row.small, **options}))


def cases() -> Iterator[object]:
    for name, row in variants():
        with torch.device("meta"):
            model = model_of(row)
        for layout in layouts_of(model):
            if list(layout.names(model)):
                yield pytest.param(row, layout, id=f"{name}-{layout.source.replace('/', '_')}")


CASES = list(cases())


def file_of(model: nn.Module, layout: Layout) -> dict[str, Tensor]:
    """The model's tensors under their names."""
    translation = layout.translation(model)
    tensors: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        theirs = translation.theirs(name)
        assert theirs is not None, f"{layout.source} has no name for {name}"
        assert translation.ours(theirs) == name, f"{theirs} is not only {name}"
        assert theirs not in tensors, f"{theirs} names two of our tensors"
        tensors[theirs] = tensor.clone()  # a file has no tensors that share memory
    return translation.transpose(tensors)


def test_there_are_layouts_to_test() -> None:
    assert len(CASES) >= 20


@pytest.mark.parametrize(("row", "layout"), CASES)
def test_names_are_one_to_one_and_a_file_loads_to_the_bit(row: Variant, layout: Layout, tmp_path: Path) -> None:
    with torch.device("meta"):
        model = model_of(row)
    pairs = list(layout.names(model))
    for side in zip(*pairs, strict=True):
        assert len(set(side)) == len(side), "a name stands twice"
    filled = model.to_empty(device="cpu")
    torch.manual_seed(4)
    for tensor in filled.state_dict().values():
        tensor.copy_(torch.randn(tensor.shape) if tensor.is_floating_point() else torch.tensor(3))
    save_file({name: t.contiguous() for name, t in file_of(filled, layout).items()}, tmp_path / "theirs.safetensors")
    fresh = model_of(row)
    loaded = load_weights(fresh, tmp_path / "theirs.safetensors")
    wanted = filled.state_dict()
    assert loaded.count == len(wanted)
    for name, tensor in fresh.state_dict().items():
        assert torch.equal(tensor, wanted[name]), name


@pytest.mark.parametrize(
    ("name", "row"),
    [pytest.param(name, row, id=name) for name, row in variants() if hasattr(row.config, "num_classes")],
)
def test_the_class_count_changes_the_head_alone(name: str, row: Variant, tmp_path: Path) -> None:
    """So that --reset-head means the same for every architecture."""
    if row.card.classes is not None:
        with pytest.raises(UsageError):
            model_of(row, num_classes=7)
        return
    save_file({n: t.contiguous() for n, t in model_of(row).state_dict().items()}, tmp_path / "x.safetensors")
    model = model_of(row, num_classes=7)
    with pytest.raises(UsageError, match=r"has \d+ classes, the model 7: reset_head=True"):
        load_weights(model, tmp_path / "x.safetensors")
    loaded = load_weights(model, tmp_path / "x.safetensors", reset_head=True)
    assert loaded.kept
    own = [kept.removeprefix("weights.") for kept in loaded.kept]  # of a supernet: the player that is trained
    assert all(kept.startswith("head") for kept in own)
