"""Explore, try, compare and claims: functions without a browser."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from lamina.data.requests import RequestLimits
from lamina.errors import LaminaError, UsageError
from lamina.markup import pairs, table
from lamina.options.conversion import made
from lamina.runs.run import Run, list_runs, open_run
from lamina.runs.summary import differences, summarise
from lamina.serving.options import request_options, served_fields
from lamina.studio.abilities import slid
from lamina.studio.shown import Shown, one_line, opened, run_in
from lamina.tasks.facts import quality

LIMITS = RequestLimits(max_items=64, max_tokens=2000)
LETTERS = "ABCDEFGH"
"""of the curves that are compared; more are not drawn"""
MOST_ROWS = 200
"""of a file that are shown"""
NONE: Mapping[str, float] = MappingProxyType({})
STYLE = (
    "<style>:root{color-scheme:light dark}body{font:14px system-ui,sans-serif;margin:1rem}th,td{padding:.15rem .8rem}"
    "caption{font-weight:600;text-align:left;padding:.3rem .8rem}h2{font-size:1.05rem;margin:1.6rem 0 .4rem .8rem}"
    ".scroll{overflow-x:auto;max-width:100%}td{overflow-wrap:break-word}.scroll th,.scroll td{white-space:nowrap}"
    "@media(max-width:500px){body{margin:.2rem}th,td{padding:.15rem .3rem}}</style>"
)


# ---------------------------------------------------------------------- explore


@one_line
def explore(name: str) -> Shown:
    """The facts, the drawing and the layers of an architecture, without weights; player by player."""
    import torch

    from lamina.inspection.flow import Flow
    from lamina.inspection.subjects import subjects
    from lamina.registry import canonical, card, create_model, variant
    from lamina.report.architecture import draw_graph, heading_of

    name = canonical(name)
    facts, row = card(name), variant(name)
    what = {
        "paper": facts.paper, "authors": facts.authors, "year": str(facts.year or ""), "parameters": facts.parameters,
        "tasks": ", ".join(facts.tasks), "differs from the paper": "; ".join(facts.differences),
    }  # fmt: skip
    html = STYLE + pairs(facts.title or name, what)
    with torch.device("meta"):
        model: Any = create_model(name)
    for player, module, given in subjects(row, model, model.config):
        title = f"{facts.title}, {player}" if player else facts.title
        flow = Flow(module, given)
        html += _layers(flow.rows, title)
        figures = [(heading_of(graph, title), draw_graph(graph, title)) for graph in flow.drawings()]
        html += "".join(
            f"<h2>{escape(heading)}</h2><div class=scroll tabindex=0>{svg}</div>" for heading, svg in figures
        )
    return Shown(code=EXPLORE.format(name=name), html=html)


EXPLORE = """import lamina
from lamina.inspection.flow import Flow
from lamina.inspection.subjects import subjects
from lamina.registry import variant
from lamina.report.architecture import draw_graph

