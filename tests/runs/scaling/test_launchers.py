"""What launchers say in the environment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from lamina.errors import UsageError
from lamina.options.launcher import Launcher, launcher
from lamina.options.recipe import Recipe
from lamina.training.launching import Started, with_launcher

TORCHRUN = {
    "TORCHELASTIC_RUN_ID": "none", "RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2",
    "GROUP_RANK": "1", "GROUP_WORLD_SIZE": "2", "MASTER_ADDR": "a", "MASTER_PORT": "29500",
}  # fmt: skip
SLURM = {
    "SLURM_JOB_ID": "123456", "SLURM_JOB_NAME": "train", "SLURM_NTASKS": "4", "SLURM_NTASKS_PER_NODE": "2",
    "SLURM_NNODES": "2", "SLURM_PROCID": "3", "SLURM_LOCALID": "1", "SLURM_NODEID": "1",
    "SLURM_NODELIST": "node[07-08]",
}  # fmt: skip
WHOLE = {"rank": 3, "world": 4, "local_rank": 1, "local_world": 2}


def without(values: Mapping[str, str], *names: str) -> dict[str, str]:
    return {name: value for name, value in values.items() if name not in names}


@pytest.mark.parametrize(
    ("environ", "found"),
    [
        (TORCHRUN, Launcher("torchrun", **WHOLE)),
        (TORCHRUN | SLURM, Launcher("torchrun", **WHOLE)),  # torchrun started by srun
        (SLURM, Launcher("SLURM", **WHOLE)),
        (without(SLURM, "SLURM_NTASKS_PER_NODE"), Launcher("SLURM", **WHOLE)),
        (without(SLURM, "SLURM_NNODES"), Launcher("SLURM", **WHOLE)),
        # two tasks of a job of eight: srun's own numbers count
        (SLURM | {"SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "8", "SLURM_STEP_NUM_NODES": "1", "SLURM_PROCID": "1"},
         Launcher("SLURM", rank=1, world=2, local_rank=1, local_world=2)),
        (SLURM | {"SLURM_JOB_NAME": "interactive"}, None),
        (SLURM | {"SLURM_JOB_NAME": "bash"}, None),
        (without(SLURM, "SLURM_PROCID"), None),  # allocated, and nothing started
        # a job on Kubernetes, one process in each pod
        ({"RANK": "1", "WORLD_SIZE": "3"}, Launcher("the environment", 1, 3, 0, 1)),
        ({"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}, Launcher("the environment", 1, 2, 1, 2)),
        # the children that Fabric starts have no rank
        ({"LOCAL_RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1"}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_what_is_seen(environ: dict[str, str], found: Launcher | None) -> None:
    assert launcher(environ) == found
    if found is not None and found.world == 4:
        assert (found.nodes, found.node) == (2, 1)


@pytest.mark.parametrize(
    ("environ", "text"),
    [
        (TORCHRUN | {"WORLD_SIZE": "3", "RANK": "2"}, "give all machines the same --nproc-per-node"),
        (SLURM | {"SLURM_NTASKS": "3", "SLURM_PROCID": "2"}, "give all machines the same --ntasks-per-node"),
        (SLURM | {"SLURM_STEP_TASKS_PER_NODE": "3,1"}, "give all machines the same --ntasks-per-node"),
        (SLURM | {"SLURM_LOCALID": "0"}, "local ranks must count the processes of a machine"),  # --distribution=cyclic
        (TORCHRUN | {"RANK": "4"}, "rank 4 of 4"),
        (TORCHRUN | {"RANK": "x"}, "the environment variable RANK must be a whole number, got 'x'"),
        ({"RANK": "0", "WORLD_SIZE": ""}, "WORLD_SIZE must be a whole number, got ''"),
    ],
)
def test_what_contradicts_itself_is_refused(environ: dict[str, str], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        launcher(environ)


@pytest.mark.parametrize(
    ("environ", "given", "expected"),
    [
        (TORCHRUN, {}, (2, 2)),
        (TORCHRUN, {"devices": 2, "num_nodes": 2}, (2, 2)),
        (TORCHRUN, {"devices": 4}, "--devices 4 contradicts it"),
        (TORCHRUN, {"devices": 1}, "--devices 1 contradicts it"),
        (SLURM, {"num_nodes": 1}, "SLURM started 2 processes on each of 2 machines, and --num-nodes 1 contradicts it"),
        (TORCHRUN | {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1",
                     "GROUP_WORLD_SIZE": "1"}, {"devices": 2}, "torchrun started 1 process, and --devices 2 contr"),
        ({}, {}, (3, 1)),  # without a launcher the recipe's own
        ({}, {"num_nodes": 2}, "started by torchrun or srun"),
    ],
)  # fmt: skip
def test_devices_and_machines_are_the_launchers(
    environ: dict[str, str], given: dict[str, Any], expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (*TORCHRUN, *SLURM):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    recipe = Recipe(devices=3, num_nodes=5)  # of a run that was trained elsewhere
    if isinstance(expected, str):
        with pytest.raises(UsageError, match=expected):
            with_launcher(recipe, given)
    else:
        made = with_launcher(recipe, given)
        assert (made.devices, made.num_nodes, made.processes) == (*expected, expected[0] * expected[1])


def test_where_slurm_meets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    for name in ("MASTER_ADDR", "MASTER_PORT", "RANK"):
        monkeypatch.delenv(name, raising=False)
    found = launcher()
    assert found is not None
    environment = Started(found)
    assert (environment.main_address, environment.main_port) == ("node07", 15000 + 3456)
    monkeypatch.setenv("MASTER_PORT", "x")
    with pytest.raises(UsageError, match="MASTER_PORT must be a port, got 'x'"):
        _ = environment.main_port
