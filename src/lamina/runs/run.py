"""A run: evaluate, predict, generate, embed, inspect, export."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, overload

import torch
from torch import Tensor, nn

from lamina import markup
from lamina.data.opening import Data
from lamina.data.source import Source
from lamina.data.streams import BLANK, Batch
from lamina.errors import DataWarning, UsageError, nearest
from lamina.export.options import ExportOptions
from lamina.options.conversion import made
from lamina.runs.folders import run_folders
from lamina.runs.opened import Opened, final_split
from lamina.runs.prediction import batches_of, items_of
from lamina.runs.views.base import InspectionPage, View
from lamina.runs.views.export import export_run, run_in_engine
from lamina.runs.views.report import write_report
from lamina.runs.views.table import view_of
from lamina.stylisation.pictures import Picture
from lamina.tasks.base import Task
from lamina.tasks.generation_options import GenerationKwargs
from lamina.tasks.verb_options import NoOptions
from lamina.weights.hub import fetch_run, is_hub

if TYPE_CHECKING:
    from lamina.export.writing import Exported
    from lamina.inspection.image import Inspection
    from lamina.inspection.text import TextInspection
    from lamina.runs.views.exported import ExportedModel

COMMON_VERBS = ("inspect", "report", "export")
"""verbs of every run"""


class Run(Opened):
    """A run: what ``lamina.train`` returns and ``lamina.open_run`` opens.

        run = lamina.open_run("runs/lenet5-digits")
        run.evaluate()  # {"accuracy": 0.97, ...}
        run.predict("digit.png")  # [{"class": "3", ...}]

    Its verbs depend on its task: ``run.verbs``.
    """

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    def _repr_html_(self) -> str:
        status, rows = self.directory.status(), self.history
        best = next((row for row in reversed(rows) if row.get("best")), {})
        facts = {
            "model": f"{self.config.name}, {self.card['parameters']:,} parameters",
            "data": self.config.data_name,
            "task": self.task_name,
            "state": "finished" if status.get("finished") else "not finished",
            "epochs": len(rows),
            **{name: value for name, value in best.items() if name.startswith("validation_")},
            **{f"test {name}": value for name, value in self.directory.results().get("metrics", {}).items()},
            "verbs": ", ".join(self.verbs),
        }
        return markup.pairs(str(self.path), facts)

    @cached_property
    def view(self) -> View:
        """The view of its task and modality."""
        return view_of(self.task_name, self.preprocess.kind)(self)

    @property
    def verbs(self) -> tuple[str, ...]:
        """The verbs of the run: ``("evaluate", "predict", "embed", ...)``."""
        own = tuple(self._verbs())
        embed = ("embed",) if self.embeds else ()
        return (*own, *embed, *COMMON_VERBS)

    def verb_options(self, verb: str) -> type[Any]:
        """The dataclass of a verb's options: ``run.verb_options("generate")`` is ``GenerationOptions``.

        Raises UsageError for a verb that the run does not have.
        """
        if verb not in self._verbs():
            have = ", ".join(self.verbs)
            raise UsageError(f"{self.path} has no {verb}: its task is {self.task_name}, it has {have}")
        return self._verbs()[verb]

    def evaluate(
        self, split: str | None = None, *, data: Data | Source | None = None, **options: Any
    ) -> dict[str, float]:
        """The task's metrics on a split (default: test, else validation), or on other ``data``. Where these are the
        run's own, which have moved, their splits are those of the training.

            run.evaluate()  # {"accuracy": 0.97, ...}
            run.evaluate("validation", crops=10)
            run.evaluate(data=(images, labels))

        The run's own data, given again, are divided as they were for training: so a run is evaluated whose data were in
        memory.

        ``options`` depend on the task. Images: ``crops=10``, metrics of the mean over ten windows of each image.
        Translation: ``beam``, the width of the beam search; its metrics include "exact_match", "bleu" and "chrf" of
        the translations. Raises UsageError for an option of another task.
        """
        given = self._options("evaluate", options)
        source = data if data is None or isinstance(data, Source) else self.other_source(data)
        for remark in self.remarks(split, source):
            warnings.warn(remark, DataWarning, stacklevel=2)
        return self.view.evaluate(split, source, given)

    def remarks(self, split: str | None = None, source: Source | None = None) -> list[str]:
        """What a user should know of the values of a split that training had not: categories of a table."""
        if self.modality.remarks is None:
            return []
        source = self.source if source is None else source
        name = final_split(source) if split is None else split
        if name not in source.splits:
            return []  # the evaluation says so
        return [f"{name}: {remark}" for remark in self.modality.remarks(self.preprocess, source.splits[name])]

    def outcome(self, split: str | None = None) -> dict[str, Tensor]:
        """All predictions on a split with their targets: "probabilities" (N, K) or "values" (N, K), and "target".

            found = run.outcome("test")
            (found["probabilities"].argmax(1) == found["target"]).float().mean()

        Raises UsageError for a model that generates text.
        """
        if self.kind is not None and not self.kind.predicts_at_once:
            raise UsageError(f"{self.path} generates text: it has no output for each sample")
        return self.predictions(split)

    def predict(self, *items: Any, engine: str = "torch", **options: Any) -> list[dict[str, Any]]:
        """Predictions for items: image files, PIL images, arrays; rows as dicts, a data frame, a table
        file; texts, as str, as lists, or as a Path to a file of one a line. A blank line of a file has a prediction of
        None, so that the i-th one is that of line i. Files are also given as a folder, a pattern, a list, images as a
        .txt file of their paths; texts of a folder as a Path, a text in each file.

            run.predict("digit.png")  # [{"class": "3", "probability": 0.98, "probabilities": {...}}]
            run.predict("photos/")  # or "photos/*.png", ["a.png", "b.png"], "list.txt"
            run.predict({"age": 31, "city": "Turin"})

        Classification: "class", "probability", "probabilities" by class. Multi-label: "labels" (those above one half),
        "probabilities". Regression: a value for each target. Translation: "translation" and its "log_probability"; with
        a ``beam`` of several "others", compared by their log-probability over ((5 + tokens) / 6)^``length_penalty``.
        ``engine`` is "torch", "onnxruntime" or "openvino": the latter two use an export that is kept in the run. Raises
        UsageError or DataError naming the item.
        """
        given = self._options("predict", options)
        every = self.view.items(items)
        if engine != "torch":
            return self.in_engine(engine).predict(*every, **options)
        return self.view.predict(every, given)

    @overload
    def generate(
        self, *prompts: str | Sequence[str], engine: str = "torch", **options: Unpack[GenerationKwargs]
    ) -> list[str]: ...

    @overload
    def generate(self, **options: Any) -> list[Any]: ...

    def generate(self, *prompts: str | Sequence[str], engine: str = "torch", **options: Any) -> list[Any]:
        """Continuations of prompts, without the prompts: ``run.generate("Once upon", max_new_tokens=100)``. Prompts are
        given one by one, or as a list. Of autoencoders pictures (H, W, C) uint8, or rows as dicts, without a prompt:
        ``run.generate(count=16, seed=1)``; the i-th depends on the seed and i alone.

        Options of autoencoders are the fields of ``SampleOptions``: count, seed, interpolate (two items), path, walk.

        Options of language models are the fields of ``GenerationOptions``: max_new_tokens, temperature, top_k, top_p,
        greedy, repetition_penalty, stop (texts that end the generation), seed. The same seed gives the same text. When
        the model's context is full, generation continues from its last half. ``engine`` is "torch", "onnxruntime" or
        "openvino": the latter two use an export with the model's state that is kept in the run.

        Raises UsageError for a run that is not a language model, invalid options, a missing or empty prompt, one that
        fills the context, and a character unknown to a character-level model.
        """
        given = self._options("generate", options)
        texts = [text for prompt in prompts for text in ([prompt] if isinstance(prompt, str) else prompt)]
        if not texts and self.view.takes_prompts:
            raise UsageError("nothing to continue: give a prompt")
        if engine != "torch":
            return self.in_engine(engine).generate(*texts, **options)
        return self.view.generate(texts, given)

    def stream(self, prompt: str, *, engine: str = "torch", **options: Unpack[GenerationKwargs]) -> Iterator[str]:
        """As ``generate`` for one prompt, yielding pieces of text: ``for piece in run.stream("Once upon"): ...``."""
        given = self._options("generate", options)
        return (
            self.view.stream(prompt, given) if engine == "torch" else self.in_engine(engine).stream(prompt, **options)
        )

    def in_engine(self, engine: str) -> ExportedModel:
        """The run in another engine, "onnxruntime" or "openvino", by an export that is kept in its folder."""
        return run_in_engine(self, engine)

    def style(self, content: Any, *styles: Any, **options: Any) -> Picture:
        """A picture, (H, W, 3) uint8, in the style that the run has learned, or for a run of adain in that of a second
        picture: ``run.style("house.jpg", "starry-night.jpg", alpha=0.7)``.

        Pictures are paths, PIL images or arrays of any size; one that does not fit into memory is computed in tiles.
        Raises UsageError for a run of another task, DataError for a picture that cannot be read.
        """
        given = self._options("style", options)
        picture: Picture = self.view.style(content, styles, given)
        return picture

    def embed(self, *items: Any) -> Tensor:
        """The inputs (N, D) of the output layer for items as in ``predict``, or for the final split; not-a-number for a
        blank line of a text file.

        run.embed("a.png", "b.png").shape  # (2, 84)
        """
        given = batches_of(self.preprocess, items_of(self.preprocess, items)) if items else self.batches(None)
        return torch.cat([self._embedded(batch) for batch in given])

    def _embedded(self, batch: Batch) -> Tensor:
        blank = batch.pop(BLANK, None)
        features = self.embed_batch(batch)
        return features if blank is None else features.masked_fill(blank.to(features.device)[:, None], torch.nan)

    def export(self, to: str, path: str | Path | None = None, *, player: str | None = None, **options: Any) -> Exported:
        """Write the model with its best weights: ``run.export("onnx").path``; of a model of several players one, by
        default the generator: ``run.export("onnx", player="discriminator")``.

        Formats: "onnx" (``.onnx``), "openvino" (``.xml`` and ``.bin``) or "torch"
        (``.pt2``), by default in the run's folder ``exports``; any batch size, float32.

        ``options`` are the fields of ``ExportOptions``: ``run.export("openvino", int8=True, max_drop=0.005)``
        quantises, and ``facts.quality`` of the result has the metric before and after; ``fp16=True`` halves the file.

        The file holds the preprocessing and the names of the outputs. It is written only if its outputs equal the
        model's on batches of 1, 2 and 5, to 1e-4 of the largest. Raises UsageError for an unknown format, one that is
        not installed (``pip install lamina[export]``) and a path that does not fit; ExportError for a model that cannot
        be exported, and an int8 that is too inaccurate.
        """
        return export_run(self, to, path, player, made(ExportOptions, options, "option of export"))

    @overload
    def inspect(self, image: Any, target: str | int | None = None, *, stage: int | None = None) -> Inspection: ...

    @overload
    def inspect(self, *, text: str, target: str | int | None = None) -> TextInspection: ...

    @overload
    def inspect(self) -> Any: ...

    def inspect(
        self,
        image: Any = None,
        target: str | int | None = None,
        *,
        text: str | None = None,
        stage: int | None = None,
    ) -> Any:
        """Inspect the model with one image or one ``text``: tensors.

            run.inspect("digit.png").cam_HW
            run.inspect(text="a charming film").effects_WK
            run.inspect().genotype  # of an architecture search
            run.inspect().gradient_norm_ND  # of an adversarial network

        Image: feature maps, Grad-CAM, attention, filters, effective receptive fields, gradients. Text: attention,
        alignments, gates, surprisal, gradients by lag, word attribution. For other modalities one sample is given
        instead of the image.

        ``target``: the class to explain, by name or number (default: the predicted one); ``stage``: the stage of the
        class activation map (default: the layer that suits the family). Raises UsageError or DataError.
        """
        return self.inspection(image, target, text=text, stage=stage).seen

    def inspection(
        self,
        image: Any = None,
        target: str | int | None = None,
        *,
        text: str | None = None,
        stage: int | None = None,
    ) -> InspectionPage:
        """As ``inspect``, with its page: ``run.inspection("digit.png").html()``."""
        takes = self.view.inspects
        if not takes:
            if image is not None or text is not None:
                raise UsageError(f"{self.path} is inspected as it is: give no image or text")
            return self.view.inspect(None, target, stage)
        if (image is None) == (text is None):
            raise UsageError("nothing to inspect: give an image or a text")
        given = "image" if text is None else "text"
        if takes != given:
            raise UsageError(f"{self.path} takes {self.preprocess.kind} data, not {given}s")
        if stage is not None and not self.view.has_stages:
            raise UsageError(f"stage is for images: {self.preprocess.kind} models have no stages")
        return self.view.inspect(image if text is None else text, target, stage)

    def report(self) -> Path:
        """Write report.html from the best weights and return its path: ``print(run.report())``."""
        return write_report(self.view)

    def _verbs(self) -> Mapping[str, type[Any]]:
        return self.kind.verbs if self.kind is not None else {"evaluate": NoOptions, "predict": NoOptions}

    def _options(self, verb: str, given: Mapping[str, Any]) -> Any:
        """A verb's options. Raises UsageError for one that the task does not have, naming those it has."""
        cls = self.verb_options(verb)
        names = [field.name for field in dataclasses.fields(cls)]
        for name in given:
            if name not in names:
                near = nearest(name, names)
                have = f"did you mean '{near}'?" if near else f"it has {', '.join(names) or 'none'}"
                raise UsageError(f"{verb} of {self.path} has no option '{name}' (its task is {self.task_name}); {have}")
        return made(cls, given, f"option of {verb}")


def open_run(
    path: str | Path,
    model: nn.Module | None = None,
    task: Task | None = None,
    data: Data | None = None,
) -> Run:
    """Open a run: ``open_run("runs/lenet5-digits").predict("photo.png")``; one of the hub by its repository and, if it
    is to be the same tomorrow, its commit: ``open_run("hf:USER/NAME@REVISION")``.

    ``model`` is for a run of a module of your own, ``task`` for one of a task of your own: neither can be built again
    from what the run keeps. ``data`` are the run's own, where they were in memory, or the new place of data that have
    moved; without it they are looked for by the path as it was given, the absolute one, and the one from the run's
    folder. Raises UsageError for any other folder, RunError for a run of packages that are not installed.
    """
    run = Run(fetch_run(str(path)) if is_hub(path) else path, model=model, task=task, data=data)
    run.expect_installed()
    return run


def list_runs(directory: str | Path = "runs") -> list[Run]:
    """The runs in a folder, in order of name: ``[run.config.name for run in list_runs("runs")]``."""
    return [Run(path) for path in run_folders(Path(directory))]
