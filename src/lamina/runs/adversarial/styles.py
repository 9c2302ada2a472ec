"""The view of runs of ProGAN and the StyleGANs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lamina.errors import UsageError
from lamina.runs.adversarial.views import AdversarialImageView
from lamina.runs.evaluation import predicting


@dataclass(frozen=True)
class StyleView(AdversarialImageView):
    """Pictures of the size that the net has grown to; truncated, mixed, between two styles."""

    def generate(self, prompts: Sequence[str], options: Any) -> list[Any]:
        """Pictures (H, W, C) uint8. Raises UsageError for what the run does not have."""
        if prompts:
            raise UsageError(f"{self.run.path} generates {self.run.modality.noun}, it continues no prompt")
        generator: Any = self.generator()
        label = None if options.label is None else self.label(options.label)
        with predicting(generator):
            x_NCSS = generated(generator, options, label)
        return self.shown(x_NCSS, options.full_size)

    def generator(self) -> Any:
        """The generator of the run."""
        model: Any = self.run.model
        return model.generator

    def shown(self, x_NCSS: Tensor, full_size: bool = False) -> list[Any]:
        """Pictures as uint8; brought to the full size by repeating pixels."""
        side = self.run.preprocess.signature()[0].shape[-1]
        if full_size:
            x_NCSS = F.interpolate(x_NCSS, size=(int(side), int(side)), mode="nearest")
        return [self.run.preprocess.undo(x.float().cpu()) for x in x_NCSS]


def generated(generator: Any, options: Any, label: int | None) -> Tensor:
    """The pictures (N, C, S, S) that the options ask for. Raises UsageError for options of styles without any."""
    if not hasattr(generator, "synthesis"):
        for name, usual in (("truncation", 1.0), ("style_mix", None), ("noise", "fixed")):
            if getattr(options, name) != usual:
                raise UsageError(f"{name} is for generators with styles, which this net is not")
        x: Tensor = generator.sample(options.count, seed=options.seed, label=label)
        return x
    if options.style_mix is not None:
        return mixed(generator, options, label)
    pictures: Tensor = generator.sample(
        options.count, seed=options.seed, label=label, truncation=options.truncation, noise=options.noise
    )
    return pictures


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
