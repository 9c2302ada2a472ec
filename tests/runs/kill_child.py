"""Train once undisturbed and once killed again and again, then compare every bit:
``kill_child.py CASE[,CASE...] FOLDER SEED [KILLS]``.

Imports happen once, in the parent; every training is a fork of it, so that a kill costs no start-up. The parent itself
never computes, for a process with running threads must not fork.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import sklearn.datasets  # noqa: F401 # imported late by the library: here once, for all forks
import torch
import torchmetrics.classification  # noqa: F401

import lamina.runs.training
from lamina.cli.main import main as command_line
from lamina.training.checkpoints import Checkpoints, load_checkpoint

CASES: dict[str, dict[str, Any]] = {
    "memory": {"memory": "hold"},
    "stream-0": {"memory": "stream", "workers": 0},
    "stream-2": {"memory": "stream", "workers": 2},
    # of other packages, which toy_install puts where they are found
    "players": {"model": "toy-gan", "data": "digits"},
    "sides": {"model": "toy-dense", "data": "breast-cancer", "task": "toy-unpaired"},
}
ASKED = {
    "data": "digits",
    "epochs": 12,
    "batch_size": 16,
    "accumulate": 2,
    "optimizer": "adamw",
    "schedule": "cosine",
    "warmup": 0.1,
    "ema": 0.95,
    "clip": 1.0,
    "flip": True,
    "shift": 1,
    "checkpoint_every": 7,
}
MLP = {"hidden": (64,), "norm": "batch", "dropout": 0.3}
TOYS = {
    "epochs": 4,
    "batch_size": 16,
    "lr": 0.01,
    "ema": 0.95,
    "clip": 1.0,
    "checkpoint_every": 3,
    "schedule": "linear",
}


def train(case: str, folder: Path) -> None:
    torch.set_num_threads(1)
    begun = (folder / "run" / "config.yaml").exists()
    name, _, way = case.partition("-by-")
    options = dict(CASES[name])
    model = options.pop("model", None)
    options = {**ASKED, **options} if model is None else {**TOYS, **options}
    if way == "command":
        words = [f"--{key.replace('_', '-')}={value}" for key, value in options.items()]
        more = ["--resume"] if begun else []
        status = command_line(["train", str(model), *words, "--name=run", f"--runs={folder}", "--quiet", *more])
        assert status == 0, status
        return
    hidden = MLP if model is None else {}
    lamina.runs.training.train(
        model or "mlp", directory=folder, name="run", resume=begun, report=False, model_options=hidden, **options
    )


def fork(case: str, folder: Path, prepare: Callable[[], None] | None = None) -> int:
    pid = os.fork()
    # A group of its own, so that a kill of the group takes the workers too; told by both, whichever comes first.
    os.setpgid(pid, pid)
    if pid:
        return pid
    code = 1
    try:
        if prepare is not None:
            prepare()
        train(case, folder)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def finish(pid: int) -> None:
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, "a training failed"


def die_in(seconds: float) -> None:
    """The kernel ends this process by then, wherever it is: SIGALRM without a handler, as final as SIGKILL."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-6))


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def in_time(seconds: float, last: int, *, after_a_checkpoint: bool) -> None:
    """Die some time after the start, or after this life's first checkpoint; at step ``last`` at the latest, so that
    no clock matters."""
    save = Checkpoints.save

    def saved(self: Checkpoints, step: int, state: dict[str, Any]) -> Path:
        path = save(self, step, state)
        if step >= last:
            die()
        if not any(signal.getitimer(signal.ITIMER_REAL)):
            die_in(seconds)
        return path

    Checkpoints.save = saved  # type: ignore[method-assign]
    if not after_a_checkpoint:
        die_in(seconds)


def while_writing(syncs: int) -> None:
    """Die while a file, or the folder it was renamed in, is brought to the disk for the ``syncs``-th time."""
    left = syncs

    def fsync(_: int) -> None:
        nonlocal left
        left -= 1
        if left <= 0:
            die()

    os.fsync = fsync


def killed_run(case: str, folder: Path, whole: float, kills: int) -> list[int]:
    """Train with so many kills at random moments; the steps of the newest checkpoint after each.

    Of five lives one is cut short wherever it is, start-up included, two some time after their first checkpoint, and
    two while they write; none gets far beyond its share of the steps. So all kills fall before the end.
    """
    total, steps = last_step(folder.parent / "undisturbed"), []
    for kill in range(kills):
        last = total * (kill + 1) // (kills + 1)
        prepare: Callable[[], None] = [
            partial(in_time, random.uniform(0, 0.1) * whole, last, after_a_checkpoint=False),
            partial(in_time, random.uniform(0, 0.03) * whole, last, after_a_checkpoint=True),
            partial(while_writing, random.randint(2, 14)),
        ][(0, 1, 2, 1, 2)[kill % 5]]
        pid = fork(case, folder, prepare)
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)  # its workers too
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) < 0, "a life came to its end before it was killed"
        steps.append(last_step(folder))
    finish(fork(case, folder))
    return steps


def last_step(folder: Path) -> int:
    latest = Checkpoints(folder / "run" / "checkpoints").latest()
    return int(latest.stem.split("-")[1]) if latest else 0


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, f"{path}/{key}")
    elif isinstance(value, list | tuple):
        for key, item in enumerate(value):
            yield from leaves(item, f"{path}/{key}")
    else:
        yield path, value


def differences(a: Path, b: Path) -> list[str]:
    """What is not the same, bit for bit, in two finished runs."""
    last = [Checkpoints(run / "checkpoints").latest() for run in (a, b)]
    assert last[0] is not None
    assert last[1] is not None
    one, two = (dict(leaves(load_checkpoint(path))) for path in last)  # type: ignore[arg-type]
    found = [f"only in one: {key}" for key in one.keys() ^ two.keys()]
    for key in one.keys() & two.keys():
        same = torch.equal(one[key], two[key]) if isinstance(one[key], torch.Tensor) else one[key] == two[key]
        found += [] if same else [key]
    for file in ("metrics.csv", "model.safetensors"):
        found += [] if (a / file).read_bytes() == (b / file).read_bytes() else [file]
    left = sorted(path.name for path in b.rglob("*") if path.name.endswith((".tmp", ".new")))
    return found + [f"left over: {name}" for name in left]


def main() -> None:
    folder, seed = Path(sys.argv[2]), int(sys.argv[3])
    kills = int(sys.argv[4]) if len(sys.argv) > 4 else 20
    os.fsync = lambda file: None  # processes are killed here, not machines: what is written stays
    for case in sys.argv[1].split(","):
        random.seed(seed)
        whole, killed = folder / case / "undisturbed", folder / case / "killed"
        start = time.monotonic()
        finish(fork(case, whole))
        steps = killed_run(case, killed, time.monotonic() - start, kills)
        different = differences(whole / "run", killed / "run")
        print(f"kills={len(steps)} distinct={len(set(steps))} different={len(different)}", case, steps, different)


if __name__ == "__main__":
    main()
