"""What ``test_sharding.py`` runs in two processes: whole trainings of divided nets, and shards of odd shapes."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

import lamina
import lamina.runs.training
from lamina.options.recipe import Recipe
from lamina.training.checkpoints import Checkpoints
from lamina.training.events import StepDone
from lamina.training.launching import disband, launched

SMALL = {"layers": 2, "width": 16, "heads": 2, "context": 12, "dropout": 0.0, "attention_dropout": 0.0}
COMMON = {"precision": "fp64", "accelerator": "cpu", "lr": 0.01, "clip": 1.0, "strategy": "fsdp"}
TEXT = {"batch_size": 8, "epochs": 2, "checkpoint_every": 2, "ema": 0.9, "accumulate": 2, "weight_decay": 0.1}
CASES: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    # the average, weight decay by groups, clipping and accumulation
    "gpt2": ("gpt2", "book.txt", {**TEXT, "optimizer": "adamw", "decay_norm_and_bias": False}, SMALL),
    # batch norm, whose batch is the global one, with activation checkpointing; validation in batches of unequal number
    "resnet18": (
        "resnet18",
        "digits",
        {"batch_size": 64, "steps": 6, "optimizer": "sgd", "lr": 0.05, "checkpoint_every": 3, "checkpointing": True},
        {"widths": (4, 4, 8, 8), "stem": "small", "image_size": 8},
    ),
    # a decoder whose keys and values are computed outside its blocks; unequal shares of tokens
    "transformer": (
        "transformer-small",
        "territories",
        {"batch_size": 32, "steps": 4, "optimizer": "rmsprop", "lr": 0.001},
        {"width": 8, "hidden": 8, "layers": 1, "heads": 2, "dropout": 0.0},
    ),
    "bf16": ("gpt2", "book.txt", {"batch_size": 8, "steps": 4, "optimizer": "sgd", "precision": "bf16"}, SMALL),
}
STOP = 5
"""the step after which a training is interrupted"""


def options(case: str, folder: Path, devices: int, name: str) -> dict[str, Any]:
    """Arguments of ``lamina.train``."""
    model, data, recipe, own = CASES[case]
    place = str(folder / data) if "." in data else data
    given = {"model": model, "data": place, "name": name, "directory": folder, "model_options": own, "report": False}
    return {**given, **COMMON, **recipe, "devices": devices}


def interrupted(case: str, folder: Path, devices: int, name: str) -> None:
    """A training that is closed after step ``STOP``: what it saved stands."""
    given = options(case, folder, devices, name)
    model, directory, own = given.pop("model"), given.pop("directory"), given.pop("model_options")
    given.pop("report")
    training = lamina.prepare(model, {**given, "model": own}, name=given.pop("name"), directory=directory, fitted=False)
    for event in training.events():
        if isinstance(event, StepDone) and event.step == STOP:
            break


def odd_shapes(folder: Path, fabric: Fabric) -> None:
    """Rows that do not divide among the processes, fewer rows than processes, several types."""
    mesh = init_device_mesh("cpu", (2,))
    tensors = {
        name: distribute_tensor(tensor, mesh, [Shard(0)])
        for name, tensor in {
            "one row": torch.arange(3.0)[None],
            "five": torch.arange(5, dtype=torch.float64),
            "half": torch.ones(4, 2, dtype=torch.bfloat16),
        }.items()
    }
    state = {"format": 1, "list": [tensors["five"], 7], "nested": {3: tensors, "plain": torch.ones(2)}}
    Checkpoints(folder / "odd").save_shards(4, state, fabric.global_rank)


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    fabric = launched(Recipe(devices=2, strategy="fsdp", accelerator="cpu"))
    lamina.runs.training.launched = lambda recipe: fabric  # type: ignore[assignment]  # one group for all trainings
    lamina.runs.training.Training.disband = lambda self: fabric.barrier()  # type: ignore[method-assign]
    odd_shapes(folder, fabric)
    for case in CASES:
        lamina.train(**options(case, folder, 2, f"{case}-two"))
    interrupted("gpt2", folder, 2, "stopped")
    fabric.barrier()
    if fabric.is_global_zero:
        shutil.copytree(folder / "stopped", folder / "for one process")
    fabric.barrier()
    for name in ("stopped", "begun by one"):
        lamina.train(**options("gpt2", folder, 2, name), resume=True)
    disband()
