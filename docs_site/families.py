"""The page of a family: what its file, its cards, the drawings of its models and the recorded results say.

A page is docs/families/NAME.md: front matter, and a few paragraphs that no table can write.

    ---
    architectures: [resnet, resnet_cifar]     # files of lamina/models; each belongs to one page (a test)
    draw: [resnet50]                          # variants to draw; default: the first of each file
    equations: [regularisation.batch_norm]    # functions of lamina.equations
    claims: [residual-depth]
    ---
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
import yaml

from docs_site.pages import ROOT, measurements
from lamina.cards import Card, Count
from lamina.claims.registry import get_claim
from lamina.claims.rendering import times
from lamina.claims.running import read_result
from lamina.inspection.flow import Flow
from lamina.inspection.subjects import subjects
from lamina.registry import card, create_model, variant
from lamina.report.architecture import draw_graph, heading_of

PAGES = ROOT / "docs" / "families"
FLOW = """\
Drawn from the model: each box is a module, with its output for one input, its parameters and, for pictures, how many
pixels a position sees. A line at the left passes boxes over, a dashed one at the right leads back; the bar below is the
share of the parameters. `lamina info {name} --figure {name}.svg` draws a variant."""


@cache
def architectures() -> dict[str, list[str]]:
    """The variants of each file of models."""
    index = json.loads((ROOT / "src/lamina/cards/index.json").read_text(encoding="utf-8"))
    found: dict[str, list[str]] = {}
    for name, entry in index.items():
        found.setdefault(entry["architecture"], []).append(name)
    return found


def meta_of(page: Path) -> dict[str, Any]:
    """The front matter of a page."""
    head = re.match(r"---\n(.*?)\n---\n", page.read_text(encoding="utf-8"), re.S)
    return yaml.safe_load(head[1]) if head else {}


def pages() -> dict[str, dict[str, Any]]:
    """The front matter of each family's page, by its file's name."""
    return {path.name: meta_of(path) for path in sorted(PAGES.glob("*.md"))}


def index() -> str:
    """The list of families, in the order of their first paper."""
    rows = []
    for name, meta in pages().items():
        title = re.search(r"^# (.+)$", (PAGES / name).read_text(encoding="utf-8"), re.M)
        cards = [card(one) for file in meta["architectures"] for one in architectures()[file]]
        years = sorted({one.year for one in cards})
        takes = ", ".join(sorted({kind for one in cards for kind in one.inputs}))
        span = f"{years[0]}" if len(years) == 1 else f"{years[0]} to {years[-1]}"
        rows.append((years[0], f"| [{title[1] if title else name}]({name}) | {span} | {len(cards)} | {takes} |"))
    lines = [row for _, row in sorted(rows)]
    return "\n".join(
        [
            "# Architectures",
            "",
            "One page a family: its variants, its data flow drawn from the model itself, the equations it stands on,",
            "how it differs from its paper, what was measured, and how to read its file.",
            "",
            "| family | papers | variants | takes |",
            "|---|---|---|---|",
            *lines,
            "",
        ]
    )


def sections(meta: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """The generated part of a page, and its drawings by the comments that stand for them."""
    files: Sequence[str] = meta["architectures"]
    names = [name for file in files for name in architectures()[file]]
    drawn = meta.get("draw") or [architectures()[file][0] for file in files]
    figures = dict(figure for name in drawn for figure in _drawings(name))
    text = [
        _variants(names),
        "\n\n".join(["## Data flow", FLOW.format(name=drawn[0]), *figures]),
        _equations(meta.get("equations", ())),
        _differences(names),
        _claims(meta.get("claims", ())),
        _results(names),
        _pictures(names),
        "\n\n".join(["## Reading its file", *map(_file, files)]),
    ]
    return "\n\n".join(filter(None, text)), figures


# ---------------------------------------------------------------- cards


def _variants(names: Sequence[str]) -> str:
    lines = [
        "## Variants",
        "",
        "| name | what it is | input | parameters | multiply-adds | paper |",
        "|---|---|---|---|---|---|",
    ]
    for name in names:
        one = card(name)
        where = f"[{one.arxiv}](https://arxiv.org/abs/{one.arxiv})" if one.arxiv else str(one.year)
        paper = f"{one.authors}, {one.year}" + (f", {where}" if one.arxiv else "")
        cells = [f"`{name}`", one.summary, _shapes(one), _count(one.parameters), _count(one.macs), paper]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def _count(count: Count) -> str:
    if isinstance(count, Mapping):
        return ", ".join(f"{player} {_count(value)}" for player, value in count.items())
    return "-" if count is None else f"{count:,}"


def _shapes(one: Card) -> str:
    shapes = one.input if isinstance(one.input, Mapping) else {"": one.input}
    return ", ".join(f"{player} {'×'.join(map(str, shape))}".strip() for player, shape in shapes.items())


def _differences(names: Sequence[str]) -> str:
    found: dict[str, list[str]] = {}
    for name in names:
        for difference in card(name).differences:
            found.setdefault(difference, []).append(name)
    lines = ["## Differences from the paper", ""]
    for difference, of in found.items():
        which = "" if len(of) == len(names) else f" ({', '.join(f'`{name}`' for name in of)})"
        lines.append(f"- {difference}{which}")
    return "\n".join(lines if found else [*lines, "None that its card lists."])


def _drawings(name: str) -> Iterator[tuple[str, str]]:
    row = variant(name)
    with torch.device("meta"):
        model = create_model(name)
    for player, module, given in subjects(row, model, row.config):
        title = f"{row.card.title}, {player}" if player else row.card.title
        graphs = list(Flow(module, given).drawings())
        figures = "".join(
            f"<figure><figcaption>{heading_of(graph, title)}</figcaption>"
            f'<div class="drawing" tabindex="0">{draw_graph(graph, title)}</div></figure>'
            for graph in graphs
        )
        yield f"<!-- drawing {name} {player} -->", f'<div class="figures" data-search-exclude>{figures}</div>'


# ---------------------------------------------------------------- equations and files


def _equations(names: Sequence[str]) -> str:
    if not names:
        return ""
    parts = ["## Equations", "As the tests use them, written plainly; run-time code does not import them."]
    for name in names:
        module, _, function = name.partition(".")
        found = getattr(importlib.import_module(f"lamina.equations.{module}"), function)
        source = inspect.getsource(found).rstrip()
        parts.append(f"### {function}\n\n`lamina.equations.{name}`\n\n```{{.py .source}}\n{source}\n```")
    return "\n\n".join(parts)


def _file(name: str) -> str:
    """The docstring of an architecture's file, and what it defines in order."""
    path = ROOT / "src" / "lamina" / "models" / f"{name}.py"
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    text = ast.get_docstring(tree) or ""
    rows = []
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            about = (ast.get_docstring(node) or "").split("\n\n")[0].replace("\n", " ").replace("|", "\\|")
            rows.append(f"| {node.lineno} | `{node.name}` | {lines} | {_escaped(about)} |")
    first = architectures()[name][0]
    return "\n".join(
        [
            f"### models/{name}.py",
            "",
            f"{len(source.splitlines())} lines; `lamina info {first} --source` prints them. It begins:",
            "",
            "```{.text .source}",
            text,
            "```",
            "",
            "| line | defines | lines | what it is |",
            "|---|---|---|---|",
            *rows,
        ]
    )


