"""Language models and decoders as files with their state: one step of decoding, for any number of tokens at once.

The state goes in and comes out: the cells of a recurrent network, or of a key-value cache, with a dynamic number of
slots, what the new tokens add. A decoder of a translator also takes a memory, which a second file, the encoder, gives.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lamina.data.protocols import Input, Signature
from lamina.errors import ExportError, UsageError
from lamina.export.facts import OUTPUT, ExportFacts
from lamina.export.inputs import DTYPES
from lamina.export.verification import relative_difference, tolerance_of
from lamina.layers.key_value import KeyValueState, StateShape
from lamina.torch_internals import tree_leaves

STATE, NEXT, NEW, MEMORY = "state_", "next_", "new_", "memory_"
"""before the names of a state that goes in, of one that comes out, of what is appended to a cache, of a memory"""
SLOTS, SOURCE = "slots", "source_time"
TRACED = (3, 7, 11, 5)
"""batch, and the dynamic dimensions in the order of the inputs; more slots than tokens, a batch of more than one"""
TRIED = ((1, 4), (2, 1), (5, 6))
"""(batch, tokens of the prompt) on which a file is compared with the model"""
STEPS = 3
"""tokens that follow one by one"""
PROBES = ((2, 9), (3, 11))
"""(batch, length) of two states, or memories, whose sizes tell which dimensions are dynamic"""


def has_state(model: nn.Module) -> bool:
    """Whether a model decodes with a state."""
    return hasattr(model, "init_state")


def with_state(facts: ExportFacts, model: Any, what: str) -> ExportFacts:
    """The facts of the file that takes one step: tokens, their lengths, the state, and the memory of a translator.

    Raises UsageError for a model without a state.
    """
    if not has_state(model) or facts.inputs[0].below is None:
        raise UsageError(f"with_state is for models that generate text, but {what} has no state")
    by_name = {one.name: one for one in facts.inputs}
    tokens, lengths = by_name["tokens"], by_name["lengths"]
    states = [model.init_state(*sizes) for sizes in PROBES]
    if any(bool(part.any()) for part in states[0]):
        raise ExportError(f"{what} cannot be exported with its state: it does not begin with zeros")
    state = _signature(STATE, states, SLOTS, tokens.longest)
    if has_cache(model):
        *caches, filled = state
        layers = [replace(one, shape=one.shape[1:]) for one in caches]
        each = [replace(one, name=f"{one.name}_{n}") for n in range(states[0][0].shape[1]) for one in layers]
        state = (*each, filled)
        outputs = [f"{NEW}{one.name.removeprefix(STATE)}" for one in each]
    else:
        outputs = [f"{NEXT}{one.name.removeprefix(STATE)}" for one in state]
    memory: Signature = ()
    if (source := by_name.get("source")) is not None:
        memory = _signature(MEMORY, _memories(model), SOURCE, source.longest)
        tokens = replace(tokens, shape=(1,))  # it begins with one token: a loop over time is not needed
    return replace(facts, inputs=(tokens, lengths, *state, *memory), outputs=(OUTPUT, *outputs), stateful=True)


def has_cache(model: Any) -> bool:
    """Whether a model's state is our key-value cache, of which only what is new comes out."""
    return isinstance(getattr(model, "shape", None), StateShape) and isinstance(model.init_state(1, 1), KeyValueState)


def of_encoder(facts: ExportFacts, step: ExportFacts) -> ExportFacts:
    """The facts of the encoder's file: ``facts`` are the model's, ``step`` those of its decoder."""
    inputs = tuple(one for one in facts.inputs if one.name.startswith("source"))
    return replace(step, inputs=inputs, outputs=tuple(one.name for one in memory_of(step)), stateful=False)


def state_of(facts: ExportFacts) -> Signature:
    return tuple(one for one in facts.inputs if one.name.startswith(STATE))


def memory_of(facts: ExportFacts) -> Signature:
    return tuple(one for one in facts.inputs if one.name.startswith(MEMORY))


def encoder_path(path: Path) -> Path:
    """The file of the encoder, beside that of the decoder."""
    return path.with_name(f"{path.stem}.encoder{path.suffix}")


def _memories(model: Any) -> list[Any]:
    with torch.no_grad():
        return [model.encode(torch.zeros(batch, time, dtype=torch.int64)) for batch, time in PROBES]


def _signature(prefix: str, probes: Sequence[Any], name: str, longest: int | None) -> Signature:
    """The tensors of a NamedTuple as inputs: what changes with the batch, and what with the length."""
    found = []
    kinds: dict[torch.dtype, Any] = {dtype: name for name, dtype in DTYPES.items()}
    for named, first, second in zip(probes[0]._fields, *probes, strict=True):
        shape = tuple(a if a == b else name for a, b in zip(first.shape[1:], second.shape[1:], strict=True))
        limit = longest if name in shape else None
        dtype: Any = "float32" if first.is_floating_point() else kinds[first.dtype]
        found.append(Input(f"{prefix}{named.rsplit('_', 1)[0]}", dtype, shape, longest=limit))
    return tuple(found)


