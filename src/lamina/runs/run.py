"""A trained thing on disk: open it, evaluate it, predict and embed with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, cast, overload

import torch
from torch import Tensor, nn

from lamina.data.opening import open_source
from lamina.data.preprocess import Preprocess
from lamina.data.source import Source
from lamina.data.streams import Batch
from lamina.data.targets.code import align
from lamina.data.text.preprocess import TextPreprocess
from lamina.data.text.samples import Pairs
from lamina.errors import RunError, UsageError, unknown
from lamina.evaluation_mode import evaluation_mode
from lamina.runs.batches import Place, evaluation_batches
from lamina.runs.build import make_model, make_task
from lamina.runs.config import TrainConfig
from lamina.runs.directory import RunDirectory
from lamina.runs.evaluation import like, measure, predictions
from lamina.runs.image.crops import ten_cropped
from lamina.runs.prediction import inputs, predict_items, texts_of
from lamina.runs.text.generation import continue_text, continue_texts
from lamina.runs.text.generation_options import Wishes, manner_of
from lamina.runs.text.translation import judge_translations, translate_items
from lamina.runs.weights import load_weights
from lamina.tasks.base import Task
from lamina.tasks.language_modelling import LanguageModelling
from lamina.tasks.translation import Translation

if TYPE_CHECKING:
    from lamina.export.writing import Exported
    from lamina.inspection.image import Inspection
    from lamina.inspection.text import TextInspection


class Run:
    """A run. ``model`` is given for a module of the user's own, which cannot be rebuilt from its name."""

    def __init__(self, path: str | Path, model: nn.Module | None = None) -> None:
        self.directory = RunDirectory.open(Path(path))
        self.config = TrainConfig.from_dict(self.directory.read("config.yaml"))
        self._given = model
        self._known: dict[tuple[Pairs, int], dict[str, float]] = {}

    @property
    def path(self) -> Path:
        return self.directory.path

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @cached_property
    def preprocess(self) -> Preprocess:
        """The preprocessing fitted on the training data."""
        return self.directory.preprocess()

    @cached_property
    def task(self) -> Task:
        objective = self.directory.read("card.json").get("card", {}).get("objective")
        return make_task(self.preprocess, self.config.recipe, objective)

    @cached_property
    def model(self) -> nn.Module:
        """The model with its best weights, in evaluation mode, on the CPU."""
        model = self.untrained() if self._given is None else self._given
        if self.config.recipe.precision == "fp64":
            model.double()
        load_weights(model, self.directory.weights)
        return model.cpu().eval()

    def untrained(self) -> nn.Module:
        """The model as its options build it, neither trained nor with the weights that training began with.

        Raises UsageError for a module of the user's own.
        """
        if "variant" not in self.directory.read("card.json"):
            raise UsageError(f"{self.path} holds a module of your own: open it with open_run(path, model=...)")
        return make_model(self.config, self.preprocess)

    @cached_property
    def source(self) -> Source:
        """The data the run was trained on, read again. Raises RunError where they have changed since."""
        source = open_source(self.config.data, options=self.config.options)
        if source.spec.fingerprint != self.directory.read("data.json")["fingerprint"]:
            raise RunError(f"the data of {self.path} are not those it was trained on: '{self.config.data}' has changed")
        return source

    @property
    def history(self) -> list[dict[str, float]]:
        """The rows of metrics.csv, one for each epoch."""
        return self.directory.rows()

    @property
    def classes(self) -> tuple[str, ...]:
        """Class or label names; names of the outputs for regression."""
        return self.preprocess.target.classes or self.preprocess.target.names

    def splits(self) -> list[str]:
        """Names of the splits of the run's data."""
        return list(self.source.splits)

    @property
    def final_split(self) -> str:
        """The split that figures are given for."""
        return final_split(self.source)

    def other_source(self, data: str) -> Source:
        """Other data of the same kind, undivided where they come undivided, classes numbered as the model knows them.

        Raises UsageError or DataError for data that cannot be read, or that the model cannot judge.
        """
        options = dataclasses.replace(self.config.options, validation=0.0, test=0.0, limit=None)
        source = open_source(data, options=options)
        if source.spec.kind != self.preprocess.kind:
            raise UsageError(f"{self.path} takes {self.preprocess.kind} data, but '{data}' is {source.spec.kind} data")
        return align(source, self.preprocess.target)

    def evaluate(
        self, split: str | None = None, *, data: str | Source | None = None, crops: int = 1, beam: int = 1
    ) -> dict[str, float]:
        """The task's metrics on a split, by default the final one; of other ``data`` than the run's, where given.

        ``crops=10``: of the mean over ten windows of each image, corners and centre and their mirror images. A
        translation has "exact_match", "bleu" and "chrf", too, of what it writes itself; ``beam``: translations that the
        search keeps at a time.
        """
        if crops not in (1, 10):
            raise UsageError(f"crops is 1 or 10, got {crops}")
        self._expect_beam(beam)
        source = self.other_source(data) if isinstance(data, str) else data
        if crops == 1:
            model, batches = self.model, self.batches(split, source)
        else:
            model, larger = ten_cropped(self.model, self.preprocess, self.task.name)
            batches = self.batches(split, source, larger)
        with evaluation_mode(model), torch.no_grad():
            found = measure(self.task, model, batches)
        if isinstance(self.task, Translation):
            found |= self._judged(split, self.source if source is None else source, beam)
        return found

    def outcome(self, split: str | None = None) -> dict[str, Tensor]:
        """Every prediction on a split beside its truth: "probabilities" (N, K) or "values" (N, K), and "target".

        Raises UsageError for a model that writes texts.
        """
        if isinstance(self.task, Translation | LanguageModelling):
            raise UsageError(f"{self.path} writes texts: it has no output for each sample")
        return predictions(self.task, self.model, self.batches(split))

    def predict(
        self, *items: Any, engine: str = "torch", beam: int = 1, length_penalty: float = 0.6
    ) -> list[dict[str, Any]]:
        """What the model says of each item: image files, PIL images, arrays; rows as dicts, a data frame, a table file;
        texts, as str, as lists, or as a Path to a file of one a line.

        Classification: "class", "probability", "probabilities" by class. Multi-label: "labels" (those above one half),
        "probabilities". Regression: a value for each target. Translation: "translation" and its "log_probability"; with
        a ``beam`` of several "others", compared by their log-probability over ((5 + tokens) / 6)^``length_penalty``.
        ``engine`` is "torch", "onnxruntime" or "openvino": the latter two by way of an export kept in the run. Raises
        UsageError or DataError naming the item.
        """
        self._expect_beam(beam)
        if isinstance(self.task, LanguageModelling):
            raise UsageError(f"{self.path} continues texts: use generate (lamina generate {self.path} --prompt TEXT)")
        if engine != "torch":
            from lamina.runs.views.export import run_in_engine

            return run_in_engine(self, engine).predict(*items)
        if isinstance(self.task, Translation):
            texts = [text for item in items for text in texts_of(item)]
            return translate_items(self.model, self.task, self._texts(), texts, beam, length_penalty)
        return predict_items(self._say, self.preprocess, items)

    def generate(self, *prompts: str, **manner: Unpack[Wishes]) -> list[str]:
        """What follows each prompt, without the prompt itself: ``run.generate("Once upon", max_new_tokens=100)``.

        Options are the fields of ``Manner``: max_new_tokens, temperature, top_k, top_p, greedy, repetition_penalty,
        stop (texts after which nothing more is written), seed. The same seed gives the same text. Where the model's
        context is full it goes on from the last half of it.

        Raises UsageError for a run that is no language model, options that mean nothing, no or an empty prompt, one
        that fills the context, and a character unknown to a model of characters.
        """
        if not prompts:
            raise UsageError("nothing to continue: give a prompt")
        return continue_texts(self.model, self._writer(), prompts, manner_of(manner))

    def stream(self, prompt: str, **manner: Unpack[Wishes]) -> Iterator[str]:
        """As ``generate`` for one prompt, piece by piece as the text is written."""
        return continue_text(self.model, self._writer(), prompt, manner_of(manner))

    def _judged(self, split: str | None, source: Source, beam: int) -> dict[str, float]:
        """How good the translations of a split are; asked for again, as a report does, it is not worked out again."""
        assert isinstance(self.task, Translation)
        pairs = cast(Pairs, source.splits[final_split(source) if split is None else split])
        if (pairs, beam) not in self._known:
            lowercase = self.config.options.lowercase
            found = judge_translations(self.model, self.task, self._texts(), pairs, beam, lowercase)
            self._known[pairs, beam] = found
        return self._known[pairs, beam]

    def _writer(self) -> TextPreprocess:
        if not isinstance(self.task, LanguageModelling):
            raise UsageError(f"{self.path} continues no texts: its task is {self.task.name}; use predict")
        return self._texts()

    def _texts(self) -> TextPreprocess:
        assert isinstance(self.preprocess, TextPreprocess)
        return self.preprocess

    def _expect_beam(self, beam: int) -> None:
        if beam != 1 and not isinstance(self.task, Translation):
            raise UsageError(f"a beam is for translations, but the task of {self.path} is {self.task.name}")

    def _say(self, batch: Batch) -> Batch:
        with evaluation_mode(self.model), torch.no_grad():
            return self.task.predict(self.model, like(self.model, batch))

    def embed(self, *items: Any) -> Tensor:
        """The features (N, D) that the model's output layer sees, for items as ``predict`` takes them."""
        embed = getattr(self.model, "embed", None)
        if embed is None:
            raise UsageError(f"{self.config.name} has no embed method")
        parts = []
        for batch in inputs(self.preprocess, items) if items else self.batches(None):
            batch = like(self.model, batch)
            given = [batch[name] for name in (self.preprocess.input_key, "lengths") if name in batch]
            with evaluation_mode(self.model), torch.no_grad():
                parts.append(embed(*given).float())
        return torch.cat(parts)

    def export(self, to: str, path: str | Path | None = None) -> Exported:
        """Write the model with its best weights as "onnx" (``.onnx``), "openvino" (``.xml`` and ``.bin``) or "torch"
        (``.pt2``), by default into the run's folder ``exports``; the batch is of any size, numbers are float32.

        The file holds the preprocessing and the names of the outputs. It is written only where its outputs are the
        model's on batches of 1, 2 and 5, to 1e-4 of the largest. Raises UsageError for an unknown format, one that is
        not installed (``pip install lamina[export]``) and a path that does not fit; ExportError for a model that cannot
        be exported.
        """
        from lamina.runs.views.export import export_run

        return export_run(self, to, path)

    @overload
    def inspect(self, image: Any, target: str | int | None = None, *, stage: int | None = None) -> Inspection: ...

    @overload
    def inspect(self, *, text: str, target: str | int | None = None) -> TextInspection: ...

    def inspect(
        self,
        image: Any = None,
        target: str | int | None = None,
        *,
        text: str | None = None,
        stage: int | None = None,
    ) -> Inspection | TextInspection:
        """What is seen inside the model with one image or one ``text``, as tensors. An image: feature maps, Grad-CAM,
        attention, filters, effective receptive fields, gradients. A text: attention, alignments, gates, expectations,
        gradients by lag, what each word adds.

        ``target`` is the class looked for, by name or number (default: the one the model says), ``stage`` the one that
        the class activation map is of (default: the layer that suits the family). Raises UsageError or DataError.
        """
        if (image is None) == (text is None):
            raise UsageError("what is to be looked at? give an image or a text")
        if text is None:
            from lamina.runs.image.inspection import look_at_run

            return look_at_run(self, image, target, stage).seen
        if stage is not None:
            raise UsageError("stage is for images: models of text have no stages")
        from lamina.runs.text.inspection import look_at_text

        return look_at_text(self, text, target).seen

    def report(self) -> Path:
        """Write report.html from the best weights, and return its path."""
        from lamina.runs.views.report import write_report

        return write_report(self)

    def batches(
        self, split: str | None, source: Source | None = None, preprocess: Preprocess | None = None
    ) -> Iterable[Batch]:
        """Preprocessed batches of a split, in order. Raises UsageError for a split that the data do not have."""
        preprocess = self.preprocess if preprocess is None else preprocess
        source = self.source if source is None else source
        split = final_split(source) if split is None else split
        if split not in source.splits:
            raise unknown("split", split, source.splits)
        samples = preprocess.encode(source.splits[split], hold=False)
        return evaluation_batches(samples, self.config.recipe, preprocess, self.model, Place())


def final_split(source: Source) -> str:
    """The split that figures are given for: "test", where there is none "validation", else "train"."""
    return next(name for name in ("test", "validation", "train") if name in source.splits)


def open_run(path: str | Path, model: nn.Module | None = None) -> Run:
    """Open a run: ``open_run("runs/lenet5-digits").predict("photo.png")``. Raises UsageError for any other folder."""
    return Run(path, model=model)


def list_runs(directory: str | Path = "runs") -> list[Run]:
    """The runs in a folder, in order of name."""
    folder = Path(directory)
    return [Run(path.parent) for path in sorted(folder.glob("*/config.yaml"))]
