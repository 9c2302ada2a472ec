"""What is said before training: the plan, a short help, options of other tools; a run resumed or started; a rate found;
memory that runs out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import lamina as library
from lamina.errors import TrainingError
from lamina.training.loop import is_out_of_memory
from lamina.training.rates import suggested

Lamina = Callable[..., tuple[int, str, str]]
IRIS = ("train", "mlp", "--data", "iris", "--model.hidden", "4", "--batch-size", "16")


def test_a_dry_run_prints_a_plan_of_five_lines(lamina: Lamina, tmp_path: Path) -> None:
    status, out, _ = lamina(*IRIS, "--epochs", "4", "--dry-run")
    assert status == 0
    lines = out.splitlines()
    assert [line.split()[0] for line in lines[:5]] == ["model", "data", "input", "length", "device"]
    assert "mlp, 35 parameters" in lines[0]
    assert "4 epochs; an epoch is " in lines[3]
    assert "GiB of memory (from 3 steps)" in lines[4]
    assert len(lines) == 6
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(("side", "shrinks"), [(40, False), (129, True), (200, True)])
def test_the_plan_says_where_pictures_shrink(lamina: Lamina, side: int, shrinks: bool) -> None:
    for kind in ("cat", "dog"):
        Path("photos", kind).mkdir(parents=True)
        for i in range(4):
            Image.fromarray(np.full((side, side + i, 3), 40 * i, dtype=np.uint8)).save(f"photos/{kind}/{i}.png")
    words = ("train", "lenet5", "--data", "photos", "--batch-size", "2", "--dry-run")
    status, out, err = lamina(*words)
    assert status == 0, err
    line = out.splitlines()[2]
    assert f"from pictures of {side} x " in line
    assert ("details are lost" in line) is shrinks
    plan = json.loads(lamina(*words, "--json")[1])
    assert ("details are lost" in plan["input"]) is shrinks


def test_help_shows_common_options_and_help_all_the_rest(lamina: Lamina) -> None:
    for words in (("train",), ("train", "lenet5")):
        status, short, _ = lamina(*words, "--help")
        assert status == 0
        listed = [
            line for line in short.splitlines() if line.startswith(("  --", "  -h")) and "." not in line.split()[0]
        ]
        assert 10 <= len(listed) <= 16, listed
        assert "--help-all shows" in short
        assert "--layer-decay" not in short
        status, whole, _ = lamina(*words, "--help-all")
        assert status == 0
        assert "--layer-decay" in whole
        assert "--epochs" in whole
        assert len(whole) > 3 * len(short)
    assert "--model.activation" in whole


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--device", "gpu"), "--device gpu: write --accelerator cuda"),
        (("--device=cuda:0",), "--device cuda:0: write --accelerator cuda"),
        (("--device", "CPU"), "--device CPU: write --accelerator cpu"),
        (("--device",), "write --accelerator auto, cpu, cuda or mps"),
        (("--accelerator", "gpu"), "--accelerator gpu: write --accelerator cuda"),
        (("--pretrained",), "write --weights imagenet, which is timm/resnet18.a1_in1k of the hub"),
        (("--learning-rate", "0.1"), "the rate is --lr"),
        (("--gpus", "2"), "--devices N"),
        (("--lrr", "0.1"), "unknown option '--lrr'; did you mean '--lr'?"),
    ],
)
def test_options_of_other_tools_are_answered_with_ours(lamina: Lamina, words: tuple[str, ...], says: str) -> None:
    status, out, err = lamina("train", "resnet18", "--data", "digits", *words)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert says in err


def test_pretrained_of_a_model_without_published_weights(lamina: Lamina) -> None:
    assert "none are listed for lenet5" in lamina("train", "lenet5", "--data", "digits", "--pretrained")[2]
    assert "lamina info MODEL lists" in lamina("train", "--data", "digits", "--pretrained")[2]


def test_a_run_is_resumed_or_started(lamina: Lamina) -> None:
    words = (*IRIS, "--resume-or-start")
    assert lamina(*words, "--epochs", "1")[0] == 0
    assert len(library.open_run("runs/mlp-iris").history) == 1
    status, _, err = lamina(*words, "--epochs", "2")
    assert status == 0, err
    assert [path.name for path in Path("runs").iterdir()] == ["mlp-iris"]
    assert len(library.open_run("runs/mlp-iris").history) == 2
    assert lamina(*words, "--epochs", "2")[0] == 0, "finished: nothing to do"
    assert len(library.open_run("runs/mlp-iris").history) == 2
    named = ("train", "--config", "runs/mlp-iris/config.yaml", "--name", "other", "--resume-or-start")
    for _ in range(2):
        assert lamina(*named)[0] == 0
    assert sorted(path.name for path in Path("runs").iterdir()) == ["mlp-iris", "other"]
    status, _, err = lamina("train", "--config", "runs/mlp-iris/config.yaml", "--resume-or-start")
    assert (status, "needs the run's --name" in err) == (2, True)


def test_a_rate_is_found_plotted_and_used(lamina: Lamina) -> None:
    status, _, err = lamina(*IRIS, "--epochs", "1", "--lr", "find")
    assert status == 0, err
    run = library.open_run("runs/mlp-iris")
    assert 1e-6 < run.config.recipe.lr <= 1
    assert f"note: learning rate {run.config.recipe.lr:g}: of " in err
    assert Path("runs/mlp-iris/lr-find.png").read_bytes()[:4] == b"\x89PNG"
    status, _, err = lamina("train", "--name", "mlp-iris", "--resume", "--epochs", "2", "--lr", "find")
    assert (status, "one that is resumed keeps its rate" in err) == (2, True)
    status, _, err = lamina(*IRIS, "--epochs", "1", "--lr=find", "--dry-run")
    assert status == 0
    assert sorted(path.name for path in Path("runs").iterdir()) == ["mlp-iris"]


def test_the_suggested_rate_lies_below_the_lowest_loss() -> None:
    rates = [10 ** (k / 10 - 6) for k in range(61)]
    losses = [2.0 - 1.5 / (1 + np.exp(-(k - 30) / 3)) + (np.exp((k - 45) / 3) if k > 40 else 0) for k in range(61)]
    found = suggested(rates, losses)
    assert rates[20] < found < rates[int(np.argmin(losses))]


class Greedy(nn.Module):
    """Runs out of memory at its second batch of training."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.layer, self.error, self.calls = nn.Linear(4, 3), error, 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += self.training
        if self.calls > 8:
            raise self.error
        return self.layer(x)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:116] . DefaultCPUAllocator: can't allocate memory: you tried to"),
    ],
)
def test_out_of_memory_names_what_helps_and_the_checkpoint_stands(tmp_path: Path, error: BaseException) -> None:
    options: dict[str, Any] = {"data": "iris", "batch_size": 16, "epochs": 3, "directory": tmp_path, "report": False}
    with pytest.raises(TrainingError) as caught:
        library.train(Greedy(error), name="greedy", **options)
    text = str(caught.value)
    assert "out of memory at step 9, with batches of 16: --batch-size 8 --accumulate 2 takes the same steps" in text
    assert "--checkpointing stores less; the last checkpoint stands: " in text
    assert Path(text.rpartition(": ")[2]).is_file()


def test_other_errors_are_not_memory() -> None:
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
