"""Files that take pictures as they are: the run's preprocessing, its model and what its task predicts, in one graph."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from lamina.data.protocols import Input
from lamina.data.streams import Batch
from lamina.data.targets.code import TargetCode
from lamina.errors import UsageError
from lamina.export.facts import ExportFacts
from lamina.runs.opened import Opened

PICTURE = "picture"


class Alone(nn.Module):
    """From pictures (B, H, W, C) to the tensors of the task's answer, in the order of ``names``."""

    def __init__(self, prepare: nn.Module, model: nn.Module, task: Any, key: str) -> None:
        super().__init__()
        self.prepare, self.model, self.task, self.key = prepare, model, task, key
        self.names: tuple[str, ...] = ()

    def answer(self, picture: Tensor) -> dict[str, Tensor]:
        found: dict[str, Tensor] = self.task.answer(self.task.predict(self.model, {self.key: self.prepare(picture)}))
        return found

    def forward(self, picture: Tensor) -> tuple[Tensor, ...]:
        found = self.answer(picture)
        return tuple(found[name] for name in self.names)


def predicting_alone(run: Opened, facts: ExportFacts, players: Sequence[str]) -> tuple[nn.Module, ExportFacts]:
    """The module of a run that prepares, calculates and predicts, and the facts of its file.

    Raises UsageError for a run that is not of images, or that has no predictions.
    """
    as_module = getattr(run.preprocess, "as_module", None)
    if as_module is None or players or (run.kind is not None and not run.kind.predicts_at_once):
        raise UsageError(
            f"with_preprocessing is for runs that predict from images, but {run.path} does {run.task_name} with "
            f"{run.modality.noun}"
        )
    (given,) = facts.inputs
    module = Alone(as_module(), copy.deepcopy(run.model).float(), run.task, given.name).eval()
    channels = int(given.shape[0])
    with torch.no_grad():
        module.names = tuple(module.answer(torch.zeros(2, 5, 6, channels, dtype=torch.uint8)))
    picture = Input(PICTURE, "uint8", ("height", "width", channels))
    return module, replace(facts, inputs=(picture,), outputs=module.names, preprocesses=True)


class Pictures:
    """A preprocess whose batches hold the pictures themselves, those of equal size together."""

    def __init__(self, preprocess: Any) -> None:
        self.preprocess = preprocess
        self.kind: str = preprocess.kind

    @property
    def target(self) -> TargetCode:
        found: TargetCode = self.preprocess.target
        return found

    def input_batches(self, item: object) -> Iterator[Batch]:
        """Each picture of an item. Raises UsageError or DataError."""
        for picture in self.preprocess.pictures(item):
            yield {PICTURE: picture}
