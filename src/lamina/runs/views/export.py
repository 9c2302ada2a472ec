"""Export of runs and variants, for files and for prediction in another engine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lamina import registry
from lamina.cards import Variant
from lamina.data.protocols import Signature
from lamina.decoding.decoder import limits
from lamina.errors import ExportError, RunError, UsageError, unknown
from lamina.export.example import signature_of, signature_of_player
from lamina.export.facts import OUTPUT, SAMPLES, ExportFacts
from lamina.export.formats import FORMATS, check_engine, format_named
from lamina.export.inputs import output_names
from lamina.export.options import ExportOptions
from lamina.export.stateful import with_state
from lamina.export.writing import PLAIN, Exported, check_path, write_export
from lamina.runs.opened import Opened
from lamina.runs.views.exported import ExportedModel, expect_usable, open_exported
from lamina.runs.views.pictures import predicting_alone
from lamina.runs.views.quantisation import trial_of
from lamina.runs.weights import digest
from lamina.version import __version__
from lamina.weights.folders import stated_options
from lamina.weights.hub import located
from lamina.weights.loading import load_weights
from lamina.weights.published import built_for
from lamina.weights.reading import read_state_dict

GENERATOR = "generator"
"""the player that is exported unless another is requested"""


def export_run(
    run: Opened,
    to: str,
    path: str | Path | None = None,
    player: str | None = None,
    options: ExportOptions = PLAIN,
) -> Exported:
    """See ``Run.export``."""
    kind = format_named(to)
    options.check_format(to)
    players = run.task.players if len(run.task.players) > 1 else ()
    chosen = exported_player(str(run.path), players, player)
    target = _own_path(run, _suffix(chosen, kind.suffix, options)) if path is None else Path(path)
    check_path(target, to)
    if options.with_preprocessing:
        module, facts = predicting_alone(run, _facts_of(run), players)
        return write_export(module, facts, to, target, options)
    if not chosen:
        trial = trial_of(run, options, renames=path is None) if options.int8 else None
        return write_export(run.model, _facts_of(run), to, target, options, trial)
    if options.int8:
        raise UsageError(f"int8 is judged by predictions on validation data, but {run.path} has none: choose --fp16")
    if "variant" not in run.card:
        raise UsageError(f"{run.path} holds a module of your own: what its players are called with is not known")
    module, row = getattr(run.model, chosen), registry.variant(run.card["variant"])
    return write_export(module, _of_player(_facts_of(run), row, chosen, module, run.model.config), to, target, options)


def export_variant(
    name: str,
    to: str,
    path: str | Path | None = None,
    weights: str | Path | None = None,
    entry: str | None = None,
    seed: int = 0,
    player: str | None = None,
    options: ExportOptions = PLAIN,
) -> Exported:
    """Export a variant, with the weights of a file (of an ``entry`` of it) or random ones, by default to ``<name>`` in
    the current folder; of a variant of several players one, by default the generator, ``weights`` being those of all or
    its own.

    Raises what ``create_model``, ``load_weights`` and ``write_export`` raise; UsageError for int8, which needs a run.
    """
    name, kind = registry.canonical(name), format_named(to)
    options.check_format(to)
    if options.with_preprocessing:
        raise UsageError(f"with_preprocessing is that of a run, but {name} is a model: export a run of it")
    if options.int8:
        raise UsageError(
            f"int8 is calibrated and judged on the data of a run, but {name} is a model: export a run of it, or --fp16"
        )
    row = registry.variant(name)
    chosen = exported_player(name, row.players, player)
    target = Path(f"{name}{_suffix(chosen, kind.suffix, options)}") if path is None else Path(path)
    check_path(target, to)
    stated: dict[str, Any] = {}
    if weights is not None:
        place, stated = built_for(name, str(weights))
        weights = located(place)
        stated |= stated_options(name, weights)
    config = registry.configure(row, stated)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = registry.build(row, config)
    module: nn.Module = getattr(model, chosen) if chosen else model
    if weights is not None:
        state = read_state_dict(weights, entry=entry)
        whole = any(part in row.players for key in state.tensors for part in key.split("."))
        load_weights(model if whole else module, state)
    facts = ExportFacts(
        model=name,
        inputs=() if chosen else signature_of(row, config),
        objective=row.card.objective,
        weights="" if weights is None or not Path(weights).is_file() else digest(Path(weights)),
        version=__version__,
    )
    if chosen:
        facts = _of_player(facts, row, chosen, module, config)
    return write_export(module, facts, to, target, options)


def exported_player(what: str, players: Iterable[str], requested: str | None) -> str:
    """The player that a file holds: the one requested, else the generator; "" for a model without players.

    Raises UsageError for one that is not there, and where there is no generator and none was requested.
    """
    players = tuple(players)
    if not players:
        if requested is not None:
            raise UsageError(f"player '{requested}': {what} is one model, without players")
        return ""
    if requested is None and GENERATOR not in players:
        raise UsageError(f"{what} has several players, and a file holds one: --player {' or '.join(players)}")
    chosen = GENERATOR if requested is None else requested
    if chosen not in players:
        raise unknown(f"player of {what}", chosen, players)
    return chosen


def _suffix(player: str, suffix: str, options: ExportOptions) -> str:
    """What follows the model's name in a file's: the player, where it is not the usual one, and its numbers."""
    more = [name for name in ("int8", "fp16", "with_state", "with_preprocessing") if getattr(options, name)]
    parts = (player, *(name.removeprefix("with_") for name in more))
    return "".join(f"-{part}" for part in parts if part not in ("", GENERATOR)) + suffix


def _of_player(facts: ExportFacts, row: Variant, player: str, module: nn.Module, config: Any) -> ExportFacts:
    """The facts of a file that holds one player."""
    outputs = (SAMPLES,) if player == GENERATOR else (OUTPUT,)
    inputs = signature_of_player(row, player, module, config)
    return replace(facts, player=player, inputs=inputs, outputs=outputs, classes=())


def run_in_engine(run: Opened, engine: str) -> ExportedModel:
    """The run in another engine, by way of an export in its folder: made once, and again when the weights have changed.
    Of a model that generates text the export has its state.

    Raises UsageError for an engine that is not installed, and what ``Run.export`` raises.
    """
    check_engine(engine)
    facts = _facts_of(run)
    expect_usable(run.kind, facts, run.path)
    options = PLAIN
    if run.kind is not None and not run.kind.predicts_at_once:
        options = ExportOptions(with_state=True)
        facts = with_state(facts, run.model, str(run.path))
    to = next(name for name, kind in FORMATS.items() if kind.engine == engine)
    path = _own_path(run, _suffix("", FORMATS[to].suffix, options))
    if path.is_file() and "variant" in run.directory.read("card.json"):  # a module of the user's may have changed
        try:
            opened = open_exported(path, engine)
            if opened.facts.to_strings() == facts.to_strings():
                return opened
        except ExportError:  # damaged, or of another version: replaced
            pass
    return open_exported(export_run(run, to, path, options=options).path, engine)


def _facts_of(run: Opened) -> ExportFacts:
    run.directory.expect_weights()
    files = dict(run.preprocess.files())
    facts = ExportFacts(
        model=run.config.name,
        inputs=_limited(run.preprocess.signature(), limits(run.model)[1]),
        classes=run.classes,
        task=run.task_name,
        objective=run.objective.name,
        objective_options=vars(run.objective.options),
        fitted={name: value.tolist() for name, value in run.fitted.items()},
        preprocess=files.pop("preprocess.json"),
        tokenizer=files.pop("tokenizer.json", None),
        files=files,
        weights=digest(run.directory.weights),
        version=__version__,
    )
    return facts if len(run.task.players) > 1 else replace(facts, outputs=output_names(run.model, facts))


def _limited(signature: Signature, context: int | None) -> Signature:
    """The signature with the model's context as the maximum of its dynamic dimensions."""
    if context is None:
        return signature
    sized = [any(isinstance(size, str) for size in one.shape) for one in signature]
    return tuple(replace(one, longest=context) if some else one for one, some in zip(signature, sized, strict=True))


def _own_path(run: Opened, suffix: str) -> Path:
    """The path of a run's export, in its folder ``exports``."""
    folder = run.path / "exports"
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot make the folder {folder}: {error.strerror}") from error
    return folder / f"{run.config.name}{suffix}"
