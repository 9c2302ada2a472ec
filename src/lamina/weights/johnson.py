"""Parameter names of Johnson's transformation network in pytorch/examples (fast_neural_style)."""

from __future__ import annotations

from collections.abc import Iterable

from lamina.models.johnson import Johnson
from lamina.weights.layout import Layout


def _examples(model: Johnson) -> Iterable[tuple[str, str]]:
    for number in (1, 2, 3):
        yield f"conv{number}.conv2d", f"down.conv{number}.conv"
        yield f"in{number}", f"down.conv{number}.norm"
        yield f"deconv{number}.conv2d", f"up.conv{number}.conv"
    for number in (4, 5):
        yield f"in{number}", f"up.conv{number - 3}.norm"
    for index in range(model.config.blocks):
        for number in (1, 2):
            yield f"res{index + 1}.conv{number}.conv2d", f"blocks.{index}.conv{number}"
            yield f"res{index + 1}.in{number}", f"blocks.{index}.norm{number}"


def _remark(model: Johnson) -> str | None:
    if (model.config.padding, model.config.output) == ("layer", "linear"):
        return None
    options = "padding='layer', output='linear'"
    return f"pytorch/examples' net reflects before each layer and has no tanh: build it with {options}"


LAYOUTS = (
    Layout(source="pytorch/examples", names=_examples, remark=_remark, ignored=(r".*in\d\.running_(mean|var)",)),
)
