"""Provenance: recipe, architecture, data, environment, and the command that repeats the run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from lamina.report.blocks import Block, Command, Items, Pairs, Section, Table, Text
from lamina.report.content import ReportContent
from lamina.report.wording import plain

# Parts of a card that are shown elsewhere, or do not concern this run.
PLACED = {
    "title",
    "summary",
    "paper",
    "authors",
    "year",
    "arxiv",
    "reported",
    "differences",
    "aliases",
    "recipe",
    "differentiable_method",
    "sloped",  # its name in older runs
}
NAMES = {
    "inputs": "takes",
    "tasks": "trained for",
    "input": "input shape",
    "parameters": "parameters, as named",
    "macs": "multiply-adds",
    "reference": "compared with",
}


def sections(content: ReportContent) -> list[Section]:
    """Recipe, card, data and run, environment, the command."""
    facts = {name: value for name, value in content.facts.items() if name != "command"}
    found = [
        Section(name="recipe", title="Recipe", blocks=_recipe(content)),
        Section(name="card", title="The architecture", blocks=_card(content.card)),
        Section(name="facts", title="Data and run", blocks=[_pairs(facts)]),
        Section(name="environment", title="Environment", blocks=[_pairs(content.environment)]),
    ]
    if command := content.facts.get("command"):
        found.append(Section(name="command", title="To repeat it", blocks=[Command(text=str(command))]))
    return found


def _recipe(content: ReportContent) -> list[Block]:
    """The recipe, what differs from the default marked."""
    recipe, defaults = content.recipe, content.defaults
    if not defaults or not recipe:
        return [_pairs(recipe)]
    other = [name for name, value in recipe.items() if name in defaults and plain(value) != plain(defaults[name])]
    pairs = [
        (
            name.replace("_", " "),
            f"{plain(value)} (default: {plain(defaults[name])})" if name in other else plain(value),
        )
        for name, value in sorted(recipe.items(), key=lambda item: item[0] not in other)
    ]
    says = "What differs from the default is marked and comes first." if other else "All of it is the default."
    return [Text(text=says), Pairs(pairs=pairs, marked=frozenset(name.replace("_", " ") for name in other))]


def _pairs(values: Mapping[str, object]) -> Block:
    if not values:
        return Text(text="Nothing is recorded.")
    return Pairs(pairs=[(str(name).replace("_", " "), plain(value)) for name, value in values.items()])


def _card(card: Mapping[str, object]) -> list[Block]:
    if not card:
        return [Text(text="This model has no card.")]
    blocks: list[Block] = []
    if summary := card.get("summary"):
        blocks.append(Text(text=": ".join(str(part) for part in (card.get("title"), summary) if part)))
    if paper := card.get("paper"):
        arxiv = str(card.get("arxiv") or "")
        # only what has the form of an identifier becomes a link
        known = re.fullmatch(r"\d{4}\.\d{4,5}|[a-z-]+(\.[A-Z]{2})?/\d{7}", arxiv) is not None
        cited = ", ".join(str(part) for part in (card.get("authors"), f"“{paper}”", card.get("year")) if part)
        link = f"https://arxiv.org/abs/{arxiv}" if known else ""
        blocks.append(Text(text=f"Paper: {cited}.", link=link, link_text=f"arXiv {arxiv}" if known else ""))
    if differences := card.get("differences"):
        blocks.append(Items(title="Differences from the paper", items=[str(item) for item in _sequence(differences)]))
    if rows := [row for row in map(_reported, _sequence(card.get("reported"))) if row]:
        columns = ["data", "metric", "value", "source", "note"]
        blocks.append(Table(title="Reported results", columns=columns, rows=rows, words=frozenset({0, 1, 3, 4})))
    rest = {
        NAMES.get(name, name): value for name, value in card.items() if name not in PLACED and value not in (None, "")
    }
    if rest:
        blocks.append(_pairs(rest))
    return blocks


def _sequence(value: object) -> Sequence[object]:
    if value is None:
        return ()
    return value if isinstance(value, Sequence) and not isinstance(value, str) else (value,)


def _reported(row: object) -> list[str]:
    """A published result, as a mapping or as the card's own dataclass."""
    values = row if isinstance(row, Mapping) else getattr(row, "__dict__", {})

    return [
        plain(values.get("dataset")),
        plain(values.get("metric")),
        plain(values.get("value")),
        plain(values.get("source")),
        plain(values.get("note")),
    ]
