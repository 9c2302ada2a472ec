"""The inputs of an exported file: names, dtypes, dynamic dimensions, examples.

``ExportFacts.input`` is the kind: "image" or "features", one float32 tensor; "tokens", int64 (batch, time) with the
``lengths`` (batch,) of the rows, beyond which is padding; "translation", the same and a ``source`` with its lengths.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lamina.export.facts import ExportFacts

TRACED = (3, 7, 5)
"""(batch, time, source time) of the example that is traced"""
TRIED = ((1, 1, 4), (2, 9, 1), (5, 6, 11))
"""the sizes on which a file is compared with the model"""


class Input(NamedTuple):
    """An input of an exported file."""

    name: str
    dtype: torch.dtype
    shape: tuple[int | str, ...]
    """without the batch; a name stands for a dimension of any size"""

    def __str__(self) -> str:
        return f"{self.name}, {str(self.dtype).removeprefix('torch.')}, {' x '.join(map(str, ('batch', *self.shape)))}"


TOKENS = (Input("tokens", torch.int64, ("time",)), Input("lengths", torch.int64, ()))
SOURCE = (Input("source", torch.int64, ("source_time",)), Input("source_lengths", torch.int64, ()))


def inputs_of(facts: ExportFacts) -> tuple[Input, ...]:
    """The inputs, in the order of positional arguments."""
    match facts.input:
        case "tokens":
            return TOKENS
        case "translation":
            return TOKENS + SOURCE
    return (Input(facts.input, torch.float32, facts.shape),)


def axes(facts: ExportFacts) -> tuple[dict[int, str], ...]:
    """The dynamic dimensions of each input, with their names."""
    return tuple(
        {0: "batch"} | {place: name for place, name in enumerate(given.shape, 1) if isinstance(name, str)}
        for given in inputs_of(facts)
    )


def dimensions(facts: ExportFacts) -> tuple[dict[int, Any], ...]:
    """``axes`` in the form of torch.export, with the model's context as the maximum time."""
    names = {name for named in axes(facts) for name in named.values()}
    most = facts.limits.get("context")
    known = {name: torch.export.Dim(name, max=None if name == "batch" else most) for name in sorted(names)}
    return tuple({place: known[name] for place, name in named.items()} for named in axes(facts))


def example_of(facts: ExportFacts, sizes: tuple[int, int, int], random: torch.Generator) -> tuple[Tensor, ...]:
    """Random inputs of ``sizes`` (batch, time, source time), with times limited to the model's context. Rows of tokens
    have random lengths; the first has the full one."""
    rows, *times = sizes
    return tuple(_given(facts, rows, iter(times), random))


def _given(facts: ExportFacts, rows: int, times: Iterator[int], random: torch.Generator) -> Iterator[Tensor]:
    for name, dtype, shape in inputs_of(facts):
        if dtype == torch.float32:
            yield torch.randn(rows, *facts.shape, generator=random)
        elif shape:
            time = next(times)
            time = min(time, facts.limits.get("context", time))
            vocabulary = facts.limits["vocab_size" if name == "tokens" else "source_vocab_size"]
            yield torch.randint(vocabulary, (rows, time), generator=random)
        else:
            lengths_B = torch.randint(1, time + 1, (rows,), generator=random)
            lengths_B[0] = time
            yield lengths_B


def arrays(facts: ExportFacts, given: tuple[Tensor, ...], named: Mapping[str, Tensor]) -> dict[str, Any]:
    """The inputs by name, as numpy arrays of the dtypes that the file expects."""
    inputs = inputs_of(facts)
    by_name = {**dict(zip((one.name for one in inputs), given, strict=False)), **named}
    return {one.name: by_name[one.name].to(one.dtype).numpy() for one in inputs}


class LogitsOnly(nn.Module):
    """A token model with the signature of its file: positional inputs, logits as the only output, without the state."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, tokens: Tensor, lengths: Tensor, source: Tensor | None = None, source_lengths: Tensor | None = None
    ) -> Tensor:
        more = {} if source is None else {"source": source, "source_lengths": source_lengths}
        output = self.model(tokens, lengths=lengths, **more)
        logits: Tensor = output if isinstance(output, Tensor) else output[0]
        return logits


def with_file_signature(model: nn.Module, facts: ExportFacts) -> nn.Module:
    """The model with the inputs and output of its exported file."""
    return LogitsOnly(model) if inputs_of(facts)[0].dtype == torch.int64 else model