class Step(nn.Module):
    """One step with the inputs of the file by position: logits, and the tensors of the new state.

    A key-value cache is not written by the graph, which would copy all of it at every step: the graph reads the cache
    of each layer and gives the keys and values of the new tokens.
    """

    fixed_inputs = 2

    def __init__(self, model: Any, facts: ExportFacts) -> None:
        super().__init__()
        model = copy.copy(model)  # it gets another ``shape``, and keeps its weights
        self.model, self.states = model, len(state_of(facts))
        self.state_type: Any = type(model.init_state(1, 1))
        sources = torch.zeros(1, 1, dtype=torch.int64)
        with torch.no_grad():
            self.memory_type: Any = type(model.encode(sources)) if memory_of(facts) else None
        self.appending: AppendingShape | None = None
        if has_cache(model):
            self.appending = model.shape = AppendingShape(**vars(model.shape))

    def forward(self, tokens: Tensor, lengths: Tensor, *given: Tensor) -> tuple[Tensor, ...]:
        more = {} if self.memory_type is None else {"memory": self.memory_type._make(given[self.states :])}
        *parts, last = given[: self.states]
        if self.appending is None:
            logits, state = self.model(tokens, self.state_type(*parts, last), lengths, **more)
            return (logits, *state)
        cache = KeyValueState(parts[::2], parts[1::2], last)  # type: ignore[arg-type]  # a list of layers each
        logits, _ = self.model(tokens, cache, lengths, **more)
        return (logits, *(new for slots in self.appending.made for new in slots.new))


@dataclass
class AppendingSlots:
    """A layer's cache as ``Slots``, to which nothing is written: the new keys and values stand behind it."""

    keys_BHSD: Tensor
    values_BHSD: Tensor
    position_BT: Tensor
    mask_B1TS: Tensor
    causal: bool = False
    new: tuple[Tensor, ...] = ()

    def store(self, k_BHTD: Tensor, v_BHTD: Tensor) -> tuple[Tensor, Tensor]:
        self.new = (k_BHTD.contiguous(), v_BHTD.contiguous())
        return torch.cat([self.keys_BHSD, k_BHTD], 2), torch.cat([self.values_BHSD, v_BHTD], 2)


@dataclass(frozen=True)
class AppendingShape(StateShape):
    """Makes ``AppendingSlots``, and keeps them for what they were given."""

    made: list[AppendingSlots] = field(default_factory=list)

    def slots(self, state: KeyValueState, like: Tensor, batch: int, length: int) -> Any:
        keys_LBHSD, values_LBHSD, filled_B = state
        time_T = torch.arange(length)
        position_BT = filled_B[:, None] + time_T
        past_BTS = (torch.arange(keys_LBHSD[0].shape[2]) < filled_B[:, None, None]).expand(-1, length, -1)
        new_BTT = (time_T <= time_T[:, None]).expand(batch, -1, -1)
        mask_B1TS = torch.cat([past_BTS, new_BTT], 2)[:, None]
        self.made[:] = [
            AppendingSlots(*cache, position_BT, mask_B1TS) for cache in zip(keys_LBHSD, values_LBHSD, strict=True)
        ]
        return self.made


class Encoder(nn.Module):
    """The encoder of a translator: the tensors of the memory."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, source: Tensor, source_lengths: Tensor) -> tuple[Tensor, ...]:
        return tuple(tree_leaves(self.model.encode(source, source_lengths)))


EngineState = tuple[Tensor, ...]
"""the tensors of a state, in the order of the file's inputs"""


