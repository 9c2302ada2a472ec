"""Explore, try, compare and claims: functions without a browser."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from lamina.data.requests import RequestLimits
from lamina.errors import UsageError
from lamina.markup import pairs, table
from lamina.runs.run import Run, list_runs, open_run
from lamina.runs.summary import differences, summarise
from lamina.serving.options import request_options, served_fields
from lamina.studio.shown import Shown, one_line, run_in
from lamina.tasks.facts import quality

LIMITS = RequestLimits(max_items=64, max_tokens=2000)
STYLE = (
    "<style>body{font:14px system-ui,sans-serif;margin:1rem;color-scheme:light dark}th,td{padding:.15rem .8rem}</style>"
)


# ---------------------------------------------------------------------- explore


@one_line
def explore(name: str) -> Shown:
    """The facts and the layers of an architecture, without weights."""
    import torch

    from lamina.inspection.layers import layer_table
    from lamina.registry import canonical, card, create_model, variant

    name = canonical(name)
    facts, row = card(name), variant(name)
    what = {
        "paper": facts.paper, "authors": facts.authors, "year": str(facts.year or ""), "parameters": facts.parameters,
        "tasks": ", ".join(facts.tasks), "differs from the paper": "; ".join(facts.differences),
    }  # fmt: skip
    html = STYLE + pairs(facts.title or name, what)
    if not row.players:
        with torch.device("meta"):
            model = create_model(name)
        given: Any = row.input_shape if row.example is None else row.example(row.config, 1)
        layers = layer_table(model, given)
        widest = max((layer.parameters for layer in layers), default=0) or 1
        rows = [
            (
                layer.name, layer.type, " x ".join(map(str, layer.output_shape or ())) or "-", layer.parameters,
                "" if layer.receptive_field is None else " x ".join(map(str, layer.receptive_field)),
                "\u2588" * round(10 * layer.parameters / widest),
            )
            for layer in layers
        ]  # fmt: skip
        html += '<div class="layers">' + table(("layer", "type", "output", "parameters", "sees", ""), rows) + "</div>"
    return Shown(code=f'import lamina\n\nprint(lamina.card("{name}"))', html=html)


@one_line
def look_inside(runs: Path, name: str, item: Any, drawn: Any = None) -> Shown:
    """What a run computes for a picture, a drawing or a text: feature maps, attention, what it looked at."""
    path, run = _opened(runs, name)
    given, words = _item(item, drawn)
    takes = run.view.inspects
    if not takes:
        return Shown(code=_code(path, "run.inspection().html()"), html=run.inspection().html())
    if given is None:
        raise UsageError(f"give a {takes} to look at, or draw one")
    asked: Any = {takes: given}
    return Shown(code=_code(path, f"run.inspection({takes}={words}).html()"), html=run.inspection(**asked).html())


# ---------------------------------------------------------------------- try


@one_line
def predict(runs: Path, name: str, item: Any, drawn: Any = None, options: str = "") -> Shown:
    """What a run predicts for a drawing, a picture, a text, a row as JSON, or a file of rows."""
    path, run = _opened(runs, name)
    given, words = _item(item, drawn)
    if given is None:
        raise UsageError("draw something, or give a picture, a text, a row or a file")
    chosen = _options(run, "predict", options)
    found = run.predict(given, **chosen)
    first = found[0]
    label = first.get("probabilities") if len(found) == 1 else None
    pictures = [value for one in found for value in one.values() if isinstance(value, np.ndarray) and value.ndim == 3]
    rows = [{key: value for key, value in one.items() if not isinstance(value, np.ndarray | Mapping)} for one in found]
    text = str(first.get("translation") or "")
    code = _code(path, f"run.predict({words}{_keywords(chosen)})")
    return Shown(code=code, label=label or {}, rows=rows[:200], pictures=pictures, text=text)


@one_line
def generate(runs: Path, name: str, prompt: str, seed: int, count: int, options: str = "") -> Shown:
    """What a run generates: a text that continues the prompt, or pictures or rows of a seed."""
    path, run = _opened(runs, name)
    fields = served_fields(run.verb_options("generate"))
    more: dict[str, Any] = {"seed": int(seed)} if "seed" in fields else {}
    number = next((one for one in ("count", "max_new_tokens") if one in fields), None)
    more |= {number: int(count)} if number is not None else {}
    chosen = _options(run, "generate", options, more)
    if run.view.takes_prompts:
        if not prompt:
            raise UsageError("give a prompt to continue")
        text = run.generate(prompt, **chosen)[0]
        return Shown(code=_code(path, f"run.generate({prompt!r}{_keywords(chosen)})"), text=prompt + text)
    found: list[Any] = run.generate(**chosen)
    pictures = [one for one in found if isinstance(one, np.ndarray)]
    rows = [dict(one) for one in found if isinstance(one, Mapping)]
    return Shown(code=_code(path, f"run.generate({_keywords(chosen)[2:]})"), pictures=pictures, rows=rows)


def verbs_of(runs: Path, name: str) -> tuple[str, ...]:
    """The verbs of a run; none for a name that is not a run's."""
    try:
        return _opened(runs, name)[1].verbs
    except UsageError:
        return ()


