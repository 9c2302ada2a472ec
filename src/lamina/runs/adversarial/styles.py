"""The view of runs of ProGAN and the StyleGANs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lamina.errors import UsageError
from lamina.report.blocks import Section
from lamina.report.content import Outcome, ReportContent
from lamina.runs.adversarial.generation import class_number, codes, kept_pictures, raw_model, recalibrated
from lamina.runs.adversarial.inspection import findings, page, sections_of
from lamina.runs.adversarial.style_inspection import style_findings, style_inspected, style_sections
from lamina.runs.adversarial.views import AdversarialImageView
from lamina.runs.evaluation import predicting
from lamina.runs.views.training_pictures import training_pictures


@dataclass(frozen=True)
class StyleView(AdversarialImageView):
    """Pictures of the size that the net has grown to; truncated, mixed, between two styles."""

    def generate(self, prompts: Sequence[str], options: Any) -> list[Any]:
        """Pictures (H, W, C) uint8. Raises UsageError for what the run does not have."""
        if prompts:
            raise UsageError(f"{self.run.path} generates {self.run.modality.noun}, it continues no prompt")
        if options.over_training:
            return kept_pictures(self.run)
        model: Any = raw_model(self.run) if options.raw else self.run.model
        measured = nullcontext() if options.recalibrate is None else recalibrated(self.run, model, options.recalibrate)
        with predicting(model), measured:
            return self.shown(self.pictures(model.generator, options), options.full_size)

    def sections(self, content: ReportContent, outcome: Outcome) -> list[Section]:
        seen = style_inspected(self)
        return [*training_pictures(self.run), *sections_of(self.run, seen), *style_sections(self, seen)]

    def inspect(self, item: Any, target: str | int | None = None, stage: int | None = None) -> Any:
        """As of every adversarial network, and mixed styles, noise on and off, walks in w. Raises UsageError for a
        class and a stage."""
        self.refuse_target(target, stage)
        seen = style_inspected(self)
        sections = [*style_sections(self, seen), *sections_of(self.run, seen)]
        return page(self.run, seen, sections, [*style_findings(self, seen), *findings(self.run, seen)])

    def columns(self, options: Any) -> int | None:
        return None if options.style_mix is None else options.style_mix[1] + 1

    def shown(self, x_NCSS: Tensor, full_size: bool = False) -> list[Any]:
        """Pictures as uint8; brought to the full size by repeating pixels."""
        side = int(self.run.preprocess.signature()[0].shape[-1])
        if full_size:
            x_NCSS = F.interpolate(x_NCSS, size=(side, side), mode="nearest")
        return [self.run.preprocess.undo(x.float().cpu()) for x in x_NCSS]

    def pictures(self, generator: Any, options: Any) -> Tensor:
        """The pictures (N, C, S, S) that the options ask for. Raises UsageError for options of styles without any."""
        label = None if options.label is None else class_number(self.run, options.label)
        if not hasattr(generator, "synthesis"):
            for name, usual in (("truncation", 1.0), ("style_mix", None), ("noise", "fixed")):
                if getattr(options, name) != usual:
                    raise UsageError(f"{name} is for generators with styles, which this net is not")
            z_BL = codes(self.run, generator, options)
            x: Tensor = generator(z_BL, generator.labels(len(z_BL), label))
            return x
        if options.style_mix is not None:
            return mixed(generator, options, label)
        if options.interpolate is not None and options.path != "spherical":
            w_BNW = between_styles(self.run, generator, options, label)
        else:
            z_BL = codes(self.run, generator, options)
            w_BNW = generator.styles(z_BL, generator.labels(len(z_BL), label), options.truncation)
        pictures: Tensor = generator.pictured(w_BNW, options.noise, options.seed)
        return pictures


def between_styles(run: Any, generator: Any, options: Any, label: int | None) -> Tensor:
    """Styles (B, N, W) on the straight line in w from one sample of the seed to another. Raises UsageError."""
    if generator.classes and label is None:
        raise UsageError(f"interpolate stays in one class, and {run.path} is conditional: give label (--label)")
    i, j = options.interpolate
    z_BL = generator.draw(max(i, j) + 1, options.seed)[[i, j]]
    first, last = generator.styles(z_BL, generator.labels(2, label), options.truncation)
    share_B = torch.linspace(0, 1, options.count, dtype=first.dtype, device=first.device)
    return torch.lerp(first[None], last[None], share_B[:, None, None])


def mixed(generator: Any, options: Any, label: int | None) -> Tensor:
    """The pictures of the columns' styles, then of each row: its own, and those mixed with each column; the first place
    is empty, a picture of the mean."""
    rows, columns = options.style_mix
    layers = generator.style_layers
    layer = layers // 2 if options.mix_layer is None else options.mix_layer
    if not 0 < layer < layers:
        raise UsageError(f"mix_layer={layer}: the net has {layers} layers with a style, choose 1 to {layers - 1}")
    z_BL, label_B = generator.draw(rows + columns, options.seed), generator.labels(rows + columns, label)
    w_BNW = generator.styles(z_BL, label_B, options.truncation)
    mean_1NW = generator.spread(generator.centre()[None])
    of_rows, of_columns = w_BNW[:rows], w_BNW[rows:]
    found = [mean_1NW, of_columns]
    for row_NW in of_rows:
        both = torch.cat([row_NW[None, :layer].expand(columns, -1, -1), of_columns[:, layer:]], 1)
        found += [row_NW[None], both]
    pictures: Tensor = generator.pictured(torch.cat(found), options.noise, options.seed)
    return pictures
