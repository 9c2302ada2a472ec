"""Parameter names of GPT-2 at Hugging Face, in its published files and in those that GPT2LMHeadModel saves, and in
nanoGPT."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from lamina.errors import UsageError
from lamina.models.gpt2 import GPT2
from lamina.weights.layout import Layout


def _names(model: GPT2, prefix: str) -> Iterator[tuple[str, str]]:
    yield f"{prefix}wte", "tokens"
    yield f"{prefix}wpe", "positions"
    yield f"{prefix}ln_f", "stack.norm"
    for block in range(model.layers):
        theirs, ours = f"{prefix}h.{block}", f"stack.blocks.{block}"
        yield f"{theirs}.ln_1", f"{ours}.attention_norm"
        yield f"{theirs}.attn.c_attn", f"{ours}.attention.qkv"
        yield f"{theirs}.attn.c_proj", f"{ours}.attention.out"
        yield f"{theirs}.ln_2", f"{ours}.feed_forward_norm"
        yield f"{theirs}.mlp.c_fc", f"{ours}.expand"
        yield f"{theirs}.mlp.c_proj", f"{ours}.contract"


def _layout(source: str, prefix: str, *, conv1d: bool = True) -> Layout:
    """``conv1d``: matrices are those of Hugging Face's Conv1D, which stores (in, out)."""
    block = r"(transformer\.)?h\.\d+"
    return Layout(
        source=source,
        names=partial(_names, prefix=prefix),
        # causal masks of older versions; the output layer, which shares the embedding's weights
        ignored=(rf"{block}\.attn\.(bias|masked_bias)", r"lm_head\.weight"),
        transposed=(rf"{block}\.(attn|mlp)\.c_\w+\.weight",) if conv1d else (),
        tied=(("lm_head.weight", f"{prefix}wte.weight"),),
        # nanoGPT's bias=False
        zeros=() if conv1d else (rf"{block}\.(ln_\d|(attn|mlp)\.c_\w+)\.bias", r"transformer\.ln_f\.bias"),
    )


LAYOUTS = (
    _layout("openai-community/gpt2", ""),
    _layout("transformers.GPT2LMHeadModel", "transformer."),
    _layout("karpathy/nanoGPT", "transformer.", conv1d=False),
)

SIZES = {
    "vocab_size": "vocab_size",
    "n_positions": "context",
    "n_embd": "width",
    "n_layer": "layers",
    "n_head": "heads",
}
"""our options by the keys of ``config.json``"""
OTHER_NAMES = {
    "n_positions": ("n_ctx", "max_position_embeddings"),
    "n_embd": ("hidden_size",),
    "n_layer": ("num_hidden_layers",),
    "n_head": ("num_attention_heads",),
}
ONLY: dict[str, tuple[Any, ...]] = {
    "activation_function": ("gelu_new", "gelu_pytorch_tanh", "gelu_fast"),
    "layer_norm_epsilon": (1e-5,),
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "add_cross_attention": (False,),
    "quantization_config": (None,),
}
"""the values under which the function is ours; the first is meant where the key is not there"""


def options(config: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The options of our GPT-2 that a ``config.json`` of transformers states; ``where`` is the file, for messages.

    Raises UsageError for a key that makes it another function, and for sizes that are missing or no whole numbers.
    """
    for key, allowed in ONLY.items():
        if config.get(key, allowed[0]) not in allowed:
            named = " or ".join(map(repr, allowed))
            raise UsageError(f"{where}: {key} is {config[key]!r}; this GPT-2 is only the one of {named}")
    found: dict[str, Any] = {}
    for key, ours in SIZES.items():
        value = next((config[name] for name in (key, *OTHER_NAMES.get(key, ())) if name in config), None)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise UsageError(f"{where}: {key} is {value!r}, expected a whole number")
        found[ours] = value
    inner = config.get("n_inner")
    if inner not in (None, 4 * found["width"]):
        raise UsageError(f"{where}: n_inner is {inner}; this GPT-2 has 4 times n_embd, {4 * found['width']}")
    rates = {"dropout": config.get("resid_pdrop"), "attention_dropout": config.get("attn_pdrop")}
    return found | {name: float(rate) for name, rate in rates.items() if rate is not None}
