"""The checks of models that read tokens: a sound language model passes, and each fault is named by its check."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from lamina import conformance
from lamina.cards import Card, Variant
from lamina.conformance import NotApplicableError


@dataclass(frozen=True, kw_only=True)
class RunningConfig:
    """A small language model with at most one fault."""

    vocab_size: int = 9
    width: int = 4
    fault: str = ""


class RunningState(NamedTuple):
    sum_BC: Tensor
    count_B: Tensor


class Running(nn.Module):
    """logits_t = W tanh(sum of the embeddings up to t + sin(t))."""

    def __init__(self, config: RunningConfig) -> None:
        super().__init__()
        self.config, self.fault = config, config.fault
        self.embedding = nn.Embedding(config.vocab_size, config.width)
        self.head = nn.Linear(config.width, config.vocab_size)

    def init_state(self, batch: int, max_length: int | None = None) -> Any:
        if batch < 1:
            raise ValueError(f"a state needs a batch of at least 1, got {batch}")
        weight = self.embedding.weight
        count_B = torch.zeros(batch, dtype=torch.int64, device=weight.device)
        sum_BC = weight.new_zeros(batch, self.config.width)
        return (sum_BC, count_B) if self.fault == "plain tuple" else RunningState(sum_BC, count_B)

    def select(self, state: Any, index_B: Tensor) -> Any:
        if self.fault == "select sorts":
            index_B = index_B.sort().values
        if self.fault == "select writes" and len(index_B) == len(state[0]):
            state.sum_BC.copy_(state.sum_BC[index_B])
            return RunningState(state.sum_BC, state.count_B[index_B])
        return RunningState(state.sum_BC[index_B], state.count_B[index_B])

    def forward(
        self, tokens_BT: Tensor, state: RunningState | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, RunningState]:
        if not torch.compiler.is_compiling():
            self._expect(tokens_BT, state, lengths)
        batch, time = tokens_BT.shape
        before = self.init_state(batch) if state is None else state
        if self.fault == "state forgotten":
            before = self.init_state(batch)
        x_BTC = self.embedding(tokens_BT)
        if self.fault == "leak":
            x_BTC = x_BTC + x_BTC.mean(1, keepdim=True)
        if self.fault == "fixed length":
            x_BTC = x_BTC.unflatten(1, (2, 4)).flatten(1, 2)
        total_BTC = x_BTC.cumsum(1) + before[0][:, None]
        start_B = torch.zeros_like(before[1]) if self.fault == "place restarts" else before[1]
        place_BT = start_B[:, None] + torch.arange(time, device=tokens_BT.device)
        logits_BTV = self.head((total_BTC + place_BT[..., None].sin()).tanh())
        if self.fault == "last alone":
            logits_BTV = logits_BTV[:, -1]
        last_B = torch.full_like(before[1], time) if lengths is None or self.fault == "lengths ignored" else lengths
        sum_BC = total_BTC[torch.arange(batch, device=tokens_BT.device), last_B - 1]
        return logits_BTV, RunningState(sum_BC, before[1] + last_B)

    def _expect(self, tokens_BT: Tensor, state: RunningState | None, lengths: Tensor | None) -> None:
        if tokens_BT.ndim != 2 or tokens_BT.is_floating_point() or 0 in tokens_BT.shape:
            raise ValueError(f"bad tokens{chr(10) if self.fault == 'long error' else ' '}{tuple(tokens_BT.shape)}")
        batch, time = tokens_BT.shape
        if state is not None and self.fault != "any state":
            right = isinstance(state, RunningState) or self.fault in ("plain tuple", "any class")
            if not right or state[0].shape != (batch, self.config.width):
                raise ValueError(f"a state of {tuple(state[0].shape)} for {batch}")
        if lengths is None or self.fault == "any lengths":
            return
        if lengths.shape != (batch,) or lengths.is_floating_point() or lengths.min() < 1 or lengths.max() > time:
            raise ValueError(f"bad lengths {lengths.tolist()}")


def example(config: RunningConfig, batch: int) -> dict[str, Tensor]:
    return {"tokens_BT": torch.randint(config.vocab_size, (batch, 8), generator=torch.Generator().manual_seed(0))}


def row(fault: str = "", **facts: Any) -> Variant:
    card = Card(
        title="Running sum",
        summary="For tests.",
        paper="none",
        authors="nobody",
        year=2020,
        inputs=("text",),
        tasks=("language-modelling",),
        input=(8,),
        parameters=9 * 4 + 9 * 4 + 9,
        macs=8 * 4 * 9,
        reference="none",
        recipe="none",
    )
    config = RunningConfig(fault=fault)
    return Variant(build=Running, config=config, card=dataclasses.replace(card, **facts), example=example)


@pytest.mark.parametrize("title", list(conformance.checks()))
def test_the_sound_model_passes(title: str) -> None:
    not_of_tokens = {"odd sizes", "wrong shape", "image interface", "channels last", "windows", "no future"}
    if title in not_of_tokens:
        with pytest.raises(NotApplicableError):
            conformance.checks()[title](row())
    else:
        conformance.checks()[title](row())


@pytest.mark.parametrize(
    ("fault", "check", "message"),
    [
        ("last alone", "check_forward", r"forward returns \(3, 9\), expected \(3, 8, 9\)"),
        ("leak", "check_padding", "row 1 with other tokens in the padding"),
        ("leak", "check_stepping", "tokens 0 to 1 from a state, against the whole"),
        ("state forgotten", "check_stepping", "tokens 1 to 2 from a state, against the whole"),
        ("place restarts", "check_stepping", "tokens 1 to 2 from a state, against the whole"),
        ("lengths ignored", "check_stepping", "going on from prompts of unequal lengths"),
        ("plain tuple", "check_select", "the state is not a NamedTuple of tensors"),
        ("select sorts", "check_select", r"rows \[3, 1, 0, 2\] of a state"),
        ("select writes", "check_select", "of a state|used afterwards"),
        (
            "any state",
            "check_wrong_tokens",
            "a state of another batch(: RuntimeError| is accepted)",
        ),
        ("any class", "check_wrong_tokens", "a state of another class is accepted"),
        ("any lengths", "check_wrong_tokens", "lengths of 0 is accepted|lengths of 0: RuntimeError"),
        ("long error", "check_wrong_tokens", "the error for tokens that are not whole numbers has more than one line"),
        ("fixed length", "check_export", "unflatten|specialized|[Cc]onstraint"),
        ("fixed length", "check_compile", "unflatten|shape"),
    ],
)
def test_a_fault_is_found(fault: str, check: str, message: str) -> None:
    """Some faults torch itself names, by a RuntimeError."""
    with pytest.raises((AssertionError, RuntimeError), match=message):
        getattr(conformance, check)(row(fault))


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"macs": 289}, "one input takes 288 multiply-adds, the card says 289"),
        ({"input": (9,)}, r"the variant's example has shape \(8,\), its card says \(9,\)"),
    ],
)
def test_a_card_that_is_wrong_is_found(facts: dict[str, Any], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        conformance.check_meta(row(**facts))


def test_models_of_images_have_nothing_to_say_of_tokens() -> None:
    for check in (conformance.check_padding, conformance.check_stepping, conformance.check_select):
        with pytest.raises(NotApplicableError, match="it reads no tokens"):
            check("mlp")
