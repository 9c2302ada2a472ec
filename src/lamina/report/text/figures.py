"""Figures for text models: attention maps, gates over time, gradient by lag.

Legend: T query tokens, S key tokens, H units of a layer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from lamina.report.statistics import Floats
from lamina.report.svg import draw, draw_png, legend, readable
from lamina.report.wording import label, number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from lamina.inspection.gates import Trace

FEW, NAMED = 40, 80
"""tokens along an axis up to which they have much room, and up to which each is named"""
UNITS = 24
"""units drawn of a layer: those that vary most"""
BLUE, ORANGE = (0.25, 0.53, 0.78), (0.85, 0.42, 0.10)
"""of pixels, which cannot follow the page: they read on white and on black"""
SIGNS = {" ": "␣", "\n": "⏎", "\t": "⇥"}


@dataclass(frozen=True)
class Drawing:
    """A figure that can be drawn as SVG or PNG."""

    paint: Callable[[Figure], None]
    alt: str
    width: int = 380
    height: int = 250

    def svg(self) -> Markup:
        return draw(self.paint, self.alt, self.width, self.height)

    def png(self) -> bytes:
        return draw_png(self.paint, self.width, self.height)


def token_label(piece: str, most: int = 14) -> str:
    """A token as an axis label: "the" for " the", visible signs for white space."""
    text = piece.strip(" ") or piece[:1]
    return label("".join(SIGNS.get(sign, sign) for sign in text), most)


def attention(attn_TS: Floats, rows: Sequence[str], columns: Sequence[str], alt: str) -> Drawing:
    """Attention weights of T tokens (rows) to S tokens (columns); colours are square roots."""

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.imshow(_shaded(np.sqrt(np.clip(attn_TS, 0, 1)), BLUE), interpolation="none", aspect="auto")
        axes.grid(visible=False)
        axes.xaxis.tick_top()
        _name(axes, "x", columns)
        _name(axes, "y", rows)

    wide, tall = _pitch(columns), _pitch(rows)
    width, height = 100 + wide * len(columns), 80 + tall * len(rows)
    return Drawing(paint, alt, int(np.clip(width, 220, 1400)), int(np.clip(height, 160, 1400)))


def gates(trace: Trace, tokens: Sequence[str]) -> Drawing:
    """Each gate's mean over the units, and below it the units that vary most: cells, or else hidden states."""
    lines = {name: _array(values)[0].mean(1) for name, values in trace.gates.items() if name != "candidate"}
    state_TH = _array(trace.hidden_BTH if trace.cell_BTH is None else trace.cell_BTH)[0]
    chosen = np.sort(np.argsort(-state_TH.std(0), kind="stable")[:UNITS])
    greatest = float(np.abs(state_TH[:, chosen]).max())
    kind = "hidden states" if trace.cell_BTH is None else "cells"

    def paint(figure: Figure) -> None:
        heights = (1.1, 1) if lines else (1,)
        above, *_ = panels = np.atleast_1d(figure.subplots(len(heights), 1, sharex=True, height_ratios=heights))
        for i, (name, values) in enumerate(lines.items()):
            above.plot(values, color=f"C{i}", label=name, marker="o" if len(tokens) <= NAMED else "", markersize=3)
        if lines:
            above.set(ylim=(-0.03, 1.03), ylabel="mean gate")
            readable(above.yaxis)
            legend(above)
        below = panels[-1]
        share_HT = state_TH[:, chosen].T / (greatest or 1.0)
        pixels = np.where((share_HT >= 0)[..., None], _shaded(share_HT, BLUE), _shaded(-share_HT, ORANGE))
        below.imshow(pixels, interpolation="none", aspect="auto")
        below.grid(visible=False)
        below.set_yticks([])
        below.set_ylabel(kind)
        _name(below, "x", tokens)

    words = ", ".join(f"{name} {number(float(values.mean()), 2)}" for name, values in lines.items())
    alt = f"Gates and {kind} over {len(tokens)} tokens" + (f", means over time: {words}" if words else "")
    return Drawing(paint, alt, int(np.clip(90 + _pitch(tokens) * len(tokens), 380, 1400)), 330 if lines else 220)


def lags(lag_T: Floats) -> Drawing:
    """The norm of a prediction's gradient to the embedding of each token before it."""
    lag = np.flatnonzero(lag_T > 0)

    def paint(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot(lag, lag_T[lag], color="C0", marker="o" if len(lag) <= 40 else "", markersize=3.5)
        axes.set_yscale("log")
        axes.set(xlabel="tokens back", ylabel="norm of the gradient")
        readable(axes.xaxis, whole=True)
        readable(axes.yaxis)

    ends = f"{number(float(lag_T[0]), 2)} at the token itself, {number(float(lag_T[-1]), 2)} at {len(lag_T) - 1} back"
    return Drawing(paint, f"Norm of the gradient by lag: {ends}")


def _shaded(share: Floats, colour: tuple[float, float, float]) -> Floats:
    """Pixels of one colour, as opaque as the share."""
    pixels = np.empty((*share.shape, 4))
    pixels[..., :3] = colour
    pixels[..., 3] = np.clip(share, 0, 1)
    return pixels


def _pitch(tokens: Sequence[str]) -> int:
    """Pixels from one token to the next."""
    return 21 if len(tokens) <= FEW else 14 if len(tokens) <= NAMED else 5


def _name(axes: Axes, side: str, tokens: Sequence[str]) -> None:
    """Tokens at an axis, or the numbers of some where there are too many."""
    axis: Any = getattr(axes, f"{side}axis")
    if len(tokens) <= NAMED:
        axis.set_ticks(range(len(tokens)), [token_label(token) for token in tokens])
        axis.set_tick_params(labelsize=11 if len(tokens) <= FEW else 9)
        for text in axis.get_ticklabels() if side == "x" else ():
            text.set_rotation(90 if len(text.get_text()) > 2 else 0)
    else:
        readable(axis, whole=True)


def _array(values: Any) -> Floats:
    array: Floats = values.detach().double().cpu().numpy()
    return array
