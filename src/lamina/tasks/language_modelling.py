"""Language modelling: predict the next token of running text.

Legend: B rows, T tokens of a window, V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from lamina.data.spec import DataSpec
from lamina.tasks.base import Batch, Engine, Task
from lamina.tasks.kind import TaskKind, TaskSetup
from lamina.tasks.verb_options import NoOptions
from lamina.tasks.verbs import VERBS


class LanguageModelling(Task):
    """Cross-entropy, a mean over tokens. Batches hold "tokens" (B, T) and "target" (B, T), the next tokens; models
    return logits (B, T, V), alone or with a state.

    The detached state is carried from batch to batch (truncated back-propagation through time: row b continues row b of
    the previous batch), in training until the end of the epoch, in evaluation to the end. Models without a state treat
    every batch separately. In evaluation batches also hold "characters" (B, T), those of the text that each target
    stands for.

    Example: ``LanguageModelling(label_smoothing=0.1)``
    """

    name = "language-modelling"
    monitor = ("perplexity", "min")
    constant = "the most frequent token"

    def __init__(self, *, label_smoothing: float = 0.0, vocabulary: int | None = None) -> None:
        self.label_smoothing, self.vocabulary = label_smoothing, vocabulary

    def loss(self, model: nn.Module, batch: Batch, engine: Engine) -> tuple[Tensor, dict[str, Tensor]]:
        logits_BTV, engine.carry = _forward_with_state(model, batch["tokens"], engine.carry)
        target_N = batch["target"].flatten()
        return F.cross_entropy(logits_BTV.flatten(0, 1), target_N, label_smoothing=self.label_smoothing), {}

    def metrics(self) -> Any:
        """Metrics without a carried state: "loss" in nats per token, "perplexity", "bits_per_character", "accuracy"."""
        from lamina.tasks.token_metrics import TokenMetrics

        return TokenMetrics(running=True, vocabulary=self.vocabulary)

    def evaluate_step(self, model: nn.Module, batch: Batch, metrics: Any) -> None:
        logits_BTV, metrics.carried = _forward_with_state(model, batch["tokens"], metrics.carried)
        metrics.update(logits_BTV, batch["target"], batch.get("characters"))


def _forward_with_state(model: Any, tokens_BT: Tensor, carried: tuple[Tensor, ...] | None) -> tuple[Tensor, Any]:
    """Logits, and the new state as a plain tuple, which checkpoints can hold."""
    if carried is None:
        output = model(tokens_BT)
    else:
        state = carried
        if hasattr(model, "init_state"):  # our models expect their own state type
            state = type(model.init_state(len(tokens_BT)))._make(carried)
        output = model(tokens_BT, state)
    if isinstance(output, Tensor):
        return output, None
    logits_BTV, after = output
    return logits_BTV, None if after is None else tuple(tensor.detach() for tensor in after)


def serves(spec: DataSpec) -> str | None:
    return None if spec.task == LanguageModelling.name else "is not running text"


def make(setup: TaskSetup) -> Task:
    code: Any = setup.preprocess.code  # type: ignore[attr-defined]  # a TextPreprocess, as ``serves`` ensures
    return LanguageModelling(label_smoothing=setup.recipe.label_smoothing, vocabulary=code.size)


KIND = TaskKind(
    name="language-modelling",
    make=make,
    serves=serves,
    objectives={"cross-entropy": NoOptions},
    verbs=VERBS["language-modelling"],
    needs_targets=False,
    predicts_at_once=False,
)
