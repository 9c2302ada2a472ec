"""Parameter names of temporal convolutional networks in the authors' code."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from lamina.layers.causal_convolution import TemporalBlock
from lamina.models.tcn import TCN
from lamina.weights.layout import Layout

_WEIGHTS = {"weight_g": "weight_g", "weight_v": "weight_v", "bias": "bias"}
_PARAMETRISED = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}


def _authors(weights: dict[str, str], model: TCN) -> Iterable[tuple[str, str]]:
    """locuslab/TCN: a model of theirs, ``tcn`` and ``linear``, whose blocks hold every convolution twice."""
    if model.config.normalisation == "revin":  # they do not normalise
        return
    for index, block in enumerate(model.blocks):
        assert isinstance(block, TemporalBlock)
        for conv in ("conv1", "conv2"):
            for theirs, ours in weights.items():
                yield f"tcn.network.{index}.{conv}.{theirs}", f"blocks.{index}.{conv}.{ours}"
        if list(block.shortcut.parameters()):
            yield f"tcn.network.{index}.downsample", f"blocks.{index}.shortcut"
    yield "linear", "head"


def _layout(weights: dict[str, str]) -> Layout:
    twice = r"tcn\.network\.\d+\.net\.\d\..*"
    return Layout(source="locuslab/TCN", names=partial(_authors, weights), ignored=(twice,))


LAYOUTS = (_layout(_WEIGHTS), _layout({**_PARAMETRISED, "bias": "bias"}))
