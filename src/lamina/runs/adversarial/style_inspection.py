"""Inspection of generators with styles: what each layer's style decides, what noise does, ways from sample to sample.

Legend: N layers, W numbers of w, C channels, S side of a picture.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lamina.report.adversarial import figures
from lamina.report.blocks import Block, Chart, Charts, Section, Text, Tiles
from lamina.report.images import coloured, tile
from lamina.report.picture_grid import grid_png
from lamina.report.wording import number, share
from lamina.runs.adversarial.inspection import AdversarialInspection, inspected
from lamina.runs.evaluation import predicting
from lamina.tasks.adversarial.style_options import StyleSampleOptions

PAIRS = 16
"""pairs of samples whose styles are mixed at each layer"""
DRAWS = 8
"""of fresh noise"""
NOISY = 4
"""samples whose noise is shown"""
WAYS, STEPS = 3, 9
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""of truncation"""
ROWS, COLUMNS = 4, 6
WIDTH = 640


@dataclass(frozen=True)
class StyleInspection(AdversarialInspection):
    """What is seen of a generator with styles, too; empty for one without."""

    change_N: Tensor
    """mean absolute change of a picture, in grey levels of 255, whose layers from i on have the style of another
    sample; place 0 is all layers, the other sample itself"""
    noise_deviation_NCSS: Tensor
    """deviation over fresh noise of the values of some pictures, as the net gives them"""


def style_inspected(view: Any) -> StyleInspection:
    """The tensors of an inspection of a ``StyleView``."""
    run = view.run
    run.task.follow(run.model.generator)
    seen = inspected(run)
    found = {field.name: getattr(seen, field.name) for field in fields(seen)}
    generator, seed = run.model.generator, run.config.recipe.seed
    if not hasattr(generator, "synthesis"):
        return StyleInspection(**found, change_N=torch.empty(0), noise_deviation_NCSS=torch.empty(0))
    with predicting(run.model):
        return StyleInspection(
            **found, change_N=_changes(run, generator, seed), noise_deviation_NCSS=_deviation(generator, seed)
        )


def _changes(run: Any, generator: Any, seed: int) -> Tensor:
    z_BL = generator.draw(2 * PAIRS, seed)
    w_BNW = generator.styles(z_BL, generator.labels(2 * PAIRS, None))
    one_BNW, other_BNW = w_BNW[:PAIRS], w_BNW[PAIRS:]
    whole = generator.pictured(one_BNW)
    span = 255 / _span(run)
    changes = []
    for layer in range(generator.style_layers):
        mixed = generator.pictured(torch.cat([one_BNW[:, :layer], other_BNW[:, layer:]], 1))
        changes.append((mixed - whole).abs().mean() * span)
    return torch.stack(changes).float().cpu()


def _span(run: Any) -> float:
    low, high = run.preprocess.signature()[0].bounds
    return float(high - low)


def _deviation(generator: Any, seed: int) -> Tensor:
    """Each picture with ``DRAWS`` draws of noise."""
    w_BNW = generator.styles(generator.draw(NOISY, seed), generator.labels(NOISY, None))
    every = torch.stack([generator.pictured(w_BNW, "fresh", seed + i) for i in range(DRAWS)])
    deviation: Tensor = every.std(0).float().cpu()
    return deviation


def style_findings(view: Any, seen: StyleInspection) -> list[tuple[str, str]]:
    """What is seen of styles and noise, in words."""
    generator = view.run.model.generator
    found = [("size of pictures", f"{generator.side} pixels")] if hasattr(generator, "side") else []
    if len(seen.change_N):
        half = len(seen.change_N) // 2
        late = float(seen.change_N[half] / seen.change_N[0].clamp(min=1e-12))
        found.append(("styles", f"layers from {half} on make {share(late)} of the difference between two samples"))
        grey = float(seen.noise_deviation_NCSS.mean()) * 255 / _span(view.run)
        found.append(("noise", f"changes a value by {number(grey, 2)} of 255 grey levels"))
    return found


def style_sections(view: Any, seen: StyleInspection) -> list[Section]:
    """Mixed styles, noise on and off, ways in w and truncation."""
    run = view.run
    styled = hasattr(run.model.generator, "synthesis")
    found = [*_mixing(view, seen), *_noise(view, seen)] if styled else []
    return [*found, Section(name="walks", title="Walks" if not styled else "Walks in w", blocks=_walks(view, styled))]


