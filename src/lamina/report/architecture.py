"""A model as a picture: its data flow, box by box, with shapes, parameters and receptive fields; drawn from the model.

    from lamina.inspection.flow import Flow
    from lamina.report.architecture import draw_sheet

    flow = Flow(lamina.create_model("resnet18"), (3, 224, 224))
    Path("resnet18.svg").write_text(draw_sheet([("ResNet-18", list(flow.drawings()))]))

Boxes stand below each other in the order of their first call. A line at the left leads to a box that is not the next:
a shortcut, a memory that is read again. A dashed one at the right leads back: a state that goes from step to step. The
bar under a box is its share of the parameters.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

from lamina.inspection.flow import INPUT, OUTPUT, Box, Graph

HEIGHT, LOW, GAP, LANE = 50, 26, 18, 12
"""of a box; of input and output; between them; between lines that lead past boxes"""
BOX, RIGHT = 396, 12
FONT = "system-ui, -apple-system, Segoe UI, sans-serif"
COLOURS = {
    "convolution": "#2f7fc1",
    "linear": "#c4570f",
    "normalisation": "#77828e",
    "activation": "#77828e",
    "pooling": "#0b7d5d",
    "recurrent": "#9b4f90",
    "embedding": "#8d7000",
    "product": "#6b55a6",
    "block": "#3f6fae",
    "other": "#77828e",
}
"""of the stripe of each kind: they read on a light page and on a dark one"""


def draw_sheet(models: Sequence[tuple[str, Sequence[Graph]]]) -> str:
    """A file of its own: (title, its graphs) below each other, the graphs of one side by side, on white."""
    parts, y, wide = [], 12, 0
    for title, graphs in models:
        x, low = 12, 0
        for graph in graphs:
            width, height, drawing = _drawing(graph, title)
            heading = heading_of(graph, title)
            parts.append(f'<text x="{x}" y="{y + 18}" font-size="15" font-weight="600">{escape(heading)}</text>')
            parts.append(drawing.replace("<svg ", f'<svg x="{x}" y="{y + 32}" ', 1))
            x, low = x + width + 30, max(low, height)
        y, wide = y + low + 60, max(wide, x)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {y}" width="{wide}" height="{y}" '
        f'style="background: #ffffff" color="#1b2026" fill="#1b2026" font-family="{FONT}">{"".join(parts)}</svg>\n'
    )


def heading_of(graph: Graph, title: str) -> str:
    """ "ResNet-18", "Inside stages.0.0 (ResidualBlock)"."""
    return f"Inside {graph.root} ({graph.title})" if graph.root else title


def draw_graph(graph: Graph, name: str) -> str:
    """An SVG element of ``graph`` for a page, whose colour its text takes. The alternative text lists the boxes."""
    return _drawing(graph, name)[2]


def _drawing(graph: Graph, name: str) -> tuple[int, int, str]:
    """Width, height and the element."""
    rows = [INPUT, *range(len(graph.boxes)), OUTPUT]
    place = {end: row for row, end in enumerate(rows)}
    forward, back = _routes(graph, place)
    left = 16 + LANE * (max(forward.values(), default=-1) + 1) if forward else 16
    right = RIGHT + LANE * (max(back.values(), default=-1) + 1) if back else RIGHT
    width = left + BOX + right
    tops = _tops(len(rows))
    total = tops[-1] + LOW + 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {total}" width="{width}" height="{total}" '
        f'role="img" aria-label="{escape(_alt(graph, name), quote=True)}" font-size="13" '
        f'font-family="{FONT}" fill="currentColor">',
    ]
    parts += _lines(graph, place, forward, back, tops, left)
    parts += _end("input", _numbers(graph.input_shape), left, tops[0])
    for index, box in enumerate(graph.boxes):
        parts += _drawn(box, graph, left, tops[index + 1])
    parts += _end("output", "", left, tops[-1])
    return width, total, "".join([*parts, "</svg>"])


def _tops(rows: int) -> list[int]:
    """The upper edge of each row; the ends are lower than boxes."""
    tops, y = [], 2
    for row in range(rows):
        tops.append(y)
        y += (LOW if row in (0, rows - 1) else HEIGHT) + GAP
    return tops


def _middle(row: int, tops: Sequence[int]) -> float:
    return tops[row] + (LOW if row in (0, len(tops) - 1) else HEIGHT) / 2


def _routes(graph: Graph, place: dict[int, int]) -> tuple[dict[int, int], dict[int, int]]:
    """For each row that an edge leaves which is no step to the next row: its lane at the left (forward), at the right
    (back, or to itself). Lanes of edges that overlap differ."""
    ahead: dict[int, list[int]] = {}
    behind: dict[int, list[int]] = {}
    for source, target in graph.edges:
        a, b = place[source], place[target]
        if b > a + 1:
            ahead.setdefault(a, []).append(b)
        elif b <= a:
            behind.setdefault(a, []).append(b)
    spans = {a: (a, max(rows)) for a, rows in ahead.items()}
    loops = {a: (min(rows), a) for a, rows in behind.items()}
    return _lanes(spans), _lanes(loops)


def _lanes(spans: dict[int, tuple[int, int]]) -> dict[int, int]:
    """The shortest spans nearest to the boxes."""
    lanes: dict[int, int] = {}
    for source in sorted(spans, key=lambda source: (spans[source][1] - spans[source][0], source)):
        low, high = spans[source]
        taken = {lanes[other] for other in lanes if spans[other][0] < high and low < spans[other][1]}
        lanes[source] = next(lane for lane in range(len(spans) + 1) if lane not in taken)
    return lanes


def _lines(
    graph: Graph,
    place: dict[int, int],
    forward: dict[int, int],
    back: dict[int, int],
    tops: Sequence[int],
    left: int,
) -> Iterator[str]:
    pen = 'fill="none" stroke="currentColor" stroke-opacity="0.65" stroke-width="1.4"'
    for source, target in sorted(graph.edges, key=lambda edge: (place[edge[0]], place[edge[1]])):
        a, b = place[source], place[target]
        if b == a + 1:
            stem, top = left + 24, tops[b]
            yield f'<path d="M{stem} {top - GAP}V{top - 5}" {pen}/>' + _arrow(stem, top, "down")
        elif b > a:
            x, y, end = left - 10 - LANE * forward[a], _middle(a, tops), _middle(b, tops)
            down = f"M{left} {y:g}H{x + 5}Q{x} {y:g} {x} {y + 5:g}V{end - 5:g}"
            yield f'<path d="{down}Q{x} {end:g} {x + 5} {end:g}H{left - 5}" {pen}/>'
            yield _arrow(left, end, "right")
        else:
            edge = left + BOX
            x, y, end = edge + 6 + LANE * back[a], _middle(a, tops) + 6, _middle(b, tops) - 6
            yield f'<path d="M{edge} {y:g}H{x}V{end:g}H{edge + 5}" stroke-dasharray="4 3" {pen}/>'
            yield _arrow(edge, end, "left")


def _arrow(x: float, y: float, way: str) -> str:
    points = {
        "down": f"{x - 4},{y - 7} {x + 4},{y - 7} {x},{y}",
        "right": f"{x - 7},{y - 4} {x - 7},{y + 4} {x},{y}",
        "left": f"{x + 7},{y - 4} {x + 7},{y + 4} {x},{y}",
    }
    return f'<polygon points="{points[way]}" fill="currentColor" fill-opacity="0.75"/>'


def _rect(x: float, y: float, width: float, height: float, fill: str, opacity: float = 1.0, more: str = "") -> str:
    ground = f'fill="{fill}"' + (f' fill-opacity="{opacity}"' if opacity < 1 else "")
    return f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" {ground}{more}/>'


def _end(word: str, shape: str, left: int, top: int) -> Iterator[str]:
    yield _rect(left, top, BOX, LOW, "currentColor", 0.06, ' rx="13" stroke="currentColor" stroke-opacity="0.4"')
    yield f'<text x="{left + 14}" y="{top + 18}">{word}</text>'
    if shape:
        yield f'<text x="{left + BOX - 14}" y="{top + 18}" text-anchor="end">{shape}</text>'


def _drawn(box: Box, graph: Graph, left: int, top: int) -> Iterator[str]:
    colour = COLOURS[box.kind]
    if box.repeats > 1:
        yield _rect(left + 4, top + 4, BOX, HEIGHT, colour, 0.35, ' rx="5"')
    yield _rect(left, top, BOX, HEIGHT, "var(--md-default-bg-color, #ffffff)", more=' rx="5"')
    yield _rect(left, top, BOX, HEIGHT, colour, 0.1, f' rx="5" stroke="{colour}"')
    yield _rect(left, top, 6, HEIGHT, colour, more=' rx="3"')
    share = box.parameters / graph.parameters if graph.parameters else 0
    if share:
        yield _rect(left + 6, top + HEIGHT - 3, round(max(1.0, share * (BOX - 12)), 1), 3, colour)
    yield from _sheet(box.output_shape, colour, left + 12, top)
    text, times = left + 58, f" × {box.repeats}" if box.repeats > 1 else ""
    label = _cut(box.label, 40 - len(times))
    yield f'<text x="{text}" y="{top + 19}" font-weight="600">{escape(label)}{times}'
    spare = 43 - len(label) - len(times)
    path = _path(box, graph.root)
    if path and path != box.label and spare > 6:
        shown = path if len(path) <= spare else f"…{path[-spare + 1 :]}"
        yield f'<tspan font-weight="400" font-size="12" dx="8" fill-opacity="0.75">{escape(shown)}</tspan>'
    yield "</text>"
    yield f'<text x="{text}" y="{top + 37}" font-size="12">{escape(facts(box))}</text>'


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[: room - 1]}…"


def facts(box: Box) -> str:
    """The second line of a box: "64×56×56 · 147,968 parameters · sees 43×43"."""
    found = [_numbers(box.output_shape)] if box.output_shape else []
    if box.parameters:
        count = f"{box.parameters:,}" if box.parameters < 10**6 else f"{box.parameters / 1e6:.4g}M"
        found.append(f"{count} parameters")
    if box.receptive_field:
        found.append(f"sees {_numbers(box.receptive_field)}")
    return " · ".join(found)


def _sheet(shape: tuple[int, ...] | None, colour: str, left: int, top: int) -> Iterator[str]:
    """The output as a sheet: as high as the logarithm of its positions, as wide as that of its channels. What has no
    positions is a bar."""
    if not shape:
        return
    channels, positions = (shape[1], shape[0]) if len(shape) == 2 else (shape[0], max(shape[1:], default=1))
    width = 4 + min(30.0, 3 * math.log2(max(channels, 1)))
    height = 4 + min(32.0, 4 * math.log2(max(positions, 1))) if len(shape) > 1 else 4.0
    x, y = left + (38 - width) / 2, top + (HEIGHT - height) / 2 - 1
    yield _rect(round(x, 1), round(y, 1), round(width, 1), round(height, 1), colour, 0.55)


def _path(box: Box, root: str) -> str:
    """Where the box is in the drawn module: "stages.0.0", of repeats "stages.0.0 … 2"."""
    cut = len(root) + 1 if root else 0
    first, last = box.names[0][cut:], box.names[-1][cut:]
    if box.repeats == 1 or first.rpartition(".")[0] != last.rpartition(".")[0]:
        return first
    return f"{first} … {last.rpartition('.')[2]}"


def _numbers(shape: Sequence[int] | None) -> str:
    return "×".join(map(str, shape)) if shape else ""


def _alt(graph: Graph, name: str) -> str:
    inside = f", inside of {graph.root}" if graph.root else ""
    boxes = "; ".join(
        f"{box.label}{f', {box.repeats} times' if box.repeats > 1 else ''} ({facts(box)})" for box in graph.boxes
    )
    return f"Data flow of {name}{inside}: {boxes}"