print(lamina.card("{name}"))
model = lamina.create_model("{name}")
for player, module, given in subjects(variant("{name}"), model, model.config):
    flow = Flow(module, given)
    print(flow.rows)
    drawings = [draw_graph(graph, "{name}") for graph in flow.drawings()]"""


def _layers(layers: Sequence[Any], title: str) -> str:
    widest = max((layer.parameters for layer in layers), default=0) or 1
    rows = [
        (
            layer.name, layer.type, " x ".join(map(str, layer.output_shape or ())) or "-", layer.parameters,
            "" if layer.receptive_field is None else " x ".join(map(str, layer.receptive_field)),
            "\u2588" * round(10 * layer.parameters / widest),
        )
        for layer in layers
    ]  # fmt: skip
    header = ("layer", "type", "output", "parameters", "sees", "")
    return f"<h2>Layers of {escape(title)}</h2><div class=scroll tabindex=0>{table(header, rows)}</div>"


@one_line
def look_inside(runs: Path, name: str, item: Any, drawn: Any = None) -> Shown:
    """What a run computes for a picture, a drawing or a text: feature maps, attention, what it looked at."""
    path, run = opened(runs, name)
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
def predict(runs: Path, name: str, item: Any, drawn: Any = None, options: str = "", style: Any = None) -> Shown:
    """What a run predicts for a drawing, a picture, a text, a row as JSON, or a file of rows; of a run that styles
    pictures the picture in its style, or in that of a second one."""
    path, run = opened(runs, name)
    given, words = _item(item, drawn)
    if given is None:
        raise UsageError("draw something, or give a picture, a text, a row or a file")
    if "style" in run.verbs:
        chosen = _options(run, "style", options)
        second, named = ((style,), f", {_item(style, None)[1]}") if style is not None else ((), "")
        picture = run.style(given, *second, **chosen)
        return Shown(code=_code(path, f"run.style({words}{named}{_keywords(chosen)})"), pictures=[picture])
    chosen = _options(run, "predict", options)
    found = run.predict(given, **chosen)
    first = found[0] or {}
    label = first.get("probabilities") if len(found) == 1 else None
    answers = [one or {} for one in found]  # a blank line of a file has none
    pictures = [value for one in answers for value in one.values() if isinstance(value, np.ndarray) and value.ndim == 3]
    said = ("class", "probability") if label else ()
    rows = [
        {key: value for key, value in one.items() if key not in said and not isinstance(value, np.ndarray | Mapping)}
        for one in answers
    ]
    text = str(first.get("translation") or "")
    code = _code(path, f"run.predict({words}{_keywords(chosen)})")
    note = f"The first {MOST_ROWS} of {len(rows):,}" if len(rows) > MOST_ROWS else ""
    return Shown(
        code=code,
        label=label or {},
        rows=rows[:MOST_ROWS] if any(rows) else [],
        pictures=pictures,
        text=text,
        note=note,
    )


@one_line
def generate(
    runs: Path, name: str, prompt: str, seed: int, count: int, options: str = "", sliders: Mapping[str, float] = NONE
) -> Shown:
    """What a run generates: a text that continues the prompt, or pictures or rows of a seed, a walk, a mix."""
    path, run = opened(runs, name)
    fields = served_fields(run.verb_options("generate"))
    more: dict[str, Any] = {"seed": int(seed)} if "seed" in fields else {}
    number = next((one for one in ("count", "max_new_tokens") if one in fields), None)
    more |= {number: int(count)} if number is not None else {}
    chosen = _options(run, "generate", options, more | slid(run, sliders))
    if run.view.takes_prompts:
        if not prompt:
            raise UsageError("give a prompt to continue")
        text = run.generate(prompt, **chosen)[0]
        return Shown(code=_code(path, f"run.generate({prompt!r}{_keywords(chosen)})"), text=prompt + text)
    found: list[Any] = run.generate(**chosen)
    pictures = [one for one in found if isinstance(one, np.ndarray)]
    rows = [dict(one) for one in found if isinstance(one, Mapping)]
    columns = run.view.columns(made(run.verb_options("generate"), chosen, "option")) or 0
    code = _code(path, f"run.generate({_keywords(chosen)[2:]})")
    return Shown(code=code, pictures=pictures, rows=rows, columns=columns)


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
    """The runs of the folder, or those named with the options in which they differ. A letter names the curve."""
    found = [open_run(run_in(runs, name)) for name in names] if names else list_runs(runs)
    rows = []
    for place, run in enumerate(found[:MOST_ROWS]):
        one = summarise(run)
        rows.append(
            {
                "curve": LETTERS[place : place + 1], "run": run.path.name, "model": one.model,
                "data": Path(one.data).name, "state": one.state, "epochs": one.epochs, "metric": one.metric,
                "validation": one.best, "split": one.split, "result": one.test, "minutes": one.minutes,
            }
        )  # fmt: skip
    html = ""
    if len(found) > 1 and names:
        lines = [(key, *map(str, values)) for key, values in one_a_line(differences(found)).items()]
        html = STYLE + table(("option", *(run.path.name for run in found)), lines)
    every = (
        f"map(lamina.open_run, {[str(run.path) for run in found]!r})" if names else f"lamina.list_runs({str(runs)!r})"
    )
    code = f"import lamina\n\nfor run in {every}:\n    print(run.path, run.history[-1:])"
    note = "" if found else f"no runs in {runs} yet: train one"
    return Shown(code=code, rows=rows, html=html, note=note, curves=compared_curves(found))


def one_a_line(apart: Mapping[str, Sequence[Any]]) -> dict[str, Sequence[Any]]:
    """Options in which runs differ, one a line: of a group of options those that differ."""
    found: dict[str, Sequence[Any]] = {}
    for key, values in apart.items():
        if not all(isinstance(value, Mapping) for value in values):
            found[key] = values
            continue
        names = dict.fromkeys(name for value in values for name in value)
        inner = {f"{key}.{name}": [value.get(name) for value in values] for name in names}
        found |= {name: each for name, each in one_a_line(inner).items() if any(one != each[0] for one in each)}
    return found


def learning_curves(runs: Path, name: Any) -> str:
    """The curves of a training as its report draws them: HTML; nothing before its first epoch, or without a run."""
    from lamina.report.sections import learning

    try:
        history = open_run(run_in(runs, name)).history
    except LaminaError:
        return ""
    charts = [chart for block in learning.section(history).blocks for chart in getattr(block, "charts", ())]
    return _figures([(chart.title, chart.svg) for chart in charts])


def compared_curves(found: Sequence[Run]) -> str:
    """The validation losses of runs by epoch in one figure, with the letters that ``compare`` gives: HTML."""
    from lamina.report import figures
    from lamina.report.sections.learning import finite_line

    lines = {
        one: finite_line(run.history, "epoch", "validation_loss") for one, run in zip(LETTERS, found, strict=False)
    }
    if not any(len(x) for x, _ in lines.values()):
        return ""
    return _figures([("Validation loss by epoch", figures.curves("validation loss", lines, "epoch"))])


def _figures(figures: Sequence[tuple[str, str]]) -> str:
    one = "".join(f"<figure><figcaption>{escape(title)}</figcaption>{svg}</figure>" for title, svg in figures)
    return f'<div class="curves">{one}</div>' if one else ""


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


def _code(path: Path, call: str) -> str:
    """A program: imports, the run, what was drawn or given as a comment, the call."""
    head = ["from pathlib import Path"] if "Path(" in call else []
    about = (
        ["# drawing: what was drawn, an array (H, W) of its ink"] if "(drawing" in call or "=drawing" in call else []
    )
    return "\n".join([*head, "import lamina", "", f"run = lamina.open_run({str(path)!r})", *about, call])


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
        return item, f"Path({item.name!r})"
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
