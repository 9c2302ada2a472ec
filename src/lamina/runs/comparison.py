"""A leaderboard: several models trained on one data set, validation chooses, the test split is judged once.

board = lamina.compare("houses.csv", target="price", minutes=10)
board.rows, board.chosen
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from lamina.data.opening import Data
from lamina.errors import LaminaError, UsageError
from lamina.files import write_whole
from lamina.options.documents import read_yaml
from lamina.registry import canonical, card
from lamina.report.blocks import Section, Table
from lamina.report.templates import render
from lamina.runs.advising import MINUTES, advise
from lamina.runs.baselines import baselines
from lamina.runs.config import LENGTHS, OPTION_FIELDS
from lamina.runs.requested import named_data
from lamina.runs.resuming import short_name
from lamina.runs.run import Run
from lamina.runs.summary import summarise
from lamina.runs.training import train

HEADER = ("model", "validation", "test", "minutes", "parameters", "megabytes")


@dataclass(frozen=True, kw_only=True)
class Row:
    """A model of the leaderboard, or a simple one of scikit-learn beside it."""

    model: str
    validation: float | None
    """its metric on the validation split; None where training failed"""
    test: float | None = None
    """the metric on the test split, of the chosen model and of simple ones"""
    minutes: float | None = None
    parameters: int | None = None
    megabytes: float | None = None
    """size of the weights"""
    run: str = ""
    error: str = ""
    """why there is no value"""


@dataclass(frozen=True)
class Board:
    """The leaderboard, best first."""

    path: Path
    metric: str
    rows: Sequence[Row]
    beside: Sequence[Row]
    """simple models on the same splits, in order of their simplicity"""

    @property
    def chosen(self) -> Row | None:
        """The best on the validation split."""
        return next((row for row in self.rows if row.validation is not None), None)

    def table(self) -> list[tuple[str, ...]]:
        """Its rows as text, under ``HEADER``; those beside it last."""
        return [_cells(row) for row in (*self.rows, *self.beside)]


def compare(
    data: Data,
    models: Sequence[str] = (),
    *,
    minutes: float | None = None,
    name: str | None = None,
    directory: str | Path = "runs",
    progress: Callable[[str], None] | None = None,
    **options: Any,
) -> Board:
    """Train several models on a data set, by default the one that is advised and those to consider instead.

    Each is a run in ``directory/NAME``, by default ``compare-DATA``. Called again it goes on where it was: finished
    runs are kept, others resumed. A model may have options of its own, as on the command line: "mlp --model.hidden []".
    ``minutes`` is for all of them together; ``options`` are those of ``train``. The board is written there as
    ``board.csv`` and ``board.html``.

    Raises UsageError and DataError; a model that cannot be trained on the data has a row that says why.

    Example: ``lamina.compare("iris", ["mlp", "autoencoder"], minutes=2)``
    """
    if minutes is not None and not minutes > 0:
        raise UsageError(f"minutes must be greater than 0, got {minutes:g}")
    advice = advise(data, options)
    chosen = list(dict.fromkeys(models)) or _alike([advice.model, *advice.instead])
    read = {model: _read(model) for model in chosen}
    for variant, _ in read.values():
        canonical(variant)  # a name that is not known is said first
    place = named_data({"data": data})[0]["data"]
    folder = Path(directory) / (name or f"compare-{short_name(place)}")
    limited = not (options.keys() & set(LENGTHS))
    each = minutes / len(chosen) if minutes is not None else MINUTES if limited else None
    rows: list[tuple[Row, Run | None]] = []
    for model in chosen:
        if progress is not None:
            progress(model)
        variant, stated = read[model]
        own = _over(advice.options if model == advice.model else stated, options)
        own |= {} if each is None else {"minutes": each}
        try:
            run = _trained(variant, data, folder, own, _folder(model))
        except LaminaError as error:
            rows.append((Row(model=model, validation=None, error=str(error)), None))
            continue
        rows.append((_row(model, run), run))
    if not any(run for _, run in rows):
        raise UsageError(f"nothing to compare: {'; '.join(f'{row.model}: {row.error}' for row, _ in rows)}")
    board = _board(folder, rows)
    _write(board)
    return board


def _alike(models: Sequence[str]) -> list[str]:
    """The models, each once, that have a task of the first's."""
    tasks = set(card(models[0]).tasks)
    return [model for model in dict.fromkeys(models) if tasks & set(card(model.split()[0]).tasks)]


