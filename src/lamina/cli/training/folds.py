"""``lamina train --folds K``: a run for each fold, and the mean and standard deviation of their test metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import Namespace

from lamina.cli.output import as_json, clean, note, number, table
from lamina.tasks.facts import quality

if TYPE_CHECKING:
    from lamina.runs.folds import CrossValidation
    from lamina.runs.training import Training


def cross_validation(
    args: Namespace, requested: Mapping[str, Any], name: str | None, directory: str
) -> CrossValidation | None:
    """The cross-validation that the options ask for, new or to be resumed; None for a single run. Raises UsageError."""
    from lamina.registry import canonical
    from lamina.runs.config import make_config
    from lamina.runs.folds import CrossValidation, is_cross_validation

    if args.resume:
        several = is_cross_validation(Path(directory) / name) if name is not None else "folds" in requested
        if not several or "fold" in requested:
            return None
    else:
        label = None if args.variant is None else canonical(args.variant)
        options = make_config(label, requested, config=args.config).options
        if options.folds is None or options.fold is not None:
            return None
    return CrossValidation(
        args.variant, requested, config=args.config, name=name, directory=directory, resume=args.resume
    )


def train_folds(
    whole: CrossValidation,
    args: Namespace,
    fit: Callable[[Training, Namespace, Path], int | None],
    plan: Callable[[Training], int],
    notes: Callable[[Training], None],
) -> int:
    """Train the folds that are not finished, print the test metrics of each and of all."""
    for fold, training in whole.pending(dry=args.dry_run):
        if not args.quiet:
            note(f"fold {fold} of {whole.count}")
        notes(training)
        if args.dry_run:
            return plan(training)
        stopped = fit(training, args, whole.path)
        if stopped is not None:
            return stopped
        training.finalize()
        run = training.run
        for text in run.shortfalls("test", whole.tested(fold, run)):
            note(f"fold {fold}: {text}")
        run.report()
    found = whole.result()
    if args.json:
        as_json({"folder": str(whole.path), **found.to_dict()})
        return 0
    names = quality(found.mean)
    cells = [[f"fold{fold}", *(number(row[name]) for name in names)] for fold, row in enumerate(found.metrics, 1)]
    for title, values in (("mean", found.mean), ("standard deviation", found.std)):
        cells += [[title, *(number(values[name]) for name in names)]]
    table(("test", *names), cells, right=range(1, len(names) + 1))
    print(f"runs: {clean(whole.path)}")
    return 0
