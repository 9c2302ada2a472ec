"""Parameter names of PatchTST in the authors' code."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from lamina.models.patchtst import PatchTST
from lamina.weights.layout import Layout


def _authors(prefix: str, model: PatchTST) -> Iterable[tuple[str, str]]:
    """yuqinie98/PatchTST, supervised: the whole model, or the part that it wraps as ``model``."""
    if model.effect is not None:  # they have no covariates
        return
    if model.config.normalisation == "revin":
        yield f"{prefix}revin_layer.affine_weight", "norm.weight"
        yield f"{prefix}revin_layer.affine_bias", "norm.bias"
    yield f"{prefix}backbone.W_P", "patch"
    yield f"{prefix}backbone.W_pos", "positions"
    for index in range(model.config.num_layers):
        theirs, ours = f"{prefix}backbone.encoder.layers.{index}", f"layers.{index}"
        for name, part in (("W_Q", "query"), ("W_K", "key"), ("W_V", "value"), ("to_out.0", "output")):
            yield f"{theirs}.self_attn.{name}", f"{ours}.attention.{part}"
        yield f"{theirs}.norm_attn.1", f"{ours}.norm1"
        yield f"{theirs}.norm_ffn.1", f"{ours}.norm2"
        yield f"{theirs}.ff.0", f"{ours}.linear1"
        yield f"{theirs}.ff.3", f"{ours}.linear2"
    yield f"{prefix}head.linear", "head"


def _layout(prefix: str) -> Layout:
    # the scale 1 / sqrt(D / h), a parameter without gradient there
    scale = rf"{prefix}backbone\.encoder\.layers\.\d+\.self_attn\.sdp_attn\.scale"
    return Layout(source="yuqinie98/PatchTST", names=partial(_authors, prefix), ignored=(scale,))


LAYOUTS = (_layout(""), _layout("model."))
