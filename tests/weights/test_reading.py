"""Files of weights: what is read, and what is refused in one line and never run."""

from __future__ import annotations

import argparse
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from lamina.errors import DataError, UsageError
from lamina.weights.entries import PARTS
from lamina.weights.reading import read_state_dict

WEIGHTS = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.tensor([1.5, -2.0]), "n": torch.tensor(7)}


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def expect_weights(tensors: dict[str, Tensor]) -> None:
    assert tensors.keys() == WEIGHTS.keys()
    for name, tensor in WEIGHTS.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor), name


@pytest.mark.parametrize("name", ["x.pth", "x.pt", "x.bin", "x.ckpt", "x.th", "old.pth", "x.safetensors"])
def test_every_kind_of_file_gives_the_same_tensors(name: str, tmp_path: Path) -> None:
    if name.endswith(".safetensors"):
        save_file(WEIGHTS, tmp_path / name)
    else:
        torch.save(WEIGHTS, tmp_path / name, _use_new_zipfile_serialization=name != "old.pth")
    state = read_state_dict(tmp_path / name)
    expect_weights(state.tensors)
    assert (state.path, state.part) == (tmp_path / name, None)


def test_a_folder_stands_for_its_model(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is a folder without a model\.safetensors"):
        read_state_dict(tmp_path)
    save_file(WEIGHTS, tmp_path / "model.safetensors")
    expect_weights(read_state_dict(str(tmp_path)).tensors)


@pytest.mark.parametrize("part", PARTS)
def test_the_weights_of_a_checkpoint_are_found(part: str, tmp_path: Path) -> None:
    torch.save({"epoch": 3, "optimizer": {"state": {0: 1}}, part: WEIGHTS, "best": 0.7}, tmp_path / "x.pth")
    state = read_state_dict(tmp_path / "x.pth")
    expect_weights(state.tensors)
    assert state.part == part


def test_averaged_weights_are_taken_before_others(tmp_path: Path) -> None:
    other = {name: tensor + 1 for name, tensor in WEIGHTS.items()}
    torch.save({"model": other, "model_ema": WEIGHTS}, tmp_path / "x.pth")
    state = read_state_dict(tmp_path / "x.pth")
    expect_weights(state.tensors)
    assert state.part == "model_ema"


@pytest.mark.parametrize("way", ["zip", "old", "protocol 4", "plain pickle"])
def test_a_file_with_code_is_refused_and_says_all_that_it_would_run(way: str, tmp_path: Path) -> None:
    content = {"model": WEIGHTS, "args": argparse.Namespace(lr=0.1), "z": Payload(tmp_path / "pwned")}
    if way == "plain pickle":
        with (tmp_path / "x.pth").open("wb") as file:
            pickle.dump({**content, "model": 1}, file)
    else:
        settings: dict[str, Any] = {"old": {"_use_new_zipfile_serialization": False}, "protocol 4": {}, "zip": {}}[way]
        torch.save(content, tmp_path / "x.pth", pickle_protocol=4 if way == "protocol 4" else 2, **settings)
    with pytest.raises(DataError, match=r"x\.pth is refused: reading it would run ") as caught:
        read_state_dict(tmp_path / "x.pth")
    assert "argparse.Namespace" in str(caught.value)
    assert "Path.touch" in str(caught.value) or "builtins.getattr" in str(caught.value).replace(
        "__builtin__", "builtins"
    )
    assert "torch." not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "pwned").exists()


def test_whole_modules_and_scalars_of_numpy_are_named(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "x.pth")
    with pytest.raises(DataError, match=r"would run torch\.nn\.modules\.linear\.Linear; a"):
        read_state_dict(tmp_path / "x.pth")
    torch.save({"model": WEIGHTS, "best": np.float64(0.5)}, tmp_path / "x.pth")
    with pytest.raises(DataError, match=r"would run numpy\._?core\.multiarray\.scalar, numpy\.dtype; a"):
        read_state_dict(tmp_path / "x.pth")


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_faulty_files_are_one_line(tmp_path: Path) -> None:
    torch.save(WEIGHTS, tmp_path / "whole.pth")
    whole = (tmp_path / "whole.pth").read_bytes()
    torch.save(WEIGHTS, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    save_file(WEIGHTS, tmp_path / "whole.safetensors")
    number = whole.index(torch.arange(6.0).numpy().tobytes()) + 5
    torch.save(WEIGHTS, tmp_path / "protocol.pth", pickle_protocol=4)
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({"epoch": 1, "model": {"a": 3}}, tmp_path / "plain.pth")
    torch.save({}, tmp_path / "none.pth")
    torch.jit.script(nn.Linear(2, 2)).save(str(tmp_path / "script.pt"))
    faults = {
        "empty.pth": (b"", "is empty"),
        "empty.safetensors": (b"", "is empty"),
        "junk.pth": (b"not weights at all", "is damaged, or not a weight file"),
        "junk.safetensors": (b"not weights at all", "is damaged, or not a safetensors file"),
        "cut.pth": (whole[:-40], "is damaged, or not a weight file"),
        "cut-old.pth": ((tmp_path / "old.pth").read_bytes()[:-9], "is damaged, or not a weight file"),
        "cut.safetensors": ((tmp_path / "whole.safetensors").read_bytes()[:-1], "is damaged"),
        "bit.pth": (whole[:number] + b"\x55" + whole[number + 1 :], "wrong checksum of"),
        "protocol.pth": (None, "a pickle that torch cannot read with weights_only"),
        "list.pth": (None, "holds no named weights, but a list"),
        "plain.pth": (None, "holds no named weights, but epoch, model"),
        "none.pth": (None, "holds no named weights, but nothing"),
        "script.pt": (None, "is a TorchScript archive, which holds code"),
    }
    for name, (content, says) in faults.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError) as caught:
            read_state_dict(tmp_path / name)
        assert says in str(caught.value), name
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match=r"no such file: .*missing\.pth"):
        read_state_dict(tmp_path / "missing.pth")
