"""Frozen modules, and activation checkpointing of stages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from fnmatch import fnmatchcase
from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint

from lamina.errors import UsageError, unknown
from lamina.torch_internals import BatchOrInstanceNorm

BODY = "body"


def freeze(models: Mapping[str, nn.Module], patterns: Sequence[str]) -> list[nn.Module]:
    """Freeze the modules that match the patterns, submodules included, and return them.

    A pattern is a module name from ``named_modules`` ("stem", "stages.0"), a glob ("stages.*"), or "body": everything
    but the module "head". Raises UsageError for a pattern without a match, and if nothing is left to train.

    Example: ``freeze({"model": model}, ["stem", "stages.0"])``
    """
    frozen: list[nn.Module] = []
    for pattern in patterns:
        found = [module for model in models.values() for module in _matching(model, pattern)]
        if not found:
            names = {name for model in models.values() for name, _ in model.named_modules() if name}
            raise unknown("module to freeze", pattern, {BODY, *names})
        frozen += found
    for module in frozen:
        for parameter in module.parameters():
            parameter.requires_grad_(False)
    for player, model in models.items():
        if not any(p.requires_grad for p in model.parameters()):
            raise UsageError(f"freeze={','.join(patterns)} leaves nothing of '{player}' to train")
    return frozen


def _matching(model: nn.Module, pattern: str) -> list[nn.Module]:
    if pattern == BODY and hasattr(model, "head"):
        for parameter in model.parameters(recurse=False):  # e.g. a position embedding
            parameter.requires_grad_(False)
        return [module for name, module in model.named_children() if name != "head"]
    return [module for name, module in model.named_modules() if name and fnmatchcase(name, pattern)]


def checkpoint_stages(model: nn.Module) -> None:
    """Activation checkpointing (Chen et al. 2016, arXiv 1604.06174): each of ``model.stages`` stores only its input and
    is recomputed in the backward pass. Results are bit-identical, batch-norm statistics and dropout included.

    Raises UsageError for a model without stages.
    """
    stages = getattr(model, "stages", None)
    if not isinstance(stages, nn.ModuleList | nn.Sequential):
        raise UsageError(f"checkpointing recomputes stages, but {type(model).__name__.lower()} has no 'stages'")
    checkpoint_parts(stages)


def checkpoint_parts(parts: Iterable[nn.Module]) -> None:
    """As ``checkpoint_stages``, for these parts of a net."""
    for part in parts:
        contexts = partial(_contexts, part)
        recomputed = partial(checkpoint, part.forward, use_reentrant=False, context_fn=contexts)
        part.forward = recomputed


def _contexts(stage: nn.Module) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    return nullcontext(), _statistics_kept(stage)


@contextmanager
def _statistics_kept(stage: nn.Module) -> Iterator[None]:
    """Keep running statistics, already updated by the first forward, unchanged: momentum 0 adds nothing."""
    norms = [m for m in stage.modules() if isinstance(m, BatchOrInstanceNorm) and m.track_running_stats]
    before = [(norm, norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, momentum, counted in before:
            norm.momentum, norm.num_batches_tracked = momentum, counted
