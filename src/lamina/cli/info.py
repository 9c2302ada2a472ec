"""``lamina info``: the facts and the layers of a model or a run."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lamina.cards import Card, Variant
from lamina.cli.output import as_json, count, facts, note, shapes, size, table
from lamina.cli.parser import Parser, dashed
from lamina.cli.run_argument import add_run, run_or_model
from lamina.errors import UsageError
from lamina.registry import canonical, card

if TYPE_CHECKING:
    from lamina.inspection.layers import LayerRow

    Found = tuple[dict[str, object], Card | None, list[LayerRow]]


def parser() -> Parser:
    text = "The facts of a model or a run: paper, reported results, differences from the paper; every layer."
    parser = Parser("info", "MODEL | RUN", text, "lenet5\nlenet5 --source\nruns/lenet5-digits")
    add_run(parser, "MODEL|RUN")
    parser.add_argument("--source", action="store_true", help="print the file of the architecture instead")
    parser.add_common()
    return parser


def command(argv: Sequence[str]) -> int:
    args = parser().read(dashed(argv))
    path = run_or_model(args.run, args.runs)
    if args.source:
        return _source(args.run if path is None else _variant_of(path), args.json)
    if path is None:
        name = canonical(args.run)
        title, facts_, rows = _of_model(name)
    else:
        title, facts_, rows = _of_run(path)
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
    import inspect

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

    from lamina.inspection.layers import layer_table
    from lamina.registry import create_model, variant

    row = variant(name)
    with torch.device("meta"):  # no weights are needed, and they may be large
        model = create_model(name)
    if row.players:
        return {"model": name}, card(name), _of_players(row, model, row.config)
    given: Any = row.input_shape if row.example is None else row.example(row.config, 1)
    return {"model": name}, card(name), layer_table(model, given)


def _of_players(row: Variant, model: Any, config: Any) -> list[LayerRow]:
    """The layers of each player, called as its example or its card says."""
    import torch

    from lamina.export.example import input_shape
    from lamina.inspection.layers import layer_table

    rows: list[LayerRow] = []
    for player in row.players:
        one = row.player(player)
        module: Any = getattr(model, player)
        given: Any = input_shape(one, config) if one.example is None else one.example(config, 1)
        if one.example is None and getattr(module, "classes", 0) > 0:  # a label beside the tensor
            tensors = (torch.zeros(1, *given), torch.zeros(1, dtype=torch.int64))
            given = dict(zip(inspect.signature(module.forward).parameters, tensors, strict=False))
        own = layer_table(module, given)
        rows += [dataclasses.replace(layer, name=f"{player}.{layer.name}") for layer in own]
    return rows


def _of_run(path: Path) -> Found:
    """A run: its state, the variant's card, and the layers of the model as built for the data."""
    from lamina.inspection.layers import layer_table
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
    if row.players:
        return title, row.card, _of_players(row, model, model.config)
    given: Any = run.preprocess.signature()[0].shape if row.example is None else row.example(model.config, 1)
    return title, row.card, layer_table(model, given)


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
