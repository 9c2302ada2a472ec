"""Translation: predict each target token from the source and the previous target tokens.

Legend: B pairs, S tokens of the longest source, T tokens of the longest target, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamina.data.spec import DataSpec
from lamina.data.streams import IGNORED
from lamina.decoding import Hypothesis, beam_search
from lamina.tasks.base import Batch, Engine, Task
from lamina.tasks.kind import TaskKind, TaskSetup
from lamina.tasks.translation_options import LONGER
from lamina.tasks.verb_options import NoOptions
from lamina.tasks.verbs import VERBS


class Translation(Task):
    """Cross-entropy of the target's tokens under teacher forcing, a mean over tokens.

    Batches hold "source" (B, S), "source_lengths" (B,), "tokens" (B, T), which begin with the token ``begin``, and
    "target" (B, T), which end with ``end`` and are padded with -100. Models return logits (B, T, V) and a state, and
    have ``encode``.

    Example: ``Translation(code.begin, code.end, label_smoothing=0.1)``
    """

    name = "translation"
    monitor = ("loss", "min")
    constant = "the most frequent token"
    weighs_processes = True

    def __init__(
        self,
        begin: int,
        end: int,
        *,
        forbidden: Sequence[int] = (),
        label_smoothing: float = 0.0,
        vocabulary: int | None = None,
    ) -> None:
        self.begin, self.end, self.forbidden, self.label_smoothing = begin, end, tuple(forbidden), label_smoothing
        self.vocabulary = vocabulary

    def loss(self, model: nn.Module, batch: Batch, engine: Engine) -> tuple[Tensor, dict[str, Tensor]]:
        logits_NV, target_N = teacher_forced_logits(model, batch).flatten(0, 1), batch["target"].flatten()
        smoothing = self.label_smoothing
        loss = F.cross_entropy(logits_NV, target_N, ignore_index=IGNORED, label_smoothing=smoothing)
        return loss * _weight(target_N), {}

    def metrics(self) -> Any:
        """Under teacher forcing: "loss" in nats per token, without smoothing, and "accuracy"."""
        from lamina.tasks.token_metrics import TokenMetrics

        return TokenMetrics(vocabulary=self.vocabulary)

    def evaluate_step(self, model: nn.Module, batch: Batch, metrics: Any) -> None:
        metrics.update(teacher_forced_logits(model, batch), batch["target"])

    def translate(
        self, model: nn.Module, batch: Batch, *, beam: int = 1, length_penalty: float = 0.6
    ) -> list[list[Hypothesis]]:
        """The ``beam`` best translations of each "source", best first, without the token ``end``; a beam of 1 is greedy
        decoding. Each has at most 50 tokens more than its source.

        Raises UsageError for a beam or a length penalty out of range.
        """
        source_BS, lengths_B = batch["source"], batch["source_lengths"]
        memory = model.encode(source_BS, lengths_B)  # type: ignore[operator]  # a model that translates
        found = beam_search(
            model,
            [[self.begin]] * len(source_BS),
            beams=beam,
            max_new_tokens=source_BS.shape[1] + LONGER,
            end=self.end,
            length_penalty=length_penalty,
            forbidden=self.forbidden,
            memory=memory,
        )
        limit_B = (lengths_B + LONGER).tolist()  # of each source, independent of the batch
        return [
            [one._replace(tokens=[token for token in one.tokens[:limit] if token != self.end]) for one in best]
            for best, limit in zip(found, limit_B, strict=True)
        ]


def _weight(target_N: Tensor) -> Tensor | float:
    """The weight of this process's loss under DDP, proportional to its tokens: the averaged gradient is then that of
    the mean over all tokens."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return 1.0
    mine = (target_N != IGNORED).sum()
    total = mine.clone()
    torch.distributed.all_reduce(total)
    return (mine * torch.distributed.get_world_size()).double() / total


def teacher_forced_logits(model: nn.Module, batch: Batch) -> Tensor:
    """Logits (B, T, V). The decoder needs no lengths: padding follows the tokens and is ignored in the loss."""
    logits_BTV: Tensor
    logits_BTV, _ = model(batch["tokens"], source=batch["source"], source_lengths=batch["source_lengths"])
    return logits_BTV


def serves(spec: DataSpec) -> str | None:
    return None if spec.task == Translation.name else "has no pairs of texts"


def make(setup: TaskSetup) -> Task:
    code: Any = setup.preprocess.code  # type: ignore[attr-defined]  # a TextPreprocess, as ``serves`` ensures
    smoothing = setup.recipe.label_smoothing
    return Translation(code.begin, code.end, forbidden=code.no_text, label_smoothing=smoothing, vocabulary=code.size)


KIND = TaskKind(
    name="translation",
    make=make,
    serves=serves,
    objectives={"cross-entropy": NoOptions},
    verbs=VERBS["translation"],
    needs_targets=False,
    predicts_at_once=False,
)
