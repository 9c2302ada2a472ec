"""What ``test_two_agents.py`` runs on several processes without torchrun: forks_child.py FOLDER.

Imports happen once, in the parent; every process is a fork of it, told by RANK and WORLD_SIZE which one it is. The
parent itself never computes, for a process with running threads must not fork.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sklearn.datasets  # noqa: F401 # imported late by the library: here once, for all forks
import torch
import torchmetrics.classification  # noqa: F401
from scaled import cases, free_port, words

import lamina
import lamina.cli.train
import lamina.runs.training
from lamina.cli.main import main
from lamina.training.events import StepDone

MORE = 6
"""steps from the last checkpoint of a killed run to the end"""


def place(rank: int, world: int) -> dict[str, object]:
    """What the environment of a process says: two as they are set by hand, four as two machines of SLURM."""
    if world == 2:
        return {"RANK": rank, "WORLD_SIZE": world, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": world}
    of_slurm = {"PROCID": rank, "NTASKS": world, "LOCALID": rank % 2, "NODEID": rank // 2, "NNODES": 2, "JOB_ID": 7}
    return {f"SLURM_{name}": value for name, value in of_slurm.items()}


def forks(folder: Path, world: int, work: Callable[[int], int], ranks: list[int] | None = None) -> list[int]:
    """The exit statuses of ``work(rank)`` in so many processes; what they print is in FOLDER/err<rank>."""
    folder.mkdir(parents=True, exist_ok=True)
    port, children = free_port(), []
    for rank in range(world) if ranks is None else ranks:
        pid = os.fork()
        if pid:
            children.append(pid)
            continue
        status = 70
        try:
            os.environ.update({name: str(value) for name, value in place(rank, world).items()})
            os.environ.update({"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)})
            file = os.open(folder / f"err{rank}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(file, 1)
            os.dup2(file, 2)
            torch.set_num_threads(1)
            status = work(rank)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]


def killed(folder: Path, case: str, step: int) -> dict[str, Any]:
    """Two processes, the second of which kills itself after a step."""
    fit = lamina.runs.training.fit

    def work(rank: int) -> int:
        def watched(*arguments: Any, **options: Any) -> Any:
            for event in fit(*arguments, **options):
                if rank == 1 and isinstance(event, StepDone) and event.step == step:
                    os.kill(os.getpid(), signal.SIGKILL)
                yield event

        lamina.runs.training.fit = watched
        more = ("--steps", "1000", "--checkpoint-every", "3", "--timeout", "30", "--name", case)
        return main(words(cases(folder / "book.txt")[case], *more, "--runs", str(folder / "killed")))

    return {"statuses": forks(folder / f"{case} killed", 2, work)}


def resumed(folder: Path, case: str, world: int, steps: int) -> dict[str, Any]:
    """The killed run, to the end on so many processes."""
    runs = folder / f"on{world}"
    shutil.copytree(folder / "killed" / case, runs / case)

    def work(rank: int) -> int:
        lamina.train(name=case, directory=runs, resume=True, steps=steps, report=False)
        return 0

    return {"statuses": forks(folder / f"{case} on {world}", world, work)}


def missing(folder: Path) -> dict[str, Any]:
    """The second of two processes never comes."""
    options = cases(folder / "book.txt")["table"]

    def work(rank: int) -> int:
        return main(words(options, "--epochs", "1", "--timeout", "2", "--runs", str(folder / "missing runs")))

    return {"statuses": forks(folder / "missing", 2, work, ranks=[0])}


def stopped(folder: Path) -> dict[str, Any]:
    """The second of two processes gets SIGTERM: both stop after the same step, what is carried is saved."""
    fit = lamina.runs.training.fit

    def work(rank: int) -> int:
        def watched(*arguments: Any, **options: Any) -> Any:
            for event in fit(*arguments, **options):
                if rank == 1 and isinstance(event, StepDone) and event.step == 4:
                    os.kill(os.getpid(), signal.SIGTERM)
                yield event

        lamina.runs.training.fit = watched
        more = ("--steps", "1000", "--timeout", "30", "--name", "stopped")
        return main(words(cases(folder / "book.txt")["state"], *more, "--runs", str(folder / "killed")))

    return {"statuses": forks(folder / "stopped", 2, work)}


def last_step(folder: Path) -> int:
    return max(int(path.stem.split("-")[1]) for path in (folder / "checkpoints").glob("step-*.ckpt"))


def all_of_it(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {"missing": missing(folder), "stopped": stopped(folder), "steps": {}}
    for case, step, worlds in (("images", 8, (2, 4)), ("state", 8, (2,)), ("windows", None, (2, 4))):
        if step is not None:  # the other was killed under torchrun
            found[f"{case} killed"] = killed(folder, case, step)
        found["steps"][case] = last_step(folder / "killed" / case) + MORE
        for world in worlds:
            found[f"{case} on {world}"] = resumed(folder, case, world, found["steps"][case])
    return found


if __name__ == "__main__":
    os.fsync = lambda file: None  # processes are killed here, not machines: what is written stays
    folder = Path(sys.argv[1])
    (folder / "forks.json").write_text(json.dumps(all_of_it(folder)))
