"""What is about to be trained, in five lines: model, data, size of images, length, time and memory."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING

from lamina.cli.output import clock, count
from lamina.data.modality import MODALITIES

if TYPE_CHECKING:
    from lamina.runs.training import Training

TRIAL_STEPS = 3
TRIAL_SECONDS = 5.0
"""a trial ends after the step in which this much time has passed"""
SHRUNK = 4
"""times by which a side of a picture may shrink before it is said"""


def plan(training: Training, measured: str = "") -> dict[str, object]:
    """The five lines by name. ``measured``: time and memory, where they are known."""
    recipe, spec = training.config.recipe, training.source.spec
    unit, amount = recipe.length
    sides = {name: one.per_epoch for name, one in training.streams.items()}
    length = f"{amount:,} {unit}; an epoch is {training.stream.per_epoch:,} batches of {recipe.batch_size}"
    each = ", ".join(f"{name} {batches:,} batches" for name, batches in sides.items())
    sizes = ", ".join(f"{split} {n:,}" for split, n in spec.sizes.items())
    return {
        "model": f"{training.config.name}, {count(training.parameters)} parameters, for {training.task_name}",
        "data": f"{spec.name}: {spec.counted} {sizes}",
        "input": _input(training),
        **({"sides": each} if len(sides) > 1 else {}),
        "length": f"{length}; {recipe.optimizer}, lr {recipe.lr:g}, {recipe.schedule}",
        **({"phases": _phases(training)} if training.phases else {}),
        "device": f"{training.fabric.device}, {recipe.precision}{f'; {measured}' if measured else ''}",
    }


def _phases(training: Training) -> str:
    """Each phase, its length and its batches."""
    world, found = training.fabric.world_size, []
    for phase in training.phases:
        length = "to the end" if phase.images is None else f"for {phase.images:,} images"
        each = f" ({phase.batch_size // world} in each of {world} processes)" if world > 1 else ""
        found.append(f"{phase.name} {length} in batches of {phase.batch_size}{each}")
    return "; ".join(found)


def _input(training: Training) -> str:
    """The size that inputs are brought to, and a note where pictures lose much of theirs."""
    preprocess, spec = training.parts.preprocess, training.source.spec
    shapes = [" x ".join(map(str, one.shape)) for one in preprocess.signature() if one.shape]
    text = ", ".join(shapes) or "as it comes"
    extent = MODALITIES[spec.kind].extent
    before = None if extent is None else extent(training.source)
    sides = [int(side) for side in preprocess.signature()[0].shape[-2:] if isinstance(side, int)]
    if before is None or len(sides) < 2:
        return text
    height, width = sides
    shrinks = max(before[0] / height, before[1] / width)
    text += f", from pictures of {before[0]} x {before[1]}"
    if not spec.height:
        rule = {"stretch": "stretched", "pad": "padded", "crop": "cropped"}.get(
            getattr(preprocess, "resize", ""), "resized"
        )
        text += f" and other sizes, all {rule}"
    text += "" if spec.channels else f", all in {'grey' if preprocess.signature()[0].shape[0] == 1 else 'colour'}"
    if shrinks > SHRUNK:
        text += f" (they shrink by {shrinks:.0f}: details are lost; --model.image-size, or a model for larger images)"
    return text


def trial(training: Training) -> str:
    """Time and memory of the whole, from a few steps. The model is used up."""
    from lamina.training.events import StepDone

    began = time.monotonic()
    marks: list[float] = []
    with closing(training.first_steps()) as events:
        for event in events:
            if isinstance(event, StepDone):
                marks.append(time.monotonic())
                if len(marks) == TRIAL_STEPS or marks[-1] - began > TRIAL_SECONDS:
                    break
    if not marks:
        return ""
    # the first step pays for what is done once
    seconds = (marks[-1] - marks[0]) / (len(marks) - 1) if len(marks) > 1 else marks[0] - began
    share = training.engine.progress_after / training.engine.step if training.engine.step else 0.0
    total = seconds / share if share else 0.0
    return f"about {clock(total)} without evaluation, {memory(training)} of memory (from {len(marks)} steps)"


def memory(training: Training) -> str:
    """The most memory that was used: of the GPU, or of the process."""
    import torch

    if training.fabric.device.type == "cuda":
        used = torch.cuda.max_memory_allocated(training.fabric.device)
    else:
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return f"{used / 2**30:.1f} GiB"


def as_plain(training: Training) -> Mapping[str, object]:
    """The plan as a JSON document holds it."""
    unit, amount = training.config.recipe.length
    sides = {name: one.per_epoch for name, one in training.streams.items()}
    found: dict[str, object] = {
        "run": training.directory.path,
        "parameters": training.parameters,
        "sizes": dict(training.source.spec.sizes),
        "length": [amount, unit],
    }
    found |= {"sides": sides} if len(sides) > 1 else {}
    found |= {"phases": [asdict(phase) for phase in training.phases]} if training.phases else {}
    return {
        **found,
        "task": training.task_name,
        "input": _input(training),
        "batches_per_epoch": training.stream.per_epoch,
        "config": training.config.to_dict(),
    }
