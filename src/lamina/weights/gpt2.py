"""Parameter names of GPT-2 at Hugging Face, in its published files and in those that GPT2LMHeadModel saves, and in
nanoGPT."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

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
