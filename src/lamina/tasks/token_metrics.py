"""Metrics of predicted tokens: means over all tokens, independent of the batches.

Legend: B batch, T tokens, V vocabulary.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from lamina.data.streams import IGNORED
from lamina.tasks.baselines import AgainstMajority


class TokenMetrics(Metric):  # type: ignore[misc]  # torchmetrics is not typed
    """Computes "loss" (nats per token) and "accuracy"; for ``running`` text also "perplexity" and
    "bits_per_character", over the characters of the text itself, whatever its tokens are.

    With ``vocabulary``, its length, there are also the facts of ``tasks.facts``: accuracy against that of the most
    frequent token. ``carried`` is for the task: the model's state after the previous batch.
    """

    full_state_update = False
    sums: list[Tensor]

    def __init__(self, *, running: bool = False, vocabulary: int | None = None) -> None:
        super().__init__()
        self.majority = None if vocabulary is None else AgainstMajority(vocabulary)
        # sums of each batch, added up in double precision at the end
        self.add_state("sums", default=[], dist_reduce_fx="cat")
        self.running = running
        self.carried: Any = None

    def update(self, logits_BTV: Tensor, target_BT: Tensor, characters_BT: Tensor | None = None) -> None:
        """Add a batch; targets of -100 are ignored. ``characters_BT``: the characters of the text that each target
        stands for, 0 where it is ignored."""
        real_BT = target_BT != IGNORED
        nats = F.cross_entropy(logits_BTV.flatten(0, 1), target_BT.flatten(), ignore_index=IGNORED, reduction="sum")
        tokens = real_BT.sum()
        predicted_BT = logits_BTV.argmax(-1)
        right = ((predicted_BT == target_BT) & real_BT).sum()
        if self.majority is not None:
            self.majority.update(predicted_BT[real_BT], target_BT[real_BT])
        characters = tokens.new_zeros(()) if characters_BT is None else characters_BT.sum()
        dtype = _precise(nats.device)
        self.sums.append(torch.stack([value.to(dtype) for value in (nats, tokens, right, characters)]))

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """A process without a batch contributes zeros: torchmetrics would send an empty tensor of another type."""
        if not self.sums:
            self.sums.append(torch.zeros(4, dtype=_precise(self.device), device=self.device))
        super().sync(*args, **kwargs)

    def keys(self) -> tuple[str, ...]:
        """The names of the metrics, as those of a MetricCollection."""
        return ("loss", "accuracy") + (("perplexity", "bits_per_character") if self.running else ())

    def compute(self) -> dict[str, Tensor]:
        rows: Tensor = dim_zero_cat(self.sums)
        nats, tokens, right, characters = rows.cpu().double().view(-1, 4).sum(0)
        found = {"loss": nats / tokens, "accuracy": right / tokens}
        if self.running:
            found |= {"perplexity": found["loss"].exp(), "bits_per_character": nats / math.log(2) / characters}
        return found if self.majority is None else {**found, **self.majority.compute()}


def _precise(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "mps" else torch.float64  # MPS has no float64
