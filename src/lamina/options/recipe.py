"""The recipe: every training option, in a typed dataclass of scalars and enums. Imports no torch."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from lamina.errors import UsageError

Optimizer = Literal["sgd", "adam", "adamw", "rmsprop"]
Schedule = Literal["constant", "step", "cosine", "linear", "plateau", "inverse-sqrt"]
Precision = Literal["fp32", "bf16", "fp16", "fp64"]


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Resizing, normalisation and random augmentation of images.

    Example: ``Augmentation(flip=True, shift=4, normalisation="imagenet")``
    """

    resize: Literal["stretch", "pad", "crop"] = "stretch"
    """how images are resized: stretch both sides; pad with the corner colour; scale the shorter side and centre-crop"""
    flip: bool = False
    """mirror training images left to right at random"""
    shift: int = 0
    """shift training images by up to this many pixels, padded with zeros"""
    crop: int | None = None
    """side that images are resized to, larger than the model's: random crops in training, the centre in evaluation"""
    resized_crop: tuple[float, float] | None = None
    """train on random crops of this range of the image's area, resized to the model's size: 0.08,1"""
    rand_augment: float | None = None
    """magnitude of RandAugment, 0 to 10"""
    rand_augment_layers: int = 2
    """operations of RandAugment for each image"""
    rand_augment_std: float = 0.0
    """standard deviation of RandAugment's magnitude"""
    trivial_augment: bool = False
    """apply one random operation of random strength to each training image"""
    colour_pca: float = 0.0
    """standard deviation of random shifts of the colours along their principal components; AlexNet: 0.1"""
    erasing: float = 0.0
    """probability that a box of a training image is erased"""
    mixup: float = 0.0
    """alpha of the Beta distribution of mixup; 0: none"""
    cutmix: float = 0.0
    """alpha of the Beta distribution of CutMix; 0: none; if both are set, each batch uses one of them"""
    normalisation: Literal["auto", "data", "imagenet", "half", "unit"] = "auto"
    """mean and std of images: of the training data; of ImageNet; half: 0.5, to [-1, 1]; unit: none, to [0, 1]. auto:
    with --weights those of the weights' run, ImageNet's for published weights of colour images; otherwise the data's"""

    binarise: Literal["none", "threshold", "once", "always"] = "none"
    """make images black and white: by a threshold; once: one random draw for each pixel, its grey value the
    probability of white; always: another draw in every epoch"""

    def __post_init__(self) -> None:
        for name in ("crop", "rand_augment_layers"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name} must be at least 1, got {value}")
        for name in ("shift", "rand_augment_std", "colour_pca", "mixup", "cutmix"):
            if getattr(self, name) < 0:
                raise UsageError(f"{name} must not be negative, got {getattr(self, name)}")
        if not 0 <= self.erasing <= 1:
            raise UsageError(f"erasing is a probability, got {self.erasing}")
        if self.rand_augment is not None and self.trivial_augment:
            raise UsageError("rand_augment and trivial_augment are alternatives: give one of them")

    def given(self) -> list[str]:
        """Names of the options that differ from their defaults."""
        return [field.name for field in fields(self) if getattr(self, field.name) != field.default]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a model is trained. Raises UsageError for values out of range.

    Example: ``Recipe(epochs=20, optimizer="sgd", lr=0.1, schedule="cosine", augmentation=Augmentation(flip=True))``
    """

    epochs: int | None = None
    """passes over the training data; 10 if neither steps nor images are given"""
    steps: int | None = None
    """length in optimiser steps, instead of epochs"""
    images: int | None = None
    """length in samples seen, instead of epochs"""
    minutes: float | None = None
    """train for about this long: fewer epochs, by the measured time of a step, where the recipe's would take longer"""
    batch_size: int = 64
    """samples in a batch, over all processes"""
    accumulate: int = 1
    """batches whose gradients are averaged into one step"""
    window: int | None = None
    """tokens of running text in each row of a batch; default: the model's context, or 35 if it carries a state"""

    optimizer: Optimizer = "adamw"
    """update rule"""
    lr: float = 1e-3
    """peak learning rate"""
    momentum: float = 0.9
    """sgd, rmsprop: momentum"""
    nesterov: bool = False
    """sgd: Nesterov momentum"""
    beta1: float = 0.9
    """adam, adamw: decay rate of the first moment"""
    beta2: float = 0.999
    """adam, adamw: decay rate of the second moment (rmsprop: alpha)"""
    eps: float = 1e-8
    """adam, adamw, rmsprop: added to the denominator"""
    weight_decay: float = 0.0
    """decoupled in adamw, L2 in the gradient (torch's convention) otherwise"""
    decay_norm_and_bias: bool = True
    """whether weight decay applies to biases and normalisation parameters"""
    clip: float | None = None
    """maximum norm of the gradient of all parameters"""

    schedule: Schedule = "constant"
    """learning-rate schedule"""
    warmup: float = 0.0
    """share of training over which the rate rises linearly from zero"""
    decay_start: float = 0.0
    """cosine, linear: share of training at the full rate before it falls"""
    final_lr: float = 0.0
    """cosine, linear: learning rate at the end"""
    milestones: tuple[float, ...] = (0.5, 0.75)
    """step: shares of training at which the learning rate is multiplied by gamma"""
    gamma: float = 0.1
    """step, plateau: the factor"""
    plateau_patience: int = 5
    """plateau: epochs without a better validation metric before the rate is reduced"""

    label_smoothing: float = 0.0
    """share of the target's probability spread over all classes"""
    class_weights: bool = False
    """weight classes by their inverse frequency in the training data"""
    ema: float = 0.0
    """decay of an exponential moving average of the weights, which is evaluated and saved; 0: none"""
    monitor: str | None = None
    """validation metric that chooses the best weights; none: the task's own (translations also have bleu, chrf)"""
    metric_network: str | None = None
    """models that generate: after each epoch, judge samples by the features of this network: a run, a recipe of ours,
    or a file of Inception weights"""
    metric_layer: str | None = None
    """the module of the metric network whose output is its features (default: what its output layer sees)"""
    metric_samples: int | None = None
    """samples generated for the metric network, and validation samples compared with (default: all, at most 10,000)"""
    sample_metrics: tuple[Literal["fid", "kid", "precision-recall", "recognised"], ...] = ()
    """of the metric network: fid, kid, precision-recall, recognised (default: all that the network allows)"""
    calibrate: bool = False
    """after training, fit the temperature of probabilities or the thresholds of labels on the validation split; for
    autoencoders without one, cross-fit the threshold of anomalies on the training data"""
    patience: int | None = None
    """stop after this many epochs without a better validation metric"""

    freeze: tuple[str, ...] = ()
    """modules to freeze, batch-norm statistics included, by name or pattern (stem,stages.*); body: all but the head"""
    layer_decay: float = 1.0
    """factor on the learning rate for each layer further from the head; 1: the same rate everywhere"""
    checkpointing: bool = False
    """recompute the model's stages in the backward pass instead of storing activations: less memory, more time"""

    augmentation: Augmentation = Augmentation()
    """options of images"""

    memory: Literal["auto", "hold", "stream"] = "auto"
    """hold the decoded data in memory, or stream it; auto: hold up to 2 GiB"""
    workers: int = 0
    """processes that decode streamed data"""

    seed: int = 0
    """seed of everything random: weights, order, augmentation, dropout"""
    precision: Precision = "fp32"
    """arithmetic: bf16 and fp16 are mixed precision"""
    channels_last: bool = False
    """keep the weights of convolutions with the channels as the last axis in memory; results differ by rounding"""
    compile: bool = False
    """compile the model with torch.compile"""
    checkpoint_every: int | None = None
    """steps between checkpoints, in addition to one after every epoch"""
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """device to train on"""
    devices: int = 1
    """processes on this machine, each with its own device; under torchrun or SLURM theirs"""
    num_nodes: int = 1
    """machines; torchrun or SLURM start the processes on each (docs/scaling.md)"""
    timeout: float = 300.0
    """several processes: seconds after which one that is silent is given up, and all end"""
    strategy: Literal["ddp", "fsdp"] = "ddp"
    """several processes: ddp keeps the whole net on each device; fsdp divides weights, gradients and optimiser state
    among them, block by block"""

    def __post_init__(self) -> None:
        given = [name for name in ("epochs", "steps", "images") if getattr(self, name) is not None]
        if len(given) > 1:
            raise UsageError(f"give one length of training, not {' and '.join('--' + name for name in given)}")
        counts = ("epochs", "steps", "images", "batch_size", "accumulate", "checkpoint_every", "patience", "devices")
        for name in (*counts, "window", "num_nodes"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name} must be at least 1, got {value}")
        for name in ("weight_decay", "eps", "workers", "final_lr", "plateau_patience"):
            if getattr(self, name) < 0:
                raise UsageError(f"{name} must not be negative, got {getattr(self, name)}")
        for name in ("momentum", "beta1", "beta2", "ema", "label_smoothing", "warmup", "decay_start"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"{name} must lie in [0, 1), got {getattr(self, name)}")
        if not 0 < self.layer_decay <= 1:
            raise UsageError(f"layer_decay must lie in (0, 1], got {self.layer_decay}")
        if self.checkpointing and self.compile:
            raise UsageError("checkpointing cannot be used with compile: the compiler chooses what it stores itself")
        if not self.lr > 0:
            raise UsageError(f"lr must be greater than 0, got {self.lr}")
        if not 0 < self.timeout < math.inf:
            raise UsageError(f"timeout must be a number of seconds greater than 0, got {self.timeout:g}")
        if self.minutes is not None and not self.minutes > 0:
            raise UsageError(f"minutes must be greater than 0, got {self.minutes:g}")
        if self.clip is not None and not self.clip > 0:
            raise UsageError(f"clip must be greater than 0, got {self.clip}")
        if any(not 0 < share < 1 for share in self.milestones):
            raise UsageError(f"milestones are shares of training in (0, 1), got {self.milestones}")

    @property
    def length(self) -> tuple[Literal["epochs", "steps", "images"], int]:
        """The unit and amount of training."""
        if self.steps is not None:
            return "steps", self.steps
        if self.images is not None:
            return "images", self.images
        return "epochs", 10 if self.epochs is None else self.epochs

    @property
    def processes(self) -> int:
        """Processes on all machines."""
        return self.devices * self.num_nodes

    def samples(self, per_epoch: int) -> int:
        """Samples that are drawn in all, of epochs of so many batches: ``Recipe(steps=5).samples(100)`` is 320."""
        unit, amount = self.length
        return amount * {"epochs": per_epoch * self.batch_size, "steps": self.batch_size * self.accumulate}.get(unit, 1)