def _read(words: str) -> tuple[str, dict[str, Any]]:
    """A model and options of its own, nested as in a recipe: "mlp --model.hidden [64]". Raises UsageError."""
    name, *rest = words.split(maxsplit=1)
    found: dict[str, Any] = {}
    for option in re.split(r"(?:^|\s+)--", rest[0])[1:] if rest else ():
        key, _, value = option.partition(" ")
        *outer, last = key.replace("-", "_").split(".")
        if not key or not value.strip() or outer not in ([], ["model"]):
            raise UsageError(f"{words}: an option is --OPTION VALUE or --model.OPTION VALUE, got '--{option}'")
        (found.setdefault("model", {}) if outer else found)[last] = read_yaml(value, f"{name} --{key}")
    if rest and not found:
        raise UsageError(f"{words}: after the model's name come options, such as --model.hidden [64], got '{rest[0]}'")
    return name, found


def _folder(words: str) -> str:
    """The name of a run's folder: the model and its options."""
    return "-".join(re.findall(r"[\w.]+(?:-[\w.]+)*", words.replace("[]", "none")))


def _over(own: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """A model's own options, nested as in a recipe, for ``train``, under the given ones."""
    merged = {**own, **options}
    model = {**own.get("model", {}), **(options.get("model_options") or {})}
    return {key: value for key, value in merged.items() if key != "model"} | {"model_options": model}


def _trained(model: str, data: Data, folder: Path, options: Mapping[str, Any], name: str) -> Run:
    """The finished run of a model: kept, resumed or new."""
    path = folder / name
    if path.is_dir():
        run = Run(path, data=None if isinstance(data, str | Path) else named_data({"data": data})[1])
        if run.directory.status().get("finished"):
            return run
        if run.directory.checkpoints.latest() is not None:
            kept = {key: value for key, value in options.items() if key in OPTION_FIELDS}
            return train(model, data=data, name=name, directory=folder, resume=True, report=False, **kept)
    return train(model, data=data, name=name, directory=folder, report=False, **options)


def _row(model: str, run: Run) -> Row:
    found = summarise(run)
    return Row(
        model=model,
        validation=found.best,
        minutes=found.minutes,
        parameters=run.card["parameters"],
        megabytes=round(run.directory.weights.stat().st_size / 1e6, 2),
        run=str(run.path),
    )


def _board(folder: Path, rows: Sequence[tuple[Row, Run | None]]) -> Board:
    runs = {row.model: run for row, run in rows if run is not None}
    metric = next(run.monitor for run in runs.values()) or "loss"
    lower = metric in next(iter(runs.values())).task.lower_is_better
    comparable = []
    for row, run in rows:
        other = run is not None and run.monitor != metric
        comparable.append(replace(row, validation=None, error=f"judged by {run.monitor}") if run and other else row)

    def rank(row: Row) -> tuple[bool, float]:
        value = row.validation
        return value is None, 0.0 if value is None else value if lower else -value

    ordered = sorted(comparable, key=rank)
    beside: list[Row] = []
    best = next((row for row in ordered if row.validation is not None), None)
    if best is not None:
        run = runs[best.model]
        split = run.final_split
        test = run.evaluate(split).get(metric) if split == "test" else None
        ordered = [replace(row, test=test) if row is best else row for row in ordered]
        judged = {name: baselines(run, name) for name in ("validation", "test") if name in run.source.splits}
        for model in next(iter(judged.values()), {}):
            scores = {name: of[model].get(metric) for name, of in judged.items()}
            if any(score is not None for score in scores.values()):
                beside.append(Row(model=model, validation=scores.get("validation"), test=scores.get("test")))
    return Board(folder, metric, ordered, beside)


def _cells(row: Row) -> tuple[str, ...]:
    numbers = [row.validation, row.test]
    return (
        row.model,
        *("-" if value is None else f"{value:.4f}" for value in numbers),
        "-" if row.minutes is None else f"{row.minutes:.1f}",
        "-" if row.parameters is None else f"{row.parameters:,}",
        "-" if row.megabytes is None else f"{row.megabytes:,.2f}",
    )


def _write(board: Board) -> None:
    """``board.csv`` and ``board.html``, whole or as they were."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(Row.__dataclass_fields__))
    writer.writeheader()
    writer.writerows(asdict(row) for row in (*board.rows, *board.beside))
    write_whole(board.path / "board.csv", lambda file: file.write(text.getvalue().encode()))
    heads = ("model", f"validation {board.metric}", f"test {board.metric}", *HEADER[3:])
    note = "The validation split chooses; the test split is judged once, for the chosen model."
    blocks = [Table(title="Trained here", columns=heads, rows=[_cells(row) for row in board.rows], note=note)]
    if board.beside:
        rows = [_cells(row)[:3] for row in board.beside]
        blocks.append(Table(title="Simple models of scikit-learn", columns=heads[:3], rows=rows))
    section = Section(name="board", title="Leaderboard", blocks=blocks)
    page = render("board.html", title=board.path.name, sections=[section])
    write_whole(board.path / "board.html", lambda file: file.write(page.encode()))
