"""Runs on spectra: what they show."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from lamina.report.blocks import Section
from lamina.report.content import Outcome, ReportContent
from lamina.runs.evaluation import like
from lamina.runs.views.base import View
from lamina.runs.views.labels import class_number, ranked
from lamina.runs.views.mistakes import Sample
from spectra.data.preprocess import SpectrumPreprocess
from spectra.data.samples import Spectra
from spectra.report.page import Seen, SpectrumPage, means_section, small_picture


@dataclass(frozen=True)
class SpectrumView(View):
    """Mistakes as small pictures, mean spectra, the gradient of an output by wavelength."""

    @property
    def spectra(self) -> SpectrumPreprocess:
        return cast(SpectrumPreprocess, self.run.preprocess)

    def sample(self, split: str, index: int, output: int) -> Sample:
        samples = cast(Spectra, self.run.source.splits[split])
        return {"where": f"{split} spectrum {index}", "image_HWC": small_picture(samples.signals[index])}

    def sections(self, content: ReportContent, outcome: Outcome) -> list[Section]:
        train = cast(Spectra, self.run.source.splits["train"])
        code = self.run.preprocess.target
        if not code.exclusive or train.targets is None:
            return []
        numbers = train.targets.numpy()
        means = {name: train.signals[numbers == k].mean(0) for k, name in enumerate(code.labels)}
        return [means_section(means, train.axis)]

    def inspect(self, item: Any, target: str | int | None = None, stage: int | None = None) -> SpectrumPage:
        run, code = self.run, self.run.preprocess.target
        (batch,) = self.spectra.input_batches(item)
        signal_11L = like(run.model, batch)["signal"][:1].requires_grad_()
        output_K = run.model(signal_11L)[0]
        wanted = class_number(target, code.labels)
        chosen = int(output_K.argmax()) if wanted is None else wanted
        (gradient,) = torch.autograd.grad(output_K[chosen], signal_11L)
        seen = Seen(
            axis=np.asarray(self.spectra.axis, dtype=np.float32),
            signal=self.spectra.undo(signal_11L[0]),
            saliency=gradient[0, 0].abs().float().numpy(),
        )
        return SpectrumPage(
            name=run.directory.name,
            model=run.config.name,
            image=Path(item).name if isinstance(item, str | Path) else "a spectrum",
            seen=seen,
            target=code.labels[chosen],
            said=ranked(code.read(output_K.detach()[None])[0], code),
        )
