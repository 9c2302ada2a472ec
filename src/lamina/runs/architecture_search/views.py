"""The view of a run of architecture search: its architecture after each epoch, and what was found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import nn

from lamina.data.protocols import Preprocess
from lamina.data.source import Source
from lamina.errors import UsageError
from lamina.report.architecture_search import page
from lamina.report.blocks import Section
from lamina.report.content import Outcome, ReportContent
from lamina.report.marks import TrainingSample
from lamina.runs.architecture_search.derived import FILE, command, derived_recipe, found, inspect_search
from lamina.runs.image.view import ImageView
from lamina.runs.views.base import InspectionPage, TrainingSamples
from lamina.tasks.base import Task


class DerivedArchitectures(TrainingSamples):
    """The architecture that would be derived after each epoch, and the weights of its operations."""

    def rows(self, model: Any) -> Iterator[dict[str, Any]]:
        mixtures: dict[str, Any] = {}
        if isinstance(getattr(model, "alphas", None), nn.Module):
            mixtures = {
                name: [[round(weight, 5) for weight in row] for row in mixture_EO.tolist()]
                for name, mixture_EO in zip(model.alphas.cells, model.alphas(), strict=True)
            }
        yield {"genotype": str(model.derive()), "mixtures": mixtures}


@dataclass(frozen=True)
class ArchitectureSearchView(ImageView):
    """What was found, as a recipe and drawn."""

    inspects: ClassVar[str] = ""

    @classmethod
    def training_samples(cls, task: Task, preprocess: Preprocess, source: Source, seed: int) -> TrainingSamples:
        return DerivedArchitectures()

    def keep(self) -> None:
        self.run.directory.write(FILE, derived_recipe(self.run))

    def inspect(self, item: Any, target: str | int | None = None, stage: int | None = None) -> InspectionPage:  # type: ignore[override]
        if target is not None or stage is not None:
            raise UsageError(f"{self.run.path} is an architecture search: there is no class or stage to choose")
        return inspect_search(self.run)

    def sections(self, content: ReportContent, outcome: Outcome) -> list[Section]:
        return page.sections(found(self.run), command(self.run))

    def saved_samples(self) -> list[TrainingSample]:
        return []  # those of a search are in its own section
