"""Devices, precision and processes of a training: Lightning Fabric, as the recipe has it."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import ClusterEnvironment, LightningEnvironment, SLURMEnvironment
from lightning_fabric.strategies import DDPStrategy, ModelParallelStrategy, Strategy
from torch.distributed.rendezvous import rendezvous

from lamina.errors import LaminaError, RunError, UsageError
from lamina.options.launcher import Launcher, launcher
from lamina.options.recipe import Recipe
from lamina.training.engine import FABRIC_PRECISION
from lamina.training.processes import Processes, current, join, leave, together
from lamina.training.sharding.blocks import shard

PrefixStore: Any = torch.distributed.PrefixStore  # type: ignore[attr-defined]  # torch does not list it
_stores: list[Any] = []
"""the stores of all trainings of this process: the first process serves the others with them"""


def with_launcher(recipe: Recipe, given: Mapping[str, Any]) -> Recipe:
    """The recipe with the devices and machines of the launcher, where one has started this process.

    Raises UsageError where ``devices`` or ``num_nodes`` are ``given`` and contradict it.

    Example: ``with_launcher(Recipe(), {})`` has ``devices=2, num_nodes=2`` under ``torchrun --nnodes 2
    --nproc-per-node 2``.
    """
    found = launcher()
    if found is None:
        if (given.get("num_nodes") or 1) > 1:
            raise UsageError(
                f"--num-nodes {given['num_nodes']}: processes on several machines are started by torchrun or srun, on "
                "each machine (docs/scaling.md)"
            )
        return replace(recipe, num_nodes=1)
    for name, value in (("devices", found.local_world), ("num_nodes", found.nodes)):
        if given.get(name) not in (None, value):
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"{found}, and {option} {given[name]} contradicts it: leave it out")
    return replace(recipe, devices=found.local_world, num_nodes=found.nodes)


def launched(recipe: Recipe) -> Fabric:
    """Fabric for the recipe's accelerator, devices and precision; with several devices its processes are started, or
    join those that a launcher has started.

    Raises UsageError for devices that there are not, RunError where the processes do not find each other.

    Example: ``launched(Recipe(precision="bf16")).device``
    """
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    starter = launcher() if recipe.processes > 1 else None
    environment = LightningEnvironment() if starter is None else Started(starter)
    devices = recipe.devices
    if starter is not None and environment.one_device:
        devices = 1
    try:
        fabric = Fabric(
            accelerator=recipe.accelerator,
            devices=devices,
            num_nodes=recipe.num_nodes,
            strategy=_strategy(recipe),
            precision=FABRIC_PRECISION[recipe.precision],
            plugins=[environment],
        )
    except (RuntimeError, ValueError, AssertionError) as error:
        where = f"accelerator '{recipe.accelerator}' with {recipe.devices} devices"
        raise UsageError(f"cannot train on {where}: {error}") from None
    if recipe.processes > 1:
        _meet(fabric, starter, recipe.timeout)
    return fabric


class Started(ClusterEnvironment):  # type: ignore[misc]  # Fabric's base counts as untyped
    """The processes that a launcher has started, as Fabric asks for them."""

    def __init__(self, found: Launcher) -> None:
        super().__init__()
        self.found = found
        # where SLURM gives each process a device of its own, it is the only one that the process sees
        own = found.name == "SLURM" and "CUDA_VISIBLE_DEVICES" in os.environ
        self.one_device = own and found.local_world > 1 and torch.cuda.device_count() == 1

    @property
    def creates_processes_externally(self) -> bool:
        return True

    @property
    def main_address(self) -> str:
        keys = ("SLURM_STEP_NODELIST", "SLURM_NODELIST", "SLURM_JOB_NODELIST")
        nodes = next((os.environ[key] for key in keys if key in os.environ), "")
        return os.environ.get("MASTER_ADDR") or SLURMEnvironment.resolve_root_node_address(nodes) or "127.0.0.1"

    @property
    def main_port(self) -> int:
        usual = 15000 + int((os.environ.get("SLURM_JOB_ID") or "14500")[-4:])
        text = os.environ.get("MASTER_PORT") or str(usual)
        if not text.isdigit() or not 0 < int(text) < 2**16:
            raise UsageError(f"the environment variable MASTER_PORT must be a port, got '{text}'")
        return int(text)

    @staticmethod
    def detect() -> bool:
        return launcher() is not None

    def world_size(self) -> int:
        return self.found.world

    def set_world_size(self, size: int) -> None:
        """It is the launcher's."""

    def global_rank(self) -> int:
        return self.found.rank

    def set_global_rank(self, rank: int) -> None:
        """It is the launcher's."""

    def local_rank(self) -> int:
        return 0 if self.one_device else self.found.local_rank

    def node_rank(self) -> int:
        return self.found.node


