"""Gradients with respect to the embeddings of tokens.

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
    """A list that receives the embeddings (B, T, E) of these tokens when the model's forward runs, as leaf tensors that
    require gradients even if all weights are frozen."""
    found: list[Tensor] = []

    def keep(_module: nn.Module, inputs: Any, output: Tensor) -> Tensor | None:
        if found or not torch.equal(inputs[0], tokens_BT):  # not the embedding of positions
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
    """How far back the gradients of a language model reach: for each lag k = 0 ... T - 2 the norm of the gradient of
    -log p(token t + 1) with respect to the embedding of token t - k; (T - 1,).

    ``tokens_1T`` is one text; each value is a mean over those of its last ``most`` predictions that have k tokens
    before them. The model runs in evaluation mode. Raises UsageError for a text of fewer than two tokens, and for a
    model without a token embedding.
    """
    if tokens_1T.shape[0] != 1 or tokens_1T.shape[1] < 2:
        raise UsageError(f"expected one text of at least two tokens (1, T), got {tuple(tokens_1T.shape)}")
    count = tokens_1T.shape[1] - 1
    # cuDNN's recurrent layers have no gradient in evaluation mode
    with evaluation_mode(model), torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
        with captured_embeddings(model, tokens_1T[:, :-1]) as found:
            try:
                output = model(tokens_1T[:, :-1])
            except ValueError as error:
                raise UsageError(str(error)) from error
        if not found:
            raise UsageError(f"{type(model).__name__} has no embedding of its tokens")
        logits_TV = (output if isinstance(output, Tensor) else output[0])[0]
        loss_T = F.cross_entropy(logits_TV, tokens_1T[0, 1:], reduction="none")
        sum_T, count_T = torch.zeros(count, dtype=torch.float64), torch.zeros(count)
        for t in range(max(0, count - most), count):
            (gradient_1TE,) = torch.autograd.grad(loss_T[t], found[0], retain_graph=True)
            sum_T[: t + 1] += gradient_1TE[0, : t + 1].norm(dim=-1).flip(0).double().cpu()
            count_T[: t + 1] += 1
    return (sum_T / count_T).float()