def _escaped(text: str) -> str:
    """Signs of Markdown in running text as they are."""
    return (
        re.sub(r"([<*_\[\]])", r"\\\1", text.replace("``", "`"))
        if "`" not in text
        else text.replace("``", "`").replace("<", "&lt;")
    )


# ---------------------------------------------------------------- results


def _claims(names: Sequence[str]) -> str:
    if not names:
        return ""
    lines = ["## Claims", "", "| claim | sentence | verdict | margin |", "|---|---|---|---|"]
    for name in names:
        path = claim_file(name)
        if not path.is_file():
            lines.append(
                f"| `{name}` | {get_claim(name).sentence.replace('|', chr(92) + '|')} | not yet measured | - |"
            )
            continue
        found = read_result(path)
        sentence = found.sentence.replace("|", "\\|")
        lines.append(f"| [`{name}`](../claims.md) | {sentence} | **{found.verdict}** | {times(found.margin)} |")
    lines += ["", "`lamina claims NAME` runs one again. Every bar, and why it is there: [claims](../claims.md)."]
    return "\n".join(lines)


def claim_file(name: str) -> Path:
    return ROOT / "results" / "claims" / f"{name}.json"


def _results(names: Sequence[str]) -> str:
    """What recipes of these variants reached, what the papers report, rows of the benchmarks that name them."""
    lines = ["## Results", ""]
    recipes = [row for row in _recipes() if row["name"] in names]
    if recipes:
        lines += ["| recipe | what | ours | bar | paper | reached |", "|---|---|---|---|---|---|"]
        lines += [row["line"] for row in recipes]
        lines += ["", "`lamina reproduce NAME` runs one again; seeds and hardware: [results](../results.md).", ""]
    rows = [(path, row) for path in measurements() for row in _judged(path, names)]
    if rows:
        lines += ["| measured | value | bar | reached |", "|---|---|---|---|"]
        lines += [f"| {row[0]} ([file](../benchmarks/{path.name})) | {' | '.join(row[1:])} |" for path, row in rows]
        lines.append("")
    reported = [(name, one) for name in names for one in card(name).reported]
    if reported:
        lines += ["Reported by others:", "", "| variant | data | metric | value | by |", "|---|---|---|---|---|"]
        for name, one in reported:
            by = "; ".join(filter(None, (one.source, one.note))).replace("|", "\\|")
            lines.append(f"| `{name}` | {one.dataset} | {one.metric} | {one.value} | {by} |")
        lines.append("")
    if len(lines) == 2:
        return ""
    return "\n".join([*lines, "Outputs and gradients beside the reference's: [parity](../parity.md)."])