def as_drawing(drawn: Any) -> Any:
    """What was drawn on the pad, light on dark, cut out and centred with a margin; None where nothing was.

    A pad gives its layers as (H, W, 4) uint8; ink is where they are not transparent.
    """
    layers = drawn.get("layers") if isinstance(drawn, Mapping) else None
    inks = [np.asarray(layer)[..., 3] for layer in layers or () if np.asarray(layer).ndim == 3]
    if not inks or not any(ink.any() for ink in inks):
        return None
    ink = np.maximum.reduce(inks)
    ys, xs = np.nonzero(ink)
    cut = ink[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
    side = max(cut.shape)
    margin = max(1, side // 5)
    square = np.zeros((side + 2 * margin,) * 2, np.uint8)
    y, x = ((side + 2 * margin - size) // 2 for size in cut.shape)
    square[y : y + cut.shape[0], x : x + cut.shape[1]] = cut
    return square


# ---------------------------------------------------------------------- compare


@one_line
def compare(runs: Path, names: Sequence[str] = ()) -> Shown:
    """The runs of the folder, or those named with the options in which they differ."""
    found = [open_run(run_in(runs, name)) for name in names] if names else list_runs(runs)
    rows = []
    for run in found:
        one = summarise(run)
        rows.append(
            {
                "run": run.path.name, "model": one.model, "data": one.data, "state": one.state, "epochs": one.epochs,
                "metric": one.metric, "validation": one.best, one.split or "test": one.test, "minutes": one.minutes,
            }
        )  # fmt: skip
    html = ""
    if len(found) > 1 and names:
        apart = differences(found)
        lines = [(key, *(str(value) for value in values)) for key, values in apart.items()]
        html = STYLE + table(("option", *(run.path.name for run in found)), lines)
    code = f'import lamina\n\nfor run in lamina.list_runs("{runs}"):\n    print(run.path, run.history[-1:])'
    return Shown(code=code, rows=rows, html=html)


def curves(runs: Path, names: Sequence[str]) -> list[dict[str, Any]]:
    """The metrics of runs by epoch: rows of run, epoch, metric, value."""
    found = []
    for name in names:
        try:
            path = run_in(runs, name)
            history = open_run(path).history
        except UsageError:
            continue
        for row in history:
            for metric, value in row.items():
                if is_curve(metric) and isinstance(value, int | float):
                    found.append({"run": name, "epoch": int(row["epoch"]), "metric": metric, "value": float(value)})
    return found


def is_curve(metric: str) -> bool:
    """Whether a column of the metrics is worth a curve: not the comparison with the best constant."""
    group, _, name = metric.partition("_")
    return group in ("train", "validation") and bool(quality([name]))


def run_names(runs: Path) -> list[str]:
    """The runs of the folder, the latest first."""
    found = list_runs(runs) if runs.is_dir() else []
    ordered = sorted(found, key=lambda run: (run.path / "config.yaml").stat().st_mtime, reverse=True)
    return [run.path.name for run in ordered]


# ---------------------------------------------------------------------- claims


def claims() -> list[dict[str, Any]]:
    """Every claim with its sentence and its known verdict."""
    from lamina.claims.registry import get_claim, known_verdicts, list_claims

    verdicts = known_verdicts()
    return [
        {"claim": name, "verdict": verdicts.get(name, "-"), "sentence": get_claim(name).sentence}
        for name in list_claims()
    ]


@one_line
def run_claim(name: str) -> Shown:
    """Run a claim, and show its figure and numbers."""
    from lamina.claims import running
    from lamina.claims.registry import check_name
    from lamina.claims.rendering import render_page

    result = running.run_claim(check_name(name))
    code = f'from lamina.claims.running import run_claim\n\nprint(run_claim("{result.name}").verdict)'
    return Shown(code=code, html=render_page([result]), note=f"{result.verdict}, in {result.seconds:.1f} s")


# ---------------------------------------------------------------------- shared


@lru_cache(maxsize=8)
def _open(path: Path, stamp: tuple[int, int]) -> Run:
    return open_run(path)


def _opened(runs: Path, name: Any) -> tuple[Path, Run]:
    """A run of the folder; read again where its weights have changed."""
    path = run_in(runs, name)
    weights = path / "model.safetensors"
    if not weights.is_file():
        raise UsageError(f"{name} has no weights yet: its first epoch is not done")
    facts = weights.stat()
    return path, _open(path, (facts.st_mtime_ns, facts.st_size))


def _code(path: Path, call: str) -> str:
    return f'import lamina\n\nrun = lamina.open_run("{path}")\n{call}'


def _item(item: Any, drawn: Any) -> tuple[Any, str]:
    """What is given, as ``Run.predict`` takes it, and how a program would name it."""
    drawing = as_drawing(drawn)
    if item is None or (isinstance(item, str) and not item.strip()):
        return drawing, "drawing" if drawing is not None else ""
    if isinstance(item, str) and item.lstrip().startswith("{"):
        try:
            row = json.loads(item)
        except ValueError as error:
            raise UsageError(f"the row is no JSON: {error}") from None
        return row, repr(row)
    if isinstance(item, Path):
        return item, f'Path("{item.name}")'
    return item, repr(item) if isinstance(item, str) else "picture"


def _options(run: Run, verb: str, text: str, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Options as JSON, those of the sliders beside them. Raises UsageError."""
    try:
        given = json.loads(text) if text.strip() else {}
    except ValueError as error:
        raise UsageError(f"options are an object of JSON: {error}") from None
    if not isinstance(given, dict):
        raise UsageError('options are an object of JSON, {"walk": 0}')
    return request_options(run.verb_options(verb), {**(more or {}), **given}, LIMITS)


def _keywords(options: Mapping[str, Any]) -> str:
    return "".join(f", {name}={value!r}" for name, value in options.items())
