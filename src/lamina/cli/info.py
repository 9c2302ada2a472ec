"""``lamina info``: the facts and the layers of a model or a run."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamina.cards import Card
from lamina.cli.output import as_json, count, facts, note, shapes, size, table
from lamina.cli.parser import Parser, dashed
from lamina.cli.run_argument import add_run, run_or_model
from lamina.cli.writing import check_out
from lamina.errors import UsageError
from lamina.files import write_whole
from lamina.registry import canonical, card

if TYPE_CHECKING:
    from torch import nn

    from lamina.inspection.layers import LayerRow
    from lamina.inspection.subjects import Given

    Subject = tuple[str, nn.Module, Given]
    Found = tuple[dict[str, object], Card | None, list[Subject]]


def parser() -> Parser:
    text = "The facts of a model or a run: paper, reported results, differences from the paper; every layer."
    parser = Parser(
        "info", "MODEL | RUN", text, "lenet5\nlenet5 --source\nresnet18 --figure resnet18.svg\nruns/lenet5-digits"
    )
    add_run(parser, "MODEL|RUN")
    parser.add_argument("--source", action="store_true", help="print the file of the architecture instead")
    parser.add_argument("--figure", metavar="FILE", help="draw its data flow instead, into an .svg file")
    parser.add_common()
    return parser


def command(argv: Sequence[str]) -> int:
    args = parser().read(dashed(argv))
    figure = check_out(args.figure, (".svg",), "--figure")
    path = run_or_model(args.run, args.runs)
    if args.source:
        return _source(args.run if path is None else _variant_of(path), args.json)
    if path is None:
        name = canonical(args.run)
        title, facts_, parts = _of_model(name)
    else:
        title, facts_, parts = _of_run(path)
    if figure is not None:
        _draw(parts, facts_.title if facts_ else args.run, figure)
        if args.json:
            as_json({**title, "figure": str(figure)})
        else:
            print(figure)
        return 0
    rows = _layers(parts)
    if args.json:
        layers = [dataclasses.asdict(row) for row in rows]
        as_json({**title, "card": facts_ and dataclasses.asdict(facts_), "layers": layers})
        return 0
    facts({**title, **(_of_card(facts_) if facts_ else {})})
    if rows:
        print()
        _show_layers(rows)
    return 0


def _source(name: str, as_document: bool) -> int:
    """Print the file that an architecture is written in."""

    from lamina.registry import variant

    file = Path(inspect.getsourcefile(variant(name).build) or "")
    text = file.read_text(encoding="utf-8")
    if as_document:
        as_json({"model": canonical(name), "file": str(file), "source": text})
    else:
        print(f"# {file}\n\n{text}", end="")
    return 0


def _variant_of(path: Path) -> str:
    """The variant that a run trains. Raises UsageError for a module of the user's own."""
    from lamina.runs.run import open_run

    found = open_run(path).card.get("variant")
    if found is None:
        raise UsageError(f"{path} holds a module of your own: its source is yours")
    return str(found)


def _of_model(name: str) -> Found:
    import torch

    from lamina.inspection.subjects import subjects
    from lamina.registry import create_model, variant

    row = variant(name)
    with torch.device("meta"):  # no weights are needed, and they may be large
        model = create_model(name)
    return {"model": name}, card(name), list(subjects(row, model, row.config))


def _of_run(path: Path) -> Found:
    """A run: its state, the variant's card, and the layers of the model as built for the data."""
    from lamina.inspection.subjects import subjects
    from lamina.registry import variant
    from lamina.runs.run import open_run
    from lamina.runs.summary import summarise

    run = open_run(path)
    summary = summarise(run)
    options: dict[str, object] = run.directory.read("card.json").get("config", {})
    title: dict[str, object] = {
        "run": path,
        "state": f"{summary.state}, {summary.epochs} epochs, {summary.step} steps, {summary.minutes:.1f} minutes",
        "data": run.config.data_name,
        "model": run.config.name,
        "options": ", ".join(f"{key}={value}" for key, value in options.items()),
    }
    if not options:
        note("the run holds a module of your own, which only your code can build: its layers are not listed")
        return title, None, []
    model, row = run.untrained(), variant(run.config.name)
    shape: Any = None if row.players or row.example is not None else run.preprocess.signature()[0].shape
    return title, row.card, list(subjects(row, model, model.config, shape))


def _layers(parts: Sequence[Subject]) -> list[LayerRow]:
    """The layers of a model, or of each player."""
    from lamina.inspection.layers import layer_table

    rows: list[LayerRow] = []
    for player, module, given in parts:
        own = layer_table(module, given)
        rows += [dataclasses.replace(row, name=f"{player}.{row.name}") for row in own] if player else own
    return rows


def _draw(parts: Sequence[Subject], name: str, file: Path) -> None:
    """Write the drawing of a model, or of each player, as an SVG file."""
    from lamina.inspection.flow import Flow
    from lamina.report.architecture import draw_sheet

    if not parts:
        raise UsageError("a module of your own cannot be drawn from its run: use lamina.inspection.Flow")
    drawn = [
        (f"{name}, {player}" if player else name, list(Flow(part, given).drawings())) for player, part, given in parts
    ]
    write_whole(file, lambda sheet: sheet.write(draw_sheet(drawn).encode()))


def _of_card(card: Card) -> dict[str, object]:
    results = [
        f"{r.dataset}: {r.metric} {r.value} ({'; '.join(filter(None, (r.source, r.note)))})" for r in card.reported
    ]
    arxiv = f", arXiv {card.arxiv}" if card.arxiv else ""
    return {
        "title": card.title,
        "summary": card.summary,
        "paper": f"{card.authors}: {card.paper}, {card.year}{arxiv}",
        "takes": ", ".join(card.inputs),
        "tasks": ", ".join(card.tasks),
        "parameters": f"{count(card.parameters)} as named",
        "MACs": f"{count(card.macs)} for an input of {shapes(card.input)}",
        "differences": card.differences,
        "reported": results,
        "reference": card.reference,
        "weights": [
            f"{one.name}: hf:{one.repository}, of {one.data}, {one.licence} (--weights {one.name})"
            for one in card.published
        ],
        "licence": card.licence,
        "recipe": card.recipe,
        "also called": ", ".join(card.aliases),
    }


def _show_layers(rows: Sequence[LayerRow]) -> None:
    from lamina.inspection.layers import total

    whole = total(rows)
    table(
        ("layer", "type", "output", "parameters", "MACs", "receptive field"),
        (
            (
                row.name,
                row.type,
                size(row.output_shape),
                count(row.parameters),
                count(row.macs),
                size(row.receptive_field),
            )
            for row in rows
        ),
        right=(3, 4),
        last=(whole.name, "", "", count(whole.parameters), count(whole.macs), ""),
    )