@cache
def _recipes() -> list[dict[str, str]]:
    rows = []
    for path in sorted((ROOT / "results").glob("*.json")):
        found = json.loads(path.read_text(encoding="utf-8"))
        recipe = yaml.safe_load((ROOT / "src/lamina/recipes" / f"{found['recipe']}.yaml").read_text(encoding="utf-8"))
        line = re.search(
            rf"^\| {re.escape(found['recipe'])} \|.*$", (ROOT / "RESULTS.md").read_text(encoding="utf-8"), re.M
        )
        if line is None:
            continue  # RESULTS.md is written from these files: the next rendering has it
        cells = [cell.strip() for cell in line[0].strip("|").split("|")]
        _, what, paper, ours, bar, reached = cells[:6]
        rows.append(
            {"name": recipe["name"], "line": f"| `{cells[0]}` | {what} | {ours} | {bar} | {paper} | {reached} |"}
        )
    return rows


def _judged(path: Path, names: Sequence[str]) -> list[list[str]]:
    """The rows of a benchmark's table "what, measured, bar, reached" that name one of these variants."""
    rows, judged = [], False
    for line in path.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.startswith("|"):
            judged = False
        elif cells == ["what", "measured", "bar", "reached"]:
            judged = True
        elif (
            judged
            and len(cells) == 4
            and any(re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", cells[0]) for name in names)
        ):
            rows.append(cells)
    return rows


def _pictures(names: Sequence[str]) -> str:
    """Pictures of the gallery whose files begin with the name of one of these variants."""
    gallery = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
    found = [
        (alt, path) for alt, path in re.findall(r"!\[([^\]]*)\]\((gallery/[^)\s]+)\)", gallery) if belongs(path, names)
    ]
    if not found:
        return ""
    images = "\n".join(f"![{alt}](../{path})" for alt, path in found)
    return f"## Made by it\n\nWith the commands that made them: [gallery](../gallery.md).\n\n{images}"


def belongs(path: str, names: Sequence[str]) -> bool:
    """Whether a picture "gallery/vae-mnist-samples.png" is of one of the variants: the longest name that it begins with
    decides."""
    stem = Path(path).stem
    everyone = [name for group in architectures().values() for name in group]
    fitting = [name for name in everyone if stem == name or stem.startswith(f"{name}-")]
    return bool(fitting) and max(fitting, key=len) in names
