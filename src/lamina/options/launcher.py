"""The launcher that has started this process as one of several: torchrun, SLURM, or variables set by hand. No torch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from lamina.errors import UsageError


@dataclass(frozen=True)
class Launcher:
    """The place of this process among all that were started.

    Example: ``Launcher("torchrun", rank=3, world=4, local_rank=1, local_world=2)`` is the last of two machines of two.
    """

    name: str
    """"torchrun", "SLURM", or "the environment" (RANK and WORLD_SIZE)"""
    rank: int
    world: int
    """processes on all machines"""
    local_rank: int
    local_world: int
    """processes on this machine; as many on each"""

    @property
    def nodes(self) -> int:
        """Machines."""
        return self.world // self.local_world

    @property
    def node(self) -> int:
        """The number of this machine."""
        return self.rank // self.local_world

    def __str__(self) -> str:
        each = "1 process" if self.local_world == 1 else f"{self.local_world} processes"
        return f"{self.name} started {each}" + (f" on each of {self.nodes} machines" if self.nodes > 1 else "")


def launcher(environ: Mapping[str, str] | None = None) -> Launcher | None:
    """The launcher that the environment shows, None where there is none.

    Raises UsageError for numbers of processes that differ from machine to machine, and for values that contradict each
    other.
    """
    environ = os.environ if environ is None else environ
    if "TORCHELASTIC_RUN_ID" in environ:
        return _of_torchrun("torchrun", environ)
    # in a shell that was allocated interactively nothing has been started yet
    interactive = environ.get("SLURM_JOB_NAME") in ("bash", "interactive")
    if "SLURM_NTASKS" in environ and "SLURM_PROCID" in environ and not interactive:
        return _of_slurm(environ)
    if "RANK" in environ and "WORLD_SIZE" in environ:
        return _of_torchrun("the environment", environ)
    return None


def several() -> bool:
    """Whether a launcher has started several processes."""
    found = launcher()
    return found is not None and found.world > 1


def _of_torchrun(name: str, environ: Mapping[str, str]) -> Launcher:
    world = _number(environ, "WORLD_SIZE")
    local_rank = _number(environ, "LOCAL_RANK", 0)
    # set by hand: a local rank without a local number is of processes of one machine
    local_world = _number(environ, "LOCAL_WORLD_SIZE", world if "LOCAL_RANK" in environ else 1)
    nodes = _number(environ, "GROUP_WORLD_SIZE", world // max(1, local_world))
    return _checked(Launcher(name, _number(environ, "RANK"), world, local_rank, local_world), nodes, "--nproc-per-node")


def _of_slurm(environ: Mapping[str, str]) -> Launcher:
    world = _number(environ, "SLURM_NTASKS")
    each = _number(environ, "SLURM_NTASKS_PER_NODE", 0)
    usual = world // each if each else 1
    nodes = next((_number(environ, key) for key in ("SLURM_STEP_NUM_NODES", "SLURM_NNODES") if key in environ), usual)
    unequal = "," in environ.get("SLURM_STEP_TASKS_PER_NODE", "")
    local_world = world // max(1, nodes)
    rank = _number(environ, "SLURM_PROCID")
    local_rank = _number(environ, "SLURM_LOCALID", rank % max(1, local_world))
    made = Launcher("SLURM", rank, world, local_rank, local_world)
    return _checked(made, 0 if unequal else nodes, "--ntasks-per-node")


def _checked(made: Launcher, nodes: int, option: str) -> Launcher:
    if made.world < 1 or made.local_world < 1 or made.local_world * nodes != made.world:
        raise UsageError(
            f"{made.name} started {made.world} processes, not the same number on each machine: "
            f"give all machines the same {option}"
        )
    if not (0 <= made.rank < made.world and made.local_rank == made.rank % made.local_world):
        raise UsageError(
            f"{made.name} gave this process rank {made.rank} of {made.world} and local rank {made.local_rank} of "
            f"{made.local_world}: local ranks must count the processes of a machine in the order of their ranks"
        )
    return made


def _number(environ: Mapping[str, str], key: str, default: int | None = None) -> int:
    if default is not None and not environ.get(key):
        return default
    try:
        return int(environ.get(key, ""))
    except ValueError:
        raise UsageError(
            f"the environment variable {key} must be a whole number, got '{environ.get(key, '')}'"
        ) from None
