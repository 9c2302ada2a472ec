"""A model put into evaluation mode for the length of a block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Put ``model`` into evaluation mode inside the block and restore every submodule's own mode afterwards.

    A submodule that was in evaluation mode before (a frozen batch norm, say) stays so. Gradients are not touched:

        with evaluation_mode(model), torch.no_grad():
            logits = model(x)
    """
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
