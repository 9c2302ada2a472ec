"""The recipe: every training choice as one flat, typed dataclass of scalars and enums. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lamina.errors import UsageError

Optimizer = Literal["sgd", "adam", "adamw", "rmsprop"]
Schedule = Literal["constant", "step", "cosine", "linear", "plateau", "inverse-sqrt"]
Precision = Literal["fp32", "bf16", "fp16", "fp64"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a model is trained."""

    epochs: int | None = None
    """passes over the training data; with neither steps nor images given, 10"""
    steps: int | None = None
    """length in optimiser steps, in place of epochs"""
    images: int | None = None
    """length in samples seen, in place of epochs"""
    batch_size: int = 64
    """samples in a batch, over all processes"""
    accumulate: int = 1
    """batches whose gradients are averaged into one step"""

    optimizer: Optimizer = "adamw"
    """update rule"""
    lr: float = 1e-3
    """learning rate at its highest"""
    momentum: float = 0.9
    """of sgd and rmsprop"""
    nesterov: bool = False
    """Nesterov's form of sgd's momentum"""
    beta1: float = 0.9
    """adam, adamw: decay of the mean of gradients"""
    beta2: float = 0.999
    """adam, adamw: decay of the mean of squares (rmsprop: alpha)"""
    eps: float = 1e-8
    """adam, adamw, rmsprop: added to the denominator"""
    weight_decay: float = 0.0
    """decoupled in adamw, L2 in the gradient (torch's convention) elsewhere"""
    decay_norm_and_bias: bool = True
    """whether weight decay also shrinks biases and normalisation parameters"""
    clip: float | None = None
    """greatest norm of the gradient of all parameters together"""

    schedule: Schedule = "constant"
    """how the learning rate falls"""
    warmup: float = 0.0
    """share of training over which the rate rises linearly from zero"""
    final_lr: float = 0.0
    """cosine, linear: the rate at the end"""
    milestones: tuple[float, ...] = (0.5, 0.75)
    """step: shares of training at which the rate is multiplied by gamma"""
    gamma: float = 0.1
    """step, plateau: the factor"""
    plateau_patience: int = 5
    """plateau: epochs without a better validation metric before the rate falls"""

    label_smoothing: float = 0.0
    """share of the target's probability spread over all classes"""
    class_weights: bool = False
    """weigh classes by the inverse of their frequency in the training data"""
    ema: float = 0.0
    """decay of an exponential moving average of the weights, which is then evaluated and saved; 0: none"""
    patience: int | None = None
    """stop after this many epochs without a better validation metric"""

    resize: Literal["stretch", "pad", "crop"] = "stretch"
    """how images reach the model's size: interpolated; centred on the corner colour; shorter side, then the centre"""
    flip: bool = False
    """mirror training images left to right at random"""
    shift: int = 0
    """move training images by up to so many pixels, edges filled with zeros"""

    memory: Literal["auto", "hold", "stream"] = "auto"
    """hold the decoded data in memory, or decode while training; auto: hold what fits in 2 GiB"""
    workers: int = 0
    """processes that decode streamed data"""

    seed: int = 0
    """decides everything random: weights, order, augmentation, dropout"""
    precision: Precision = "fp32"
    """arithmetic: bf16 and fp16 are mixed precision"""
    compile: bool = False
    """compile the model with torch.compile"""
    checkpoint_every: int | None = None
    """steps between checkpoints, beside the one at the end of every epoch"""
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """where to train"""
    devices: int = 1
    """processes, each with a device"""

    def __post_init__(self) -> None:
        given = [name for name in ("epochs", "steps", "images") if getattr(self, name) is not None]
        if len(given) > 1:
            raise UsageError(f"give one length of training, not {' and '.join('--' + name for name in given)}")
        counts = ("epochs", "steps", "images", "batch_size", "accumulate", "checkpoint_every", "patience", "devices")
        for name in counts:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name} must be at least 1, got {value}")
        for name in ("weight_decay", "eps", "shift", "workers", "final_lr", "plateau_patience"):
            if getattr(self, name) < 0:
                raise UsageError(f"{name} must not be negative, got {getattr(self, name)}")
        for name in ("momentum", "beta1", "beta2", "ema", "label_smoothing", "warmup"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"{name} must lie in [0, 1), got {getattr(self, name)}")
        if not self.lr > 0:
            raise UsageError(f"lr must be greater than 0, got {self.lr}")
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
