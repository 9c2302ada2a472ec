"""Gradients that arrive at the embeddings of tokens.

Legend: B rows, T tokens, E embedding width, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamina.errors import UsageError
from lamina.evaluation_mode import evaluation_mode


@contextmanager
def captured_embeddings(model: nn.Module, tokens_BT: Tensor) -> Iterator[list[Tensor]]:
    """A list into which the embeddings (B, T, E) of these tokens come when the model's forward is called: that which a
    gradient can be asked of, whatever weights are frozen."""
    found: list[Tensor] = []

    def keep(_module: nn.Module, inputs: Any, output: Tensor) -> Tensor | None:
        if found or not torch.equal(inputs[0], tokens_BT):  # positions are embedded, too
            return None
        found.append(output.detach().requires_grad_())
        return found[0]

    handles = [module.register_forward_hook(keep) for module in model.modules() if isinstance(module, nn.Embedding)]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def gradient_by_lag(model: nn.Module, tokens_1T: Tensor, *, most: int = 64) -> Tensor:
    """How far back a language model looks when it learns: for each lag k from 0 the norm of the gradient of
    -log p(token t + 1) to the embedding of token t - k, (T - 1,).

    A mean over the last ``most`` predictions of the text, of those that have so much of it before them. Raises
    UsageError for a text of one token, and for a model that has no embedding of its tokens.
    """
    if tokens_1T.shape[0] != 1 or tokens_1T.shape[1] < 2:
        raise UsageError(f"one text of at least two tokens is looked at, got {tuple(tokens_1T.shape)}")
    told = tokens_1T.shape[1] - 1
    # cuDNN's recurrent layers have no gradient in evaluation mode
    with evaluation_mode(model), torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        with captured_embeddings(model, tokens_1T[:, :-1]) as found:
            try:
                said = model(tokens_1T[:, :-1])
            except ValueError as error:
                raise UsageError(str(error)) from error
        if not found:
            raise UsageError(f"{type(model).__name__} has no embedding of its tokens")
        logits_TV = (said if isinstance(said, Tensor) else said[0])[0]
        loss_T = F.cross_entropy(logits_TV, tokens_1T[0, 1:], reduction="none")
        sum_T, count_T = torch.zeros(told, dtype=torch.float64), torch.zeros(told)
        for t in range(max(0, told - most), told):
            (gradient_1TE,) = torch.autograd.grad(loss_T[t], found[0], retain_graph=True)
            sum_T[: t + 1] += gradient_1TE[0, : t + 1].norm(dim=-1).flip(0).double().cpu()
            count_T[: t + 1] += 1
    return (sum_T / count_T).float()
