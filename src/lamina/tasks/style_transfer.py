"""Style transfer by a net: one style learned (Johnson et al. 2016), or any style (Huang and Belongie 2017).

Legend: B batch, C channels, H height, W width, D channels of features.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamina.data.spec import DataSpec
from lamina.errors import UsageError
from lamina.stylisation.features import JOHNSON, FeatureNet, feature_net
from lamina.stylisation.losses import gram, johnson_content, johnson_style, total_variation
from lamina.stylisation.pictures import read, within
from lamina.tasks.base import Batch, Call, Engine, Task
from lamina.tasks.kind import TaskKind, TaskSetup
from lamina.tasks.means import Means
from lamina.tasks.style_options import AdaptiveOptions, PerceptualOptions
from lamina.tasks.verbs import VERBS


@dataclass(frozen=True)
class PixelScale:
    """The normalisation of pictures: values from 0 to 1 are (x - mean) / std for the net."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def to_unit(self, x_BCHW: Tensor) -> Tensor:
        """Normalised pictures as colours from 0 to 1, (B, 3, H, W)."""
        mean, std = (x_BCHW.new_tensor(part)[:, None, None] for part in (self.mean, self.std))
        return (x_BCHW * std + mean).expand(-1, 3, -1, -1)

    def from_unit(self, x_BCHW: Tensor) -> Tensor:
        """Pictures with values from 0 to 1, (B, C, H, W), normalised for the net."""
        mean, std = (x_BCHW.new_tensor(part)[:, None, None] for part in (self.mean, self.std))
        return (x_BCHW - mean) / std


