"""GPT-2, ours and transformers': logits, gradients, and what they write, from the same weights."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import GPT2LMHeadModel

import lamina
from benchmarks.language_models import fill, gpt2_of_shape
from benchmarks.parity.numbers import distance
from lamina.decoding import generate
from lamina.weights.loading import layouts_of, load_weights
from lamina.weights.reading import StateDict

NEW_TOKENS = 50
PROMPTS = (9, 1, 14)
"""tokens of the prompts that are continued in one batch"""


@dataclass(frozen=True, kw_only=True)
class LanguageRow:
    """One comparison with transformers' GPT2LMHeadModel."""

    ours: str
    options: Mapping[str, Any] = field(default_factory=dict)
    """overrides of our variant: theirs gets the same sizes"""
    tokens: tuple[int, int] = (3, 33)
    """batch and length whose logits are compared"""
    library: str = "transformers"
    theirs: str = "GPT2LMHeadModel"


LANGUAGE_ROWS = (
    LanguageRow(ours="gpt2", options={"vocab_size": 211, "context": 64, "layers": 3, "width": 48, "heads": 4}),
    LanguageRow(ours="gpt2"),
)


@dataclass(frozen=True, kw_only=True)
class Written:
    """The largest distances of one comparison, and how far the continuations agree."""

    float64: float
    float32: float
    gradients: float
    same: int
    """tokens of the continuations that are the same, in float64 and float32"""
    tokens: int
    """all of them"""
    different: int
    """how many different tokens the continuations in float64 have"""
    seconds: float


def compare_language(row: LanguageRow) -> Written:
    """The distances of one row. Raises AssertionError where a name has no counterpart."""
    begun = time.perf_counter()
    ours = lamina.create_model(row.ours, **row.options).double().eval()
    config: Any = ours.config
    theirs = gpt2_of_shape(config).double().eval()
    state = fill(theirs)
    loaded = load_weights(ours, StateDict(path=Path("GPT2LMHeadModel"), tensors=state))
    assert not loaded.kept, f"not in the file: {loaded.kept[:5]}"
    draw = torch.Generator().manual_seed(1)
    tokens_BT = torch.randint(config.vocab_size, row.tokens, generator=draw)
    float64, gradients = _distances(ours, theirs, tokens_BT, loaded.source)
    prompts = [torch.randint(config.vocab_size, (length,), generator=draw).tolist() for length in PROMPTS]
    written, wanted = _write(ours, prompts), [_continue(theirs, prompt) for prompt in prompts]
    with torch.no_grad():
        ours, theirs = ours.float(), theirs.float()
        float32 = distance(ours(tokens_BT)[0], theirs(tokens_BT).logits)
    written += _write(ours, prompts)
    wanted += [_continue(theirs, prompt) for prompt in prompts]
    pairs = [pair for got, want in zip(written, wanted, strict=True) for pair in zip(got, want, strict=True)]
    return Written(
        float64=float64,
        float32=float32,
        gradients=gradients,
        same=sum(got == want for got, want in pairs),
        tokens=len(pairs),
        different=len({token for tokens in wanted[: len(prompts)] for token in tokens}),
        seconds=time.perf_counter() - begun,
    )


def _distances(ours: nn.Module, theirs: GPT2LMHeadModel, tokens_BT: Tensor, source: str) -> tuple[float, float]:
    """Of the logits, and of the gradients of a weighted sum of them to embeddings, positions and three matrices."""
    translation = next(layout.translation(ours) for layout in layouts_of(ours) if layout.source == source)
    named, own = dict(theirs.named_parameters()), dict(ours.named_parameters())
    matrices = [name for name, tensor in named.items() if tensor.ndim > 1]
    chosen = [*matrices[:3], matrices[len(matrices) // 2], matrices[-1]]
    wanted = theirs(tokens_BT).logits
    got = ours(tokens_BT)[0]
    scale = torch.linspace(-1, 2, wanted.numel(), dtype=wanted.dtype).view_as(wanted)
    of_theirs = torch.autograd.grad((wanted * scale).sum(), [named[name] for name in chosen])
    turned = translation.transpose(dict(zip(chosen, of_theirs, strict=True)))
    of_ours = torch.autograd.grad((got * scale).sum(), [own[translation.ours(name) or name] for name in chosen])
    apart = max(distance(one, other) for one, other in zip(of_ours, turned.values(), strict=True))
    return distance(got.detach(), wanted.detach()), apart


def _write(model: nn.Module, prompts: list[list[int]]) -> list[list[int]]:
    """All prompts continued in one batch, ragged as they are."""
    return generate(model, prompts, max_new_tokens=NEW_TOKENS, greedy=True)


def _continue(model: GPT2LMHeadModel, prompt: list[int]) -> list[int]:
    """A prompt continued by itself, without padding."""
    tokens = torch.tensor([prompt])
    whole = model.generate(tokens, attention_mask=torch.ones_like(tokens), max_new_tokens=NEW_TOKENS, do_sample=False)
    continuation: list[int] = whole[0, len(prompt) :].tolist()
    return continuation