class StatefulModel(nn.Module):
    """A model of two engines, or of one, that decodes as the model itself does (``lamina.decoding``).

    As with the model's own key-value cache, which is written in place, only the newest state of a decoding can be
    continued.
    """

    def __init__(self, engine: Any, encoder: Any = None) -> None:
        super().__init__()
        facts: ExportFacts = engine.facts
        self.engine, self.encoder, self.facts = engine, encoder, facts  # neither engine is a module
        self.place = nn.Parameter(torch.zeros(()), requires_grad=False)  # on the CPU, in float32
        self.config = _Limits(facts)
        self.states = state_of(facts)
        self.appends = facts.outputs[1].startswith(NEW)

    def init_state(self, batch: int, max_length: int) -> EngineState:
        """The state before the first token. Raises ValueError if ``max_length`` exceeds the context."""
        context = self.config.context
        if context is not None and max_length > context:
            raise ValueError(f"a state of {max_length} tokens is longer than the context of {context}")
        shapes = [[max_length if isinstance(size, str) else size for size in one.shape] for one in self.states]
        return tuple(
            torch.zeros(batch, *shape, dtype=DTYPES[one.dtype]) for one, shape in zip(self.states, shapes, strict=True)
        )

    def encode(self, source_BS: Tensor, source_lengths: Tensor | None = None) -> tuple[Tensor, ...]:
        """The memory of the source."""
        if source_lengths is None:
            source_lengths = torch.full((len(source_BS),), source_BS.shape[1])
        memory: tuple[Tensor, ...] = tuple(self.encoder(source_BS, source_lengths))
        return memory

    def forward(
        self,
        tokens_BT: Tensor,
        state: EngineState | None = None,
        lengths: Tensor | None = None,
        memory: tuple[Tensor, ...] = (),
    ) -> tuple[Tensor, EngineState]:
        """Logits (B, T, V) and the new state; without one the tokens are the first, and there is room for no more.

        Raises ValueError for a state without room for the tokens.
        """
        batch, time = tokens_BT.shape
        state = self.init_state(batch, time) if state is None else state
        lengths = torch.full((batch,), time) if lengths is None else lengths
        logits, *new = self.engine(tokens_BT, lengths, *state, *memory)
        if not self.appends:
            return logits, tuple(new)
        *caches, filled_B = state
        starts = filled_B.tolist()
        slots, most = caches[0].shape[2], max(starts)
        if most + time > slots:
            raise ValueError(f"the state has {slots} slots, {most} are filled, {time} more tokens do not fit")
        for cache_BHSD, new_BHTD in zip(caches, new, strict=True):
            if len(set(starts)) == 1:
                cache_BHSD[:, :, starts[0] : starts[0] + time] = new_BHTD
                continue
            for row, start in enumerate(starts):
                cache_BHSD[row, :, start : start + time] = new_BHTD[row]
        return logits, (*caches, filled_B + lengths)

    def select(self, state: tuple[Tensor, ...], index_B: Tensor) -> tuple[Tensor, ...]:
        """The rows ``index_B`` of a state or memory, in this order."""
        return tuple(part.index_select(0, index_B) for part in state)


class _Limits:
    """The limits of a model, as its config states them."""

    def __init__(self, facts: ExportFacts) -> None:
        tokens = next(one for one in facts.inputs if one.name == "tokens")
        self.vocab_size, self.context = tokens.below, tokens.longest


def verify_state(decoder: StatefulModel, model: Any, facts: ExportFacts, what: str) -> float:
    """The largest relative difference of the logits over prompts of other lengths in one batch and the tokens after
    them, one by one; with the memory of the file's own encoder.

    Raises ExportError for a difference above that of ``verify``, and where the file fails.
    """
    random, worst, tolerance = torch.Generator().manual_seed(0), 0.0, tolerance_of(facts)
    below, longest = decoder.config.vocab_size or 1, decoder.config.context
    source = None if decoder.encoder is None else decoder.encoder.facts.inputs[0]
    for batch, time in TRIED:
        time = 1 if source is not None else max(1, time if longest is None else min(time, longest - STEPS))
        memory: dict[str, Any] = {}
        theirs: dict[str, Any] = {}
        try:
            if source is not None:
                words = torch.randint(source.below or 1, (batch, 7), generator=random)
                lengths_B = torch.randint(1, 8, (batch,), generator=random)
                lengths_B[0] = 7
                with torch.no_grad():
                    memory = {"memory": model.encode(words, lengths_B)}
                theirs = {"memory": decoder.encode(words, lengths_B)}
            steps = STEPS if longest is None else min(STEPS, longest - time)
            state, other = model.init_state(batch, time + steps), decoder.init_state(batch, time + steps)
            for step in range(1 + steps):
                length = time if step == 0 else 1
                tokens_BT = torch.randint(below, (batch, length), generator=random)
                lengths_B = torch.randint(1, length + 1, (batch,), generator=random)
                with torch.no_grad():
                    expected, state = model(tokens_BT, state, lengths_B, **memory)
                    actual, other = decoder(tokens_BT, other, lengths_B, **theirs)
                real_BT = torch.arange(length) < lengths_B[:, None]
                worst = _worse(worst, relative_difference(actual[real_BT], expected[real_BT]))
        except ExportError:
            raise
        except Exception as error:  # every engine has its own exceptions
            reason = " ".join(str(error).split())[:200]
            raise ExportError(f"{what} is not written: it fails for a batch of {batch} ({reason})") from error
        if not worst <= tolerance:
            raise ExportError(
                f"{what} is not written: for a batch of {batch} its outputs differ from the model's by {worst:.1e} of "
                f"the largest; {tolerance:.0e} is allowed"
            )
    return worst


def _worse(first: float, second: float) -> float:
    """The larger difference; not-a-number counts as the largest."""
    return second if not second <= first else first
