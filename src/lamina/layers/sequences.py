"""Shared by the sequence models: input checks, masks of padding, selection of a state's rows.

Legend: B batch, T time, L layers times directions, H hidden width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

State = TypeVar("State", bound=tuple[Tensor, ...])
Memory = TypeVar("Memory")


def expect_tokens(tokens_BT: Tensor, lengths: Tensor | None = None, what: str = "tokens") -> None:
    """Raise ValueError unless ``tokens_BT`` are integers (B, T) with B and T at least 1, and ``lengths``, if given, B
    integers from 1 to T. The values of the lengths are not checked while torch compiles or exports."""
    shape = tuple(tokens_BT.shape)
    if tokens_BT.ndim != 2 or 0 in shape:
        raise ValueError(f"expected {what} of shape (batch, time), neither of them 0, got {shape}")
    if tokens_BT.is_floating_point() or tokens_BT.dtype in (torch.bool, torch.complex64, torch.complex128):
        raise ValueError(f"expected {what} as whole numbers, got {tokens_BT.dtype}")
    if lengths is not None:
        expect_lengths(lengths, shape[0], shape[1], what)


def expect_lengths(lengths: Tensor, batch: int, time: int, what: str = "tokens") -> None:
    """Raise ValueError unless ``lengths`` are ``batch`` integers from 1 to ``time``."""
    if lengths.ndim != 1 or lengths.shape[0] != batch or lengths.is_floating_point() or lengths.dtype == torch.bool:
        got = f"{tuple(lengths.shape)} of {lengths.dtype}"
        raise ValueError(f"expected lengths of {what} as whole numbers of shape ({batch},), got {got}")
    if torch.compiler.is_compiling() or lengths.is_meta:
        return
    shortest, longest = int(lengths.min()), int(lengths.max())
    if shortest < 1 or longest > time:
        wrong = shortest if shortest < 1 else longest
        raise ValueError(f"expected lengths of {what} from 1 to {time}, got {wrong}")


def expect_rows(given: object, like: type, shapes: tuple[tuple[int, ...], ...], what: str = "state") -> None:
    """Raise ValueError unless ``given`` is an instance of ``like`` whose tensors have these shapes (-1: any size)."""
    if not isinstance(given, like) or not isinstance(given, tuple):
        raise ValueError(f"expected a {what} of type {like.__name__}, got {type(given).__name__}")
    for name, tensor, shape in zip(given._fields, given, shapes, strict=True):  # type: ignore[attr-defined]
        got = tuple(tensor.shape)
        if len(got) != len(shape) or any(want not in (-1, size) for want, size in zip(shape, got, strict=True)):
            expected = str(shape).replace("-1", "any")
            raise ValueError(f"expected {name} of the {what} of shape {expected}, got {got}: of another batch or model")


def real_steps(x_BT: Tensor, lengths: Tensor) -> Tensor:
    """The padding mask (B, T): True for the first ``lengths[b]`` steps of row b. Of ``x_BT`` only dimension 1 is used.

    >>> real_steps(torch.zeros(2, 3), torch.tensor([3, 1]))
    tensor([[ True,  True,  True],
            [ True, False, False]])
    """
    return torch.arange(x_BT.shape[1], device=x_BT.device) < lengths.to(x_BT.device)[:, None]


def reverse_rows(tokens_BT: Tensor, lengths: Tensor | None) -> Tensor:
    """Each row's real tokens reversed, its padding left in place.

    >>> reverse_rows(torch.tensor([[1, 2, 3], [4, 5, 0]]), torch.tensor([3, 2]))
    tensor([[3, 2, 1],
            [5, 4, 0]])
    """
    if lengths is None:
        return tokens_BT.flip(1)
    steps_1T = torch.arange(tokens_BT.shape[1], device=tokens_BT.device)[None]
    lengths_B1 = lengths.to(tokens_BT.device)[:, None]
    return tokens_BT.gather(1, torch.where(steps_1T < lengths_B1, lengths_B1 - 1 - steps_1T, steps_1T))


def select_rows(state: State, index_B: Tensor) -> State:
    """The rows ``index_B`` of a state or memory, in this order; beam search repeats and drops rows."""
    return type(state)(*(tensor.index_select(0, index_B) for tensor in state))


def example_tokens(vocabulary: int, batch: int, time: int, seed: int = 0) -> Tensor:
    """Random tokens (B, T), the same at every call: for a variant's ``example``."""
    return torch.randint(vocabulary, (batch, time), generator=torch.Generator().manual_seed(seed))


def check_recurrent(kind: str, sizes: tuple[int, ...], dropout: float, kinds: tuple[str, ...]) -> None:
    """Raise ValueError for a kind not among ``kinds``, a size below 1, or a dropout outside [0, 1)."""
    if kind not in kinds:
        raise ValueError(f"there is no kind '{kind}'; choose from {', '.join(kinds)}")
    if min(sizes) < 1:
        raise ValueError(f"every size and number of layers must be at least 1, got {min(sizes)}")
    if not 0.0 <= dropout < 1.0:
        raise ValueError(f"dropout must lie in [0, 1), got {dropout}")


def resolve_memory(
    encode: Callable[[Tensor, Tensor | None], Memory],
    memory: Memory | None,
    source_BS: Tensor | None,
    source_lengths: Tensor | None,
) -> Memory:
    """The given memory, or that of the given source. Raises ValueError unless exactly one of them is given."""
    if (memory is None) == (source_BS is None):
        raise ValueError(f"give memory or source, not {'both' if memory is not None else 'neither'}")
    if source_BS is None:
        if source_lengths is not None:
            raise ValueError("source_lengths belong to source: a memory has its own")
        assert memory is not None
        return memory
    return encode(source_BS, source_lengths)