class StyleTransfer(Task):
    """Training of a net that turns pictures into pictures of one style, by Johnson's perceptual losses.

    Models take and return normalised pictures (B, C, H, W). The loss net is neither trained nor saved; the Gram
    matrices of the style are, so that the picture is needed only once.

    Example: ``StyleTransfer(one_tensor("image"), PixelScale((0.5,) * 3, (0.5,) * 3), PerceptualOptions(style="a"))``
    """

    name = "style-transfer"
    monitor: tuple[str, Literal["min", "max"]] | None = ("loss", "min")

    def __init__(self, call: Call, scale: PixelScale, options: PerceptualOptions, seed: int = 0) -> None:
        self.call, self.scale, self.options, self.seed = call, scale, options, seed
        self.grams: dict[str, Tensor] = {}
        self._net: FeatureNet | None = None

    @property
    def net(self) -> FeatureNet:
        """The net whose features are compared, made when first needed."""
        if self._net is None:
            self._net = feature_net(self.options.features, self.options.weights, seed=self.seed)
        return self._net

    @property
    def notes(self) -> tuple[str, ...]:
        return (f"style losses on features of {self.net.origin}",)

    def initialise(self, model: nn.Module) -> None:
        """Read the style. Raises UsageError without one, DataError for one that cannot be read."""
        if not self.options.style:
            raise UsageError("which style? give the picture, --style PICTURE")
        picture_BCHW = within(read(self.options.style), self.options.style_size or None)
        with torch.no_grad():
            maps = self.net(picture_BCHW, JOHNSON[self.net.architecture].style)
        self.grams = {name: gram(of) for name, of in maps.items()}

    def losses(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Each picture's losses, (B,): "content", "style" and "tv" without their weights, and "loss"."""
        if not self.grams:  # a run that was stopped early
            self.initialise(model)
        (x_BCHW,), _ = self.call(batch)
        net = self.net.to(x_BCHW.device)
        layers = JOHNSON[net.architecture]
        grams = {name: of.to(x_BCHW.device) for name, of in self.grams.items()}
        picture_BCHW = self.scale.to_unit(model(x_BCHW))
        maps = net(picture_BCHW, [*layers.content, *layers.style])
        with torch.no_grad():
            wanted = net(self.scale.to_unit(x_BCHW), layers.content)
        content = sum(johnson_content(maps[name], of) for name, of in wanted.items())
        found = {
            "content": cast(Tensor, content),
            "style": johnson_style(maps, grams),
            "tv": total_variation(255 * picture_BCHW),
        }
        weights = {name: getattr(self.options, f"{name}_weight") for name in found}
        loss_B = sum((weights[name] * value_B for name, value_B in found.items()), torch.zeros_like(found["tv"]))
        return {"loss": loss_B, **found}

    def loss(self, model: nn.Module, batch: Batch, engine: Engine) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum of the losses, a mean over the batch."""
        means = {name: value_B.mean() for name, value_B in self.losses(model, batch).items()}
        loss = means.pop("loss")
        return loss, {name: value.detach() for name, value in means.items()}

    def metrics(self) -> Any:
        return Means("loss", "content", "style", "tv")

    def evaluate_step(self, model: nn.Module, batch: Batch, metrics: Any) -> None:
        metrics.update(**self.losses(model, batch))

    def predict(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """{"picture": (B, 3, H, W)}, values from 0 to 1."""
        (x_BCHW,), _ = self.call(batch)
        return {"picture": self.scale.to_unit(model(x_BCHW)).clamp(0, 1)}

    def finalize(self, model: nn.Module, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """The style's Gram matrices."""
        return {f"gram.{name}": of.cpu() for name, of in self.grams.items()}

    def load_finalized(self, fitted: Mapping[str, Tensor]) -> None:
        self.grams = {name.removeprefix("gram."): of for name, of in fitted.items()}

    def state_dict(self) -> dict[str, Any]:
        return {"grams": dict(self.grams)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.grams = dict(state["grams"])


class ArbitraryStyleTransfer(Task):
    """Training of a decoder that turns features with a style's mean and deviation into pictures (AdaIN).

    Side A is the content, side B the styles. Evaluation stylises side A with the first pictures of side B, which the
    run keeps.

    Example: ``ArbitraryStyleTransfer(one_tensor("image"), PixelScale((0.5,) * 3, (0.5,) * 3), AdaptiveOptions())``
    """

    name = "arbitrary-style-transfer"
    monitor: tuple[str, Literal["min", "max"]] | None = ("loss", "min")
    sides = ("A", "B")
    KEPT = 4
    """styles that the validation pictures are judged with, in turn"""

    def __init__(self, call: Call, scale: PixelScale, options: AdaptiveOptions) -> None:
        self.call, self.scale, self.options = call, scale, options
        self.styles_BCHW: Tensor | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        given = self.options.weights
        return (f"encoder: VGG-19 to relu4_1 with {'random weights' if given is None else f'the weights of {given}'}",)

    def initialise(self, model: nn.Module) -> None:
        """The encoder's published weights, where some are given."""
        if self.options.weights is None:
            return
        published = [
            layer
            for layer in feature_net("vgg19", self.options.weights).layers.values()
            if isinstance(layer, nn.Conv2d)
        ]
        own = [layer for layer in cast(Any, model).encoder.modules() if isinstance(layer, nn.Conv2d)]
        for mine, theirs in zip(own, published, strict=False):
            mine.load_state_dict(theirs.state_dict())

    def losses(self, model: nn.Module, plain: Any, content_BCHW: Tensor, style_BCHW: Tensor) -> dict[str, Tensor]:
        """Each picture's losses, (B,); ``plain`` is the model that encodes, without a wrapper."""
        picture_BCHW = model(content_BCHW, style_BCHW)
        with torch.no_grad():
            styles = plain.encode(style_BCHW)
            target_BDHW = plain.blend(plain.encode(content_BCHW)[-1], styles[-1])
        maps = plain.encode(picture_BCHW.float())
        style_B = torch.zeros(len(content_BCHW), device=content_BCHW.device)
        for of, wanted in zip(maps, styles, strict=True):
            for mine, theirs in zip(plain.statistics.measure(of), plain.statistics.measure(wanted), strict=True):
                style_B = style_B + (mine - theirs).square().flatten(1).mean(1)
        content_B = F.mse_loss(maps[-1], target_BDHW, reduction="none").flatten(1).mean(1)
        return {"loss": content_B + self.options.style_weight * style_B, "content": content_B, "style": style_B}

    def update(self, batches: Any, engine: Engine) -> dict[str, Tensor]:
        total: dict[str, Tensor] = {}
        for _ in range(engine.accumulate):
            (content_BCHW,), _ = self.call(next(batches["A"]))
            (style_BCHW,), _ = self.call(next(batches["B"]))
            if self.styles_BCHW is None:
                self.styles_BCHW = style_BCHW[: self.KEPT].clone()
            count = min(len(content_BCHW), len(style_BCHW))
            found = self.losses(engine.models["model"], engine.plain["model"], content_BCHW[:count], style_BCHW[:count])
            means = {name: value_B.mean() for name, value_B in found.items()}
            engine.optimise(means["loss"], "model")
            for name, value in means.items():
                total[name] = total.get(name, torch.zeros_like(value)) + value.detach() / engine.accumulate
        return total

    def metrics(self) -> Any:
        return Means("loss", "content", "style")

    def evaluate_step(self, model: nn.Module, batch: Batch, metrics: Any) -> None:
        content_BCHW = self._of_side_a(batch)
        if len(content_BCHW):
            metrics.update(**self.losses(model, model, content_BCHW, self._styles_for(content_BCHW)))

    def predict(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """{"picture": (B, 3, H, W)} in the first of the styles kept, values from 0 to 1."""
        (x_BCHW,), _ = self.call(batch)
        picture_BCHW = model(x_BCHW, self._styles_for(x_BCHW)[:1].expand_as(x_BCHW))
        return {"picture": self.scale.to_unit(picture_BCHW).clamp(0, 1)}

    def finalize(self, model: nn.Module, batches: Iterable[Batch]) -> dict[str, Tensor]:
        """The styles kept."""
        assert self.styles_BCHW is not None
        return {"styles": self.styles_BCHW.cpu()}

    def load_finalized(self, fitted: Mapping[str, Tensor]) -> None:
        self.styles_BCHW = fitted["styles"]

    def state_dict(self) -> dict[str, Any]:
        return {} if self.styles_BCHW is None else {"styles": self.styles_BCHW}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.styles_BCHW = state.get("styles")

    def _of_side_a(self, batch: Batch) -> Tensor:
        (x_BCHW,), _ = self.call(batch)
        content_BCHW: Tensor = x_BCHW[batch["target"] == 0] if "target" in batch else x_BCHW
        return content_BCHW

    def _styles_for(self, content_BCHW: Tensor) -> Tensor:
        if self.styles_BCHW is None:
            raise UsageError("no style has been seen: train with pictures of styles as the second --data")
        styles_BCHW = self.styles_BCHW.to(content_BCHW)
        return styles_BCHW[torch.arange(len(content_BCHW), device=content_BCHW.device) % len(styles_BCHW)]


def _scale(setup: TaskSetup) -> PixelScale:
    preprocess: Any = setup.preprocess
    if not hasattr(preprocess, "std"):
        raise UsageError(f"style transfer is for images, not for {preprocess.kind} data")
    return PixelScale(tuple(preprocess.mean), tuple(preprocess.std))


def make(setup: TaskSetup) -> Task:
    """The task of one style."""
    return StyleTransfer(setup.preprocess.call, _scale(setup), setup.objective.options, setup.recipe.seed)


def make_arbitrary(setup: TaskSetup) -> Task:
    """The task of any style."""
    return ArbitraryStyleTransfer(setup.preprocess.call, _scale(setup), setup.objective.options)


def serves(spec: DataSpec) -> str | None:
    """Pictures, with or without labels."""
    return None


KIND = TaskKind(
    name="style-transfer",
    make=make,
    serves=serves,
    objectives={"perceptual": PerceptualOptions},
    verbs=VERBS["style-transfer"],
    needs_targets=False,
    automatic=False,
)
ARBITRARY = TaskKind(
    name="arbitrary-style-transfer",
    make=make_arbitrary,
    serves=serves,
    objectives={"adaptive": AdaptiveOptions},
    verbs=VERBS["arbitrary-style-transfer"],
    needs_targets=False,
    automatic=False,
)
