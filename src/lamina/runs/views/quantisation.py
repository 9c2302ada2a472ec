"""What int8 is calibrated with, and how it is judged: the splits of a run."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from torch import Tensor

from lamina.errors import UsageError
from lamina.export.engines import EngineModule
from lamina.export.options import ExportOptions
from lamina.export.quantising import Trial
from lamina.runs.opened import Opened

SAMPLES = 300
"""training samples on which ranges are measured, evenly spaced, as NNCF takes by default"""


def trial_of(run: Opened, options: ExportOptions, *, renames: bool) -> Trial:
    """How the int8 export of a run is calibrated and judged; ``renames``: see ``Trial``.

    Raises UsageError for a run whose task has no predictions or no metric to compare, or without validation data;
    RunError where its data are gone or have changed.
    """
    if run.kind is not None and not run.kind.predicts_at_once:
        raise UsageError(f"int8 is for models that predict at once, but {run.path} generates: choose --fp16")
    metric = run.task.monitor[0] if run.task.monitor is not None else "loss"
    if "validation" not in run.source.splits:
        raise UsageError(
            f"int8 is judged on validation data, but {run.path} was trained without any: train with --validation, or "
            "choose --fp16"
        )

    def score(engine: Any) -> float:
        found = run.measure("validation", model=EngineModule(engine))
        if metric not in found:
            raise UsageError(f"int8 is judged by '{metric}', which {run.path} does not measure: choose --fp16")
        return found[metric]

    return Trial(
        samples=list(islice(_samples(run), SAMPLES)),
        score=score,
        metric=metric,
        lower_is_better=metric in run.task.lower_is_better,
        options=options,
        renames=renames,
    )


def _samples(run: Opened) -> Iterator[dict[str, Tensor]]:
    """Training samples as evaluation prepares them, one at a time, by the names of the model's inputs."""
    names = [one.name for one in run.preprocess.signature()]
    train: Any = run.source.splits["train"]
    part = train.subset(range(0, len(train), -(-len(train) // SAMPLES)))
    for batch in run.preprocess.evaluation_batches(run.preprocess.encode(part), run.batch_options):
        args, kwargs = run.preprocess.call(batch)
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        for i in range(len(args[0])):
            yield {name: given[name][i : i + 1] for name in names}
