"""Weights wrapped at random: they load to the bit, or one line says what differs; what holds code is never run."""

from __future__ import annotations

import json
import pickle
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn

import lamina
from lamina.errors import DataError, LaminaError, UsageError
from lamina.weights.entries import PARTS
from lamina.weights.layout import Layout
from lamina.weights.loading import OWN, layouts_of, load_weights

MODELS: dict[str, dict[str, Any]] = {
    "gpt2": {"vocab_size": 31, "context": 6, "layers": 1, "width": 8, "heads": 2},
    "efficientnet-b0": {
        "num_classes": 3, "widths": (8,) * 7, "stem_width": 8, "head_width": 8, "depths": (1,) * 7,
    },
    "resnet20": {"num_classes": 3, "widths": (2, 2, 2), "blocks": (1, 1, 1), "shortcut": "B"},
    "mlp": {"in_features": 3, "hidden": (4,), "num_classes": 3},
}  # fmt: skip
PREFIXES = ("module", "_orig_mod", "model", "net", "backbone", "encoder", "transformer", "stages", "head", "h", "0")
ENTRIES = (*PARTS, "generator", "my weights", "checkpoint")
EXACT = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
FAULTS = ("nothing", "nothing", "nothing", "missing", "unexpected", "misshapen", "inexact", "integers")
MEDIA = ("mapping", "zip", "old", "safetensors", "shards", "shards.bin")


@cache
def made(name: str) -> nn.Module:
    torch.manual_seed(1)
    model = lamina.create_model(name, **MODELS[name])
    for tensor in model.state_dict().values():  # numbers that every dtype holds, none twice the same
        numbers = torch.randint(-127, 128, tensor.shape)
        tensor.copy_(numbers / 64 if tensor.is_floating_point() else numbers.abs())
    return model


@cache
def layouts(name: str) -> tuple[Layout, ...]:
    return (OWN, *(layout for layout in layouts_of(made(name)) if list(layout.names(made(name)))))


def theirs(name: str, layout: Layout) -> dict[str, Tensor]:
    """The model's tensors in the names and orientation of a layout."""
    translation = layout.translation(made(name))
    found = {translation.theirs(own) or "": tensor.clone() for own, tensor in made(name).state_dict().items()}
    return {key: tensor.contiguous() for key, tensor in translation.transpose(found).items()}


def spoilt(tensors: dict[str, Tensor], name: str, fault: str) -> dict[str, Tensor]:
    tensor = tensors[name]
    if fault == "missing":
        return {key: value for key, value in tensors.items() if key != name}
    if fault == "unexpected":
        return {**tensors, "an.extra.weight": torch.ones(2)}
    change = {
        "misshapen": lambda: torch.cat([tensor.flatten(), torch.ones(3, dtype=tensor.dtype)]),
        "inexact": lambda: tensor.double() / 3 + 0.1,
        "integers": lambda: torch.ones(tensor.shape, dtype=torch.int16),
    }
    return {**tensors, name: change[fault]()} if fault in change else tensors


def written(content: Any, medium: str, folder: Path, tensors: Mapping[str, Tensor]) -> Any:
    """What is given to ``load_weights``."""
    if medium == "mapping":
        return content
    if medium in ("zip", "old"):
        torch.save(content, folder / "x.pth", _use_new_zipfile_serialization=medium == "zip")
        return folder / "x.pth"
    if medium == "safetensors":
        save_file(dict(tensors), folder / "model.safetensors")
        return folder
    stem = "model.safetensors" if medium == "shards" else "pytorch_model.bin"
    base, _, suffix = stem.partition(".")
    places = {name: f"{base}-{1 + i % 2:05}-of-00002.{suffix}" for i, name in enumerate(tensors)}
    for file in set(places.values()):
        held = {name: tensors[name] for name, place in places.items() if place == file}
        save_file(held, folder / file) if medium == "shards" else torch.save(held, folder / file)
    (folder / f"{stem}.index.json").write_text(json.dumps({"weight_map": places}))
    return folder


