"""The inspection page of one text.

Legend: T input tokens, S source tokens, K outputs, W words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from lamina.inspection.surprisal import most_surprising
from lamina.inspection.text import TextInspection
from lamina.report.blocks import Block, Chart, Charts, Pairs, Passage, Passages, Section, Table, Text, Tiles
from lamina.report.contact_sheet import sheet
from lamina.report.images import Tile, coloured, tile
from lamina.report.marks import Mark, word_marks
from lamina.report.statistics import Floats
from lamina.report.templates import render
from lamina.report.text.figures import Drawing, attention, gates, lags
from lamina.report.text.highlights import chance, expectations, likeliest, quoted, surprise_marks
from lamina.report.wording import label, number, signed

ROWS, SHOWN = 60, 30
"""tokens up to which a table has all; of more, so many: the most surprising"""
WORDS = 20
LAYERS = 12
"""maximum number of attention maps drawn: the last ones"""
TRACES = 8
HEAD = 132
"""CSS pixels of a head's map"""


@dataclass(frozen=True, kw_only=True)
class TextPage:
    """An inspection of a text with the other contents of its page."""

    name: str
    """of the run"""
    model: str
    text: str
    """as far as it was inspected"""
    seen: TextInspection
    tokens: Sequence[str]
    """pieces of text for ``seen.tokens_T``"""
    source: Sequence[str] = ()
    """for ``seen.source_S``"""
    output_tokens: Sequence[str] = ()
    """output tokens of a translation, the end token included"""
    translation: str = ""
    token: Callable[[int], str] = str
    """any token of the vocabulary as a piece of text"""
    target: str = ""
    """for a classifier: the output that is explained, and its index"""
    output: int = 0
    predictions: Sequence[tuple[str, str]] = ()
    """(class, its probability) or (output, its value), in words, the greatest first"""
    words: Sequence[tuple[int, int]] = ()
    """where in the text the words of ``seen.effects_WK`` are"""
    facts: Mapping[str, str] = field(default_factory=dict)
    random: bool = False
    """as of an image; a run's weights never are"""

    def html(self) -> str:
        """The whole page."""
        return render_text_inspection(self)

    def pictures(self) -> dict[str, bytes]:
        """Its pictures as PNG files, by name."""
        return text_png_files(self)


def render_text_inspection(content: TextPage) -> str:
    """The whole page, all text escaped."""
    drawn = drawings(content)
    sections = [_prediction(content)]
    if content.seen.effects_WK is not None:
        sections.append(_words(content, content.seen.effects_WK))
    if content.seen.alignments:
        sections.append(_maps("alignment", "Alignment", content, drawn, _ALIGNED))
    if content.seen.surprisal is not None:
        sections.append(_surprisal(content))
    if content.seen.attention:
        sections.append(_maps("attention", "Attention", content, drawn, _ATTENDED))
    if traces := [name for name in drawn if name.startswith("gates-")]:
        sections.append(_traces(content, [(name, drawn[name]) for name in traces]))
    if "gradient-by-lag" in drawn:
        note = "Norm of the gradient of a prediction's loss with respect to the embedding of the token at each lag."
        chart = Chart(title="", svg=drawn["gradient-by-lag"].svg(), note=note)
        sections.append(Section(name="lag", title="Gradient by lag", blocks=[Charts(charts=[chart])]))
    facts = [(name, value) for name, value in content.facts.items() if value]
    sections.append(Section(name="facts", title="Provenance", blocks=[Pairs(pairs=facts)]))
    count = number(len(content.source or content.tokens))
    return render("inspection_text.html", content=content, sections=sections, count=count)


def text_png_files(content: TextPage) -> dict[str, bytes]:
    """The pictures as PNG, by name without suffix: "attention-0", "attention-0-heads", "alignment-0", "gates-0", ...,
    "gradient-by-lag"."""
    files = {name: drawing.png() for name, drawing in drawings(content).items()}
    for kind in ("alignment", "attention"):
        for i, (name, attn_hTS) in _shown(_of(content, kind)):
            if len(attn_hTS) > 1:
                files[f"{kind}-{i}-heads"] = sheet(_heads(attn_hTS, name))
    return files


def drawings(content: TextPage) -> dict[str, Drawing]:
    """Every figure of the page, by the name of its file."""
    seen = content.seen
    found: dict[str, Drawing] = {}
    for kind in ("alignment", "attention"):
        for i, (name, attn_hTS) in _shown(_of(content, kind)):
            rows, columns = _sides(content, name)
            mean_TS: Floats = attn_hTS.double().mean(0).cpu().numpy()
            found[f"{kind}-{i}"] = attention(mean_TS, rows, columns, f"{kind} of {name}, mean over heads")
    for i, trace in enumerate(seen.traces[:TRACES]):
        found[f"gates-{i}"] = gates(trace, _sides(content, trace.name)[0])
    if seen.lag_T is not None and bool((seen.lag_T > 0).any()):
        found["gradient-by-lag"] = lags(seen.lag_T.double().cpu().numpy())
    return found


_ALIGNED = "Rows: output tokens. Columns: source tokens"
_ATTENDED = "Rows: query tokens. Columns: key tokens"


def _of(content: TextPage, kind: str) -> Mapping[str, Tensor]:
    """Attention maps of one kind; those shown as alignments are not shown twice."""
    if kind == "alignment":
        return content.seen.alignments
    return {name: map_ for name, map_ in content.seen.attention.items() if name not in content.seen.alignments}


def _shown(maps: Mapping[str, Tensor]) -> list[tuple[int, tuple[str, Tensor]]]:
    return list(enumerate(maps.items()))[-LAYERS:]