def _options(view: Any, **given: Any) -> StyleSampleOptions:
    """Of one class, where there are classes: the matrix and the walks stay in it."""
    classes = view.run.preprocess.target.classes if view.run.model.generator.classes else ()
    label = {"label": classes[0]} if classes else {}
    return StyleSampleOptions(seed=view.run.config.recipe.seed, **label, **given)


def _pictures(view: Any, options: StyleSampleOptions) -> list[Any]:
    with predicting(view.run.model):
        shown: list[Any] = view.shown(view.pictures(view.run.model.generator, options))
    return shown


def _grid(pictures: list[Any], columns: int, title: str, alt: str, note: str = "") -> Tiles:
    from PIL import Image

    picture = np.array(Image.open(io.BytesIO(grid_png(pictures, columns))))
    return Tiles(title=title, alt=alt, tiles=[tile(picture, min(WIDTH, max(picture.shape[:2])))], note=note)


def _mixing(view: Any, seen: StyleInspection) -> list[Section]:
    layers = view.run.model.generator.style_layers
    half = layers // 2
    blocks: list[Block] = []
    for layer in dict.fromkeys((half, layers - 1, 1)):
        pictures = _pictures(view, _options(view, style_mix=(ROWS, COLUMNS), mix_layer=layer))
        note = "First column: the rows' own styles; first row: the columns'; in the corner the mean of w."
        title = f"Layers 0 to {layer - 1} of the row, {layer} to {layers - 1} of the column"
        blocks.append(_grid(pictures, COLUMNS + 1, title, f"a matrix of {ROWS} by {COLUMNS} mixed styles", note))
    change = seen.change_N.double().numpy()
    svg = figures.lines(
        {"change": (np.arange(len(change), dtype=np.float64), change)}, "first layer with the other style",
        "grey levels", "Change of a picture by the first layer with another style",
    )  # fmt: skip
    note = f"Mean absolute change of {PAIRS} pictures when their layers from here on have the style of another sample."
    return [Section(name="mixing", title="Mixed styles", blocks=[*blocks, Charts(charts=[Chart(
        title="What each layer decides", svg=svg, note=note)])])]  # fmt: skip


def _noise(view: Any, seen: StyleInspection) -> list[Section]:
    blocks: list[Block] = []
    for kind, title in (("fixed", "Fixed noise"), ("none", "No noise"), ("fresh", "Fresh noise")):
        pictures = _pictures(view, _options(view, count=NOISY, noise=kind))
        blocks.append(_grid(pictures, NOISY, title, f"{NOISY} samples, {title.lower()}"))
    deviation = seen.noise_deviation_NCSS.mean(1).double().numpy()
    most = float(deviation.max())
    maps = [coloured(one / (most or 1.0), "viridis") for one in deviation]
    grey = number(most * 255 / _span(view.run), 2)
    note = f"Over {DRAWS} draws; brightest: {grey} of 255 grey levels."
    blocks.append(_grid(maps, NOISY, "Deviation over fresh noise", "where noise changes the samples", note))
    return [Section(name="noise", title="Noise on and off", blocks=blocks)]


def _walks(view: Any, styled: bool) -> list[Block]:
    steps: list[Any] = []
    for way in range(WAYS):
        steps += _pictures(view, _options(view, interpolate=(2 * way, 2 * way + 1), count=STEPS))
    where = "straight in w" if styled else "along great circles in z"
    blocks: list[Block] = [
        _grid(
            steps, STEPS, "From sample to sample", f"{WAYS} ways of {STEPS} steps, {where}", f"A way in a row, {where}."
        )
    ]
    if not styled:
        return [*blocks, Text(text="This net has no styles: what follows z is the picture as a whole.")]
    rows = [_pictures(view, _options(view, count=WAYS, truncation=amount)) for amount in SHARES]
    drawn = [row[i] for i in range(WAYS) for row in rows]
    note = f"A sample in a row, its style at {', '.join(f'{amount:g}' for amount in SHARES)} of the way from the mean."
    return [*blocks, _grid(drawn, len(SHARES), "Truncation", f"{WAYS} samples at truncations from 0 to 1", note)]