@settings(max_examples=300)
@given(data=st.data())
def test_weights_wrapped_at_random_load_to_the_bit_or_say_what_differs(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(MODELS)))
    layout = data.draw(st.sampled_from(layouts(name)))
    tensors = theirs(name, layout)
    dtype = data.draw(st.sampled_from(EXACT))
    tensors = {key: tensor.to(dtype) if tensor.is_floating_point() else tensor for key, tensor in tensors.items()}
    fault = data.draw(st.sampled_from(FAULTS))
    victim = data.draw(st.sampled_from([key for key, tensor in tensors.items() if tensor.is_floating_point()]))
    tensors = spoilt(tensors, victim, fault)
    if data.draw(st.booleans()) and name == "gpt2" and layout is not OWN:
        begin = "" if "h.0.ln_1.weight" in tensors or "h.0.ln_2.weight" in tensors else "transformer."
        tensors[f"{begin}h.0.attn.bias"] = torch.ones(1, 1, 6, 6)
    prefix = "".join(f"{part}." for part in data.draw(st.lists(st.sampled_from(PREFIXES), max_size=3)))
    tensors = {prefix + key: tensor for key, tensor in tensors.items()}
    if data.draw(st.booleans()):
        tensors["n_averaged"] = torch.tensor(3)
    medium = data.draw(st.sampled_from(MEDIA))
    content: Any = tensors
    path = data.draw(st.lists(st.sampled_from(ENTRIES), max_size=3)) if medium in ("mapping", "zip", "old") else []
    for part in reversed(path):
        content = {"epoch": 3, part: content, "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}}}
    torch.manual_seed(2)
    model = lamina.create_model(name, **MODELS[name])
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    with tempfile.TemporaryDirectory() as folder:
        weights = written(content, medium, Path(folder), tensors)
        loaded, said = None, ""
        try:
            loaded = load_weights(model, weights)
        except (UsageError, DataError) as error:
            said = str(error)
        if loaded is None:
            assert fault != "nothing", said
            assert "\n" not in said
            differs = {"unexpected": "an.extra.weight", "inexact": "lamina convert --dtype float32"}.get(fault, victim)
            head = " output layer" in said or " classes, the model " in said
            assert differs in said or head or " more" in said, said
            wanted = before
        else:
            assert fault == "nothing"
            assert loaded.part == (".".join(path) or None)
            assert dtype == torch.float32 or str(dtype).removeprefix("torch.") in str(loaded)
            wanted = made(name).state_dict()
        for key, tensor in model.state_dict().items():
            assert torch.equal(tensor, wanted[key]), key


@settings(max_examples=100)
@given(data=st.data())
def test_averaged_weights_come_before_raw_ones_and_each_can_be_chosen(data: st.DataObject) -> None:
    right, other = dict(made("mlp").state_dict()), {name: t + 1 for name, t in made("mlp").state_dict().items()}
    first, second = sorted(
        data.draw(st.lists(st.sampled_from(PARTS), min_size=2, max_size=2, unique=True)), key=PARTS.index
    )
    outer = data.draw(st.lists(st.sampled_from(PARTS), max_size=1))
    content: Any = dict(data.draw(st.permutations([(first, right), (second, other), ("step", 4)])))
    for part in outer:
        content = {part: content}
    for entry, wanted in ((None, right), (".".join([*outer, first]), right), (".".join([*outer, second]), other)):
        load_weights(model := lamina.create_model("mlp", **MODELS["mlp"]), content, entry=entry)
        for name, tensor in model.state_dict().items():
            assert torch.equal(tensor, wanted[name]), (entry, name)


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)

    def __hash__(self) -> int:
        return 1


WRAPS: dict[str, Any] = {
    "entry": lambda inner: {"epoch": 3, "state_dict": inner},
    "beside": lambda inner: {"model": dict(made("mlp").state_dict()), "args": inner},
    "within": lambda inner: {**made("mlp").state_dict(), "x": inner},
    "list": lambda inner: [1, inner],
    "tuple": lambda inner: (inner,),
    "optimizer": lambda inner: {"optimizer": {"state": {0: inner}}, "model": dict(made("mlp").state_dict())},
}


@settings(max_examples=100)
@given(
    wraps=st.lists(st.sampled_from(sorted(WRAPS)), max_size=4),
    way=st.sampled_from(["zip", "old", "protocol 4", "plain", "shard", "disguised"]),
    key=st.booleans(),
)
def test_code_at_any_depth_is_refused_unread(wraps: list[str], way: str, key: bool) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, path = Path(name), Path(name) / "x.pth"
        content: Any = {Payload(folder / "pwned"): 1} if key else Payload(folder / "pwned")
        for wrap in wraps:
            content = WRAPS[wrap](content)
        if way in ("plain", "disguised"):
            path = folder / ("x.pth" if way == "plain" else "x.safetensors")
            path.write_bytes(pickle.dumps(content))
        elif way == "shard":
            torch.save(content, folder / "a.bin")
            path = folder / "pytorch_model.bin.index.json"
            path.write_text('{"weight_map": {"a": "a.bin"}}')
        else:
            torch.save(
                content,
                path,
                pickle_protocol=4 if way == "protocol 4" else 2,
                _use_new_zipfile_serialization=way != "old",
            )
        with pytest.raises(LaminaError) as caught:
            load_weights(lamina.create_model("mlp", **MODELS["mlp"]), path)
        assert "is refused: reading it would run" in str(caught.value) or way == "disguised"
        assert "\n" not in str(caught.value)
        assert not (folder / "pwned").exists()
