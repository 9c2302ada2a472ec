"""What a card says of a step and of a fixed number of classes is checked too: one fault at a time on a perceptron."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor

from lamina import conformance, registry
from lamina.cards import Variant
from lamina.conformance import NotApplicableError
from lamina.models.perceptron import Perceptron, PerceptronConfig


class Smooth(Perceptron):
    """Forward has a slope after all."""

    def forward(self, x: Tensor) -> Tensor:
        z_B = self.score(x).sigmoid()
        return torch.stack([1 - z_B, z_B], dim=1)


class WithoutBias(Perceptron):
    """The bias does not count in the score that is trained."""

    def score(self, x: Tensor) -> Tensor:
        return x @ self.unit.weight[0] + 0 * self.unit.bias


class Broken(Perceptron):
    """The score cannot be compiled whole; forward can."""

    def score(self, x: Tensor) -> Tensor:
        torch._dynamo.graph_break()
        return super().score(x)

    def forward(self, x: Tensor) -> Tensor:
        y_B = (super().score(x) >= 0).to(x.dtype)
        return torch.stack([1 - y_B, y_B], dim=1)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LooseConfig(PerceptronConfig):
    """Takes any number of classes, and ignores it."""

    def __post_init__(self) -> None:
        pass


@dataclasses.dataclass(frozen=True, kw_only=True)
class VagueConfig(PerceptronConfig):
    """Refuses other numbers of classes without saying which."""

    def __post_init__(self) -> None:
        if self.num_classes != 2:
            raise ValueError("that will not do")


def row(build: Any = Perceptron, config: PerceptronConfig | None = None, **facts: Any) -> Variant:
    sound = registry.variant("perceptron")
    return Variant(build=build, config=config or sound.config, card=dataclasses.replace(sound.card, **facts))


@pytest.mark.parametrize(
    ("faulty", "check", "message"),
    [
        (row(Smooth), "check_backward", "forward has a gradient, though its card says that score has one in its place"),
        (row(WithoutBias), "check_backward", "the gradient of unit.bias is zero everywhere"),
        (row(Broken), "check_compile", "graph break"),
        (row(config=LooseConfig()), "check_image_interface", "num_classes=0 is accepted, though its card says 2"),
        (row(config=VagueConfig()), "check_image_interface", "num_classes=0 is rejected with: .*that will not do"),
        (row(differentiable_method="forward"), "check_backward", "does not require grad"),
    ],
)
def test_a_fault_is_found(faulty: Variant, check: str, message: str) -> None:
    with pytest.raises((AssertionError, RuntimeError), match=message):
        getattr(conformance, check)(faulty)


def test_the_sound_perceptron_passes_and_says_what_it_has_not() -> None:
    for check in (conformance.check_backward, conformance.check_compile, conformance.check_bf16_autocast):
        check(row())
    with pytest.raises(NotApplicableError, match="a head for 2 classes is the only one it can have"):
        conformance.check_image_interface(row())
