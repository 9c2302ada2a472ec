"""transformers' GPT-2 in the shape of a language model of ours, for parity and the benchmarks of text."""

from __future__ import annotations

from typing import Any

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from benchmarks.parity.numbers import weight


def gpt2_of_shape(config: Any, **options: Any) -> GPT2LMHeadModel:
    """Their GPT-2 with the sizes of our config, on the CPU; ``options`` are of their config, the rest their defaults.

    No token ends what it generates.
    """
    shape = {
        "vocab_size": config.vocab_size,
        "n_positions": config.context,
        "n_layer": config.layers,
        "n_embd": config.width,
        "n_head": config.heads,
    }
    return GPT2LMHeadModel(GPT2Config(**shape, bos_token_id=None, eos_token_id=None, **options))


def fill(model: GPT2LMHeadModel) -> dict[str, torch.Tensor]:
    """Give it weights that depend on nothing but their names and shapes, for greedy decoding to wander about; its
    state dict afterwards, in which the output layer is the embedding."""
    state = {name: weight(name, tensor) for name, tensor in model.state_dict().items()}
    state["lm_head.weight"] = state["transformer.wte.weight"]
    model.load_state_dict(state)
    return dict(model.state_dict())
