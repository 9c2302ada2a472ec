"""The next token of running text, from all tokens before it.

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
    """Cross-entropy of each token, a mean over all. Batches hold "tokens" (B, T) and "target" (B, T), the tokens that
    follow; models give logits (B, T, V), alone or with the state to go on from.

    A model's state is carried from batch to batch, without its gradient (truncated back-propagation through time: row b
    of a batch goes on where row b of the one before ended), in training until the epoch ends, in evaluation to the end.
    A model that returns no state reads every batch by itself. ``characters_V`` (V,): characters of text for each token.
    """

    name = "language-modelling"
    monitor = ("perplexity", "min")

    def __init__(self, characters_V: Tensor, *, label_smoothing: float = 0.0) -> None:
        self.characters_V, self.label_smoothing = characters_V, label_smoothing

    def loss(self, model: nn.Module, batch: Batch, engine: Engine) -> tuple[Tensor, dict[str, Tensor]]:
        logits_BTV, engine.carry = _read_on(model, batch["tokens"], engine.carry)
        target_N = batch["target"].flatten()
        return F.cross_entropy(logits_BTV.flatten(0, 1), target_N, label_smoothing=self.label_smoothing), {}

    def metrics(self) -> Any:
        """An evaluation begins with it, and with no state carried: "loss" in nats for each token, "perplexity",
        "bits_per_character", "accuracy"."""
        from lamina.tasks.token_metrics import TokenMetrics

        return TokenMetrics(self.characters_V)

    def evaluate_step(self, model: nn.Module, batch: Batch, metrics: Any) -> None:
        logits_BTV, metrics.carried = _read_on(model, batch["tokens"], metrics.carried)
        metrics.update(logits_BTV, batch["target"])


def _read_on(model: Any, tokens_BT: Tensor, carried: tuple[Tensor, ...] | None) -> tuple[Tensor, Any]:
    """Logits, and the state after these tokens as a plain tuple: checkpoints hold no other."""
    if carried is None:
        output = model(tokens_BT)
    else:
        state = carried
        if hasattr(model, "init_state"):  # a model of the contract knows its states by their type
            state = type(model.init_state(len(tokens_BT)))._make(carried)
        output = model(tokens_BT, state)
    if isinstance(output, Tensor):
        return output, None
    logits_BTV, after = output
    return logits_BTV, None if after is None else tuple(tensor.detach() for tensor in after)


def serves(spec: DataSpec) -> str | None:
    return None if spec.task == LanguageModelling.name else "is no running text"


def make(setup: TaskSetup) -> Task:
    preprocess: Any = setup.preprocess  # of texts, as ``serves`` has made sure
    return LanguageModelling(preprocess.code.characters_V, label_smoothing=setup.recipe.label_smoothing)


KIND = TaskKind(
    name="language-modelling",
    make=make,
    serves=serves,
    objectives={"cross-entropy": NoOptions},
    verbs=VERBS["language-modelling"],
    needs_targets=False,
    predicts_at_once=False,
)
