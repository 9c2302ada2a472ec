"""The inputs of an exported file: dynamic dimensions, examples, the model as it is called with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lamina.evaluation_mode import evaluation_mode
from lamina.export.facts import OUTPUT, SAMPLES, ExportFacts
from lamina.torch_internals import tree_leaves

TRACED = (3, 7, 5)
"""(batch, time, source time) of the example that is traced"""
TRIED = ((1, 1, 4), (2, 9, 1), (5, 6, 11))
"""the sizes on which a file is compared with the model"""


DTYPES = {"float32": torch.float32, "int64": torch.int64, "bool": torch.bool, "uint8": torch.uint8}


def axes(facts: ExportFacts) -> tuple[dict[int, str], ...]:
    """The dynamic dimensions of each input, with their names."""
    return tuple(
        {0: "batch"} | {place: name for place, name in enumerate(given.shape, 1) if isinstance(name, str)}
        for given in facts.inputs
    )


def dimensions(facts: ExportFacts, model: nn.Module) -> tuple[Any, ...]:
    """``axes`` in the form of torch.export, with the model's context as the maximum time. Of a model with a variable
    number of inputs, ``fixed_inputs`` says how many come before them."""
    names = {name for named in axes(facts) for name in named.values()}
    longest = {name: one.longest for one in facts.inputs for name in one.shape}
    known = {name: torch.export.Dim(name, max=longest.get(name)) for name in sorted(names)}
    found = tuple({place: known[name] for place, name in named.items()} for named in axes(facts))
    fixed = getattr(model, "fixed_inputs", len(found))
    return found if fixed == len(found) else (*found[:fixed], found[fixed:])


def example_of(facts: ExportFacts, sizes: tuple[int, ...], random: torch.Generator) -> tuple[Tensor, ...]:
    """Random inputs of ``sizes`` (batch, then the dynamic dimensions in their order: time, source time), limited to the
    model's context. Rows of tokens have random lengths; the first has the full one."""
    rows, *times = sizes
    return tuple(_given(facts, rows, iter(times), random))


def _given(facts: ExportFacts, rows: int, times: Iterator[int], random: torch.Generator) -> Iterator[Tensor]:
    sizes: dict[str, int] = {}
    for one in facts.inputs:
        for name in one.shape:
            if isinstance(name, str) and name not in sizes:
                time = next(times)
                sizes[name] = time if one.longest is None else min(time, one.longest)
        shape = [sizes[size] if isinstance(size, str) else size for size in one.shape]
        if one.lengths_of is not None:
            longest = sizes.get(one.lengths_of, 1)  # 1: a step of one token
            lengths_B = torch.randint(1, longest + 1, (rows,), generator=random)
            lengths_B[0] = longest
            yield lengths_B
        elif one.below is not None:
            yield torch.randint(one.below, (rows, *shape), generator=random)
        elif one.dtype == "uint8":
            yield torch.randint(256, (rows, *shape), generator=random, dtype=torch.uint8)
        elif one.dtype == "float32":
            yield torch.randn(rows, *shape, generator=random)
        else:  # of a state: nothing decoded so far; of a mask
            yield torch.full((rows, *shape), one.dtype == "bool", dtype=DTYPES[one.dtype])


def arrays(facts: ExportFacts, given: tuple[Tensor, ...], named: Mapping[str, Tensor]) -> dict[str, Any]:
    """The inputs by name, as numpy arrays of the dtypes that the file expects."""
    inputs = facts.inputs
    by_name = {**dict(zip((one.name for one in inputs), given, strict=False)), **named}
    return {one.name: by_name[one.name].to(DTYPES[one.dtype]).numpy() for one in inputs}


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


class Flat(nn.Module):
    """A model whose output is a NamedTuple, with its tensors one after the other."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(tree_leaves(self.model(x)))


def with_file_signature(model: nn.Module, facts: ExportFacts) -> nn.Module:
    """The model with the inputs and outputs of its exported file."""
    if facts.preprocesses:
        return model
    if facts.inputs[0].below is not None:
        return LogitsOnly(model)
    return model if facts.outputs in ((OUTPUT,), (SAMPLES,)) else Flat(model)


def output_names(model: nn.Module, facts: ExportFacts) -> tuple[str, ...]:
    """The names of what a model's file gives: the one that the facts have, or the fields of the NamedTuple that the
    model returns, those of inner ones with the outer name before them."""
    if facts.inputs[0].below is not None:
        return facts.outputs if facts.stateful else (OUTPUT,)
    if facts.preprocesses:
        return facts.outputs
    weight = next(model.parameters(), torch.zeros(()))
    given = example_of(facts, TRIED[0], torch.Generator().manual_seed(0))
    with evaluation_mode(model), torch.no_grad():
        out = model(*(x.to(weight) if x.is_floating_point() else x.to(weight.device) for x in given))
    return tuple(_names(out, "")) or facts.outputs


def _names(output: Any, prefix: str) -> Iterator[str]:
    if isinstance(output, Tensor):
        yield from [prefix] if prefix else ()
        return
    for name, part in output._asdict().items():
        yield from _names(part, f"{prefix}_{name}" if prefix else name)


def joined_outputs(found: Sequence[Tensor]) -> Any:
    """A file's outputs as a model returns them: the tensor, or several."""
    return found[0] if len(found) == 1 else tuple(found)