@contextmanager
def from_the_first_line(timeout: float = 30.0) -> Iterator[None]:
    """As ``processes.together``, for a whole command: where one of the processes of a launcher fails before they have
    met, the others are told, instead of waiting for it; they have ``timeout`` seconds to come."""
    try:
        with together():
            yield
    except Exception as error:
        met = bool(_stores) or getattr(error, "shared", False)
        told = None if met else _told(error, timeout)
        if told is None or told is error:
            raise
        raise told from None


def _told(error: Exception, timeout: float) -> Exception | None:
    """The error of all processes of a launcher that have not met yet; None where this process is alone."""
    try:
        found = launcher()
        return None if found is None or found.world == 1 else _join(Started(found), timeout).failed(error)
    except LaminaError:
        return None


def disband() -> None:
    """After the last step: leave the process group."""
    if current().world > 1:
        leave()
        torch.distributed.destroy_process_group()


def _meet(fabric: Fabric, starter: Launcher | None, timeout: float) -> None:
    """All processes in one group, each known to the others."""
    if torch.distributed.is_initialized() and current().world > 1:  # another Fabric of the same training
        fabric.launch()
        return
    if torch.distributed.is_initialized():  # of a training that failed
        torch.distributed.destroy_process_group()
    environment = Started(starter) if starter is not None else None
    if environment is not None or _stores:
        rank, world = fabric.global_rank, fabric.world_size
        if environment is not None:
            os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = environment.main_address, str(environment.main_port)
        group = _join(environment or Started(_local(rank, world)), timeout)
        with together():
            group.meet()
        backend = torch.distributed.get_default_backend_for_device(fabric.device)
        device = {} if fabric.device.type == "cpu" else {"device_id": fabric.device}
        store = PrefixStore(f"torch/{len(_stores)}", _stores[-1])
        with together():
            torch.distributed.init_process_group(
                backend, store=store, rank=rank, world_size=world, timeout=timedelta(seconds=timeout), **device
            )
            fabric.launch()
        return
    starting = fabric.strategy.launcher  # under FSDP None in the processes that it has started
    try:
        fabric.launch()
    except RuntimeError as error:
        for child in [] if starting is None else starting.procs:
            child.kill()
        raise _not_met(error, "127.0.0.1", os.environ.get("MASTER_PORT", ""), timeout) from None
    children = [] if starting is None else [*starting.procs]
    if starting is not None:
        starting.procs.clear()  # Fabric would end this process without a word where a child dies
    with together():
        _join(Started(_local(fabric.global_rank, fabric.world_size)), timeout, children).meet()


def _local(rank: int, world: int) -> Launcher:
    return Launcher("lamina", rank, world, rank, world)


def _join(environment: Started, timeout: float, children: Any = ()) -> Processes:
    """The store of all processes, and this process among them. Raises RunError where it cannot be reached."""
    found = environment.found
    os.environ.setdefault("MASTER_ADDR", environment.main_address)
    os.environ.setdefault("MASTER_PORT", str(environment.main_port))
    where, port = os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"]
    try:
        url = f"env://?rank={found.rank}&world_size={found.world}"
        store, _, _ = next(rendezvous(url, timeout=timedelta(seconds=timeout)))
    except (RuntimeError, ValueError) as error:
        raise _not_met(error, where, port, timeout) from None
    _stores.append(store)
    own = PrefixStore(f"lamina/{len(_stores)}", store).clone()
    return join(
        Processes(own, found.rank, found.world, local_world=found.local_world, timeout=timeout, children=children),
    )


def _not_met(error: Exception, where: str, port: str, timeout: float) -> RunError:
    """Why the processes did not find each other. It is told nobody: there is nobody to tell."""
    text = str(error).partition("\n")[0]
    came = f": {text.partition('waiting for clients. ')[2]}" if "clients joined" in text else ""
    found = RunError(
        f"the processes did not all meet at {where}, port {port}, within --timeout {timeout:g} seconds{came}; is one "
        f"missing, or not started by torchrun or srun?{'' if came or 'timed out' in text else f' ({text})'}"
    )
    if "EADDRINUSE" in text or "address already in use" in text:
        found = RunError(
            f"port {port} of {where} is taken by another program: set another with torchrun's --master-port, or the "
            "environment variable MASTER_PORT"
        )
    found.shared = True
    return found


def _strategy(recipe: Recipe) -> str | Strategy:
    """How several processes share a training."""
    if recipe.processes == 1:
        return "auto"
    timeout = timedelta(seconds=recipe.timeout)
    if recipe.strategy == "fsdp":
        return ModelParallelStrategy(parallelize_fn=shard, timeout=timeout)
    return DDPStrategy(timeout=timeout)