AUTO = "auto"
"""an option's value that is found from the data, the model and the machine before training"""
FITTED = (
    "epochs",
    "batch_size",
    "lr",
    "warmup",
    "weight_decay",
    "patience",
    "augmentation",
    "image_size",
    "precision",
    "channels_last",
)
"""the options that may be "auto": those of the recipe, and the model's image size"""
AUGMENTATION_FIELDS = frozenset(field.name for field in fields(Augmentation))


def grouped(values: Mapping[str, Any]) -> dict[str, Any]:
    """Recipe options with those of ``Augmentation`` moved from the top level to the group "augmentation".

    Example: ``grouped({"lr": 0.1, "flip": True})`` is ``{"lr": 0.1, "augmentation": {"flip": True}}``.
    """
    flat = {name: value for name, value in values.items() if name in AUGMENTATION_FIELDS}
    rest = {name: value for name, value in values.items() if name not in AUGMENTATION_FIELDS}
    group = rest.get("augmentation") or {}
    return rest | {"augmentation": {**group, **flat}} if flat or group else rest


def _accept_flat_options() -> None:
    """Accept ``Recipe(flip=True)``, the spelling before the group "augmentation", with a DeprecationWarning."""
    grouped_init = Recipe.__init__

    def __init__(self: Recipe, **values: Any) -> None:  # noqa: N807
        flat = {name: values.pop(name) for name in list(values) if name in AUGMENTATION_FIELDS}
        if flat:
            warnings.warn(
                f"Recipe({next(iter(flat))}=...) is now Recipe(augmentation=Augmentation({next(iter(flat))}=...))",
                DeprecationWarning,
                stacklevel=2,
            )
            values["augmentation"] = replace(values.get("augmentation", Augmentation()), **flat)
        grouped_init(self, **values)

    Recipe.__init__ = __init__  # type: ignore[method-assign]  # keeps the flat names readable


_accept_flat_options()