def _sides(content: TextPage, name: str) -> tuple[Sequence[str], Sequence[str]]:
    """The tokens of a map's rows and columns, by the module's name; a decoder's steps are labelled by their outputs."""
    if not content.source:
        return content.tokens, content.tokens
    if name.startswith("encoder"):
        return content.source, content.source
    return content.output_tokens, content.tokens if name.endswith(".attention") else content.source


def _prediction(content: TextPage) -> Section:
    blocks: list[Block] = []
    if content.source:
        texts = [("source", content.text), ("translation", content.translation)]
        passages = [Passage(marks=[Mark(text=text)], where=where) for where, text in texts]
        return Section(name="prediction", title="Prediction", blocks=[Passages(title="", passages=passages)])
    if content.predictions:
        blocks.append(Pairs(pairs=[(label(name, 60), value) for name, value in content.predictions[:5]]))
    following_V = content.seen.following_V
    if following_V is not None:
        best = following_V.topk(min(8, len(following_V)))
        words = likeliest(best.indices.tolist(), best.values.tolist(), content.token, len(best.values))
        blocks.append(Text(text=f"Most probable next tokens: {words}."))
    return Section(name="prediction", title="Prediction", blocks=blocks)


def _words(content: TextPage, effects_WK: Tensor) -> Section:
    effects_W = effects_WK[:, content.output].double().numpy()
    name = label(content.target, 60)
    marks = word_marks(content.text, content.words, effects_W)
    note = f"Prediction of {name} minus the prediction without the word. Blue: positive effect, orange: negative."
    order = np.argsort(-np.abs(effects_W), kind="stable")[:WORDS]
    rows = [
        [label(content.text[slice(*content.words[i])], 40), signed(float(effects_W[i]), 2)]
        for i in order
        if effects_W[i]
    ]
    blocks: list[Block] = [Passages(title="", passages=[Passage(marks=marks)], note=note)]
    if rows:
        blocks.append(Table(title=f"What each word adds to {name}", columns=["word", "adds"], rows=rows))
    return Section(name="words", title="Word attribution", blocks=blocks)


def _surprisal(content: TextPage) -> Section:
    found = content.seen.surprisal
    assert found is not None
    pieces = content.output_tokens or content.tokens[1:]
    marks = surprise_marks(pieces, found, content.token)
    if not content.output_tokens:
        marks = [Mark(text=content.tokens[0]), *marks]
    bits = found.bits
    note = f"Stronger: less probable. {float(bits.mean()):.2f} bits per token on average."
    shown = sorted(most_surprising(bits, ROWS if len(bits) <= ROWS else SHOWN))
    rows = [
        [
            quoted(content.token(int(found.token_T[i]))),
            chance(float(found.probability_T[i])),
            f"{float(bits[i]):.2f}",
            expectations(found, i, content.token, 3),
        ]
        for i in shown
    ]
    title = "Each token" if len(rows) == len(pieces) else f"The {len(rows)} most surprising tokens"
    columns = ["token", "probability", "bits", "expected"]
    table = Table(title=title, columns=columns, rows=rows, words=frozenset({0, 3}))
    blocks: list[Block] = [Passages(title="", passages=[Passage(marks=marks)], note=note), table]
    return Section(name="expected", title="Surprisal", blocks=blocks)


def _maps(kind: str, title: str, content: TextPage, drawn: Mapping[str, Drawing], note: str) -> Section:
    maps = _of(content, kind)
    several = any(len(attn_hTS) > 1 for attn_hTS in maps.values())
    note += ". Colours are square roots of the attention weights" + (
        "; mean over heads, then each head." if several else "."
    )
    if len(maps) > LAYERS:
        note += f" The last {LAYERS} of {len(maps)}."
    blocks: list[Block] = [Text(text=note)]
    for i, (name, attn_hTS) in _shown(maps):
        blocks.append(Charts(charts=[Chart(title=name, svg=drawn[f"{kind}-{i}"].svg())], large=True))
        if several:
            blocks.append(Tiles(title="Its heads", alt=f"the heads of {name}", tiles=_heads(attn_hTS, "")))
    return Section(name=kind, title=title, blocks=blocks)


def _heads(attn_hTS: Tensor, name: str) -> list[Tile]:
    """A tile for each head, scaled by its maximum."""
    tiles = []
    for head, attn_TS in enumerate(attn_hTS.double().cpu().numpy()):
        root_TS = np.sqrt(attn_TS / (attn_TS.max() or 1.0))
        caption = f"{name} head {head}".strip()
        tiles.append(tile(coloured(root_TS, "Blues"), HEAD, caption))
    return tiles


def _traces(content: TextPage, drawn: Sequence[tuple[str, Drawing]]) -> Section:
    charts = []
    for (_, drawing), trace in zip(drawn, content.seen.traces, strict=False):
        direction = ", backward" if trace.backward else ""
        charts.append(Chart(title=f"{trace.name}, layer {trace.layer}{direction}", svg=drawing.svg()))
    state = "hidden states" if content.seen.traces[0].cell_BTH is None else "cells"
    note = f"Lines: each gate's mean over the units. Below: the {state} that vary most, blue positive, orange negative."
    if len(content.seen.traces) > len(charts):
        note += f" The first {len(charts)} of {len(content.seen.traces)} layers and directions."
    blocks: list[Block] = [Text(text=note), *(Charts(charts=[chart], large=True) for chart in charts)]
    return Section(name="gates", title="Gates over time", blocks=blocks)
