"""Checks of token models: padding, and the state of language models and decoders.

Legend: B batch, T tokens, V vocabulary.
"""

from __future__ import annotations

import inspect
from collections import namedtuple
from typing import Any

import torch
from torch import Tensor

from lamina.cards import Variant
from lamina.conformance.harness import (
    NotApplicableError,
    build,
    expect_close,
    first_tensor,
    inputs,
    is_sequence,
    lengths_name,
    require,
    variant_of,
)

_BATCH = 4
_BOUND = 1e-9


def check_padding(model: str | Variant) -> None:
    """Neither the content nor the amount of right padding matters: with ``lengths`` (and ``source_lengths``) a row
    gives the same result as alone, cut to its length."""
    net, x = _net(model)
    ragged = _all_lengths(net, x)
    if not ragged:
        raise NotApplicableError("it takes no lengths")
    with torch.no_grad():
        whole = first_tensor(net(**_padded(x, ragged, 0), **ragged))
        other = first_tensor(net(**_padded(x, ragged, 1), **ragged))
        for row in range(_BATCH):
            cut, time = {}, None
            for name, part in x.items():
                length = ragged.get(lengths_name(name))
                cut[name] = part[row : row + 1] if length is None else part[row : row + 1, : length[row]]
                if name == "tokens_BT":
                    time = cut[name].shape[1]
            alone = first_tensor(net(**cut))
            real = slice(time) if whole.ndim == 3 else slice(None)
            got = whole[row : row + 1, real]
            expect_close(other[row : row + 1, real], got, 0.0, f"row {row} with other tokens in the padding")
            expect_close(got, alone, _BOUND, f"row {row} with padding, against the same without")


def check_stepping(model: str | Variant) -> None:
    """Decoding with a state equals one call on the whole sequence: token by token, in pieces, and from prompts of
    unequal length, where each row continues at its own position."""
    net, x = _decoder(model)
    tokens_BT, more = x["tokens_BT"], _memory(net, x)
    time = tokens_BT.shape[1]
    with torch.no_grad():
        whole = net(tokens_BT, **more)[0]
        for pieces in ([1] * time, [time - 3, 2, 1], [2, time - 2]):
            state, at = _state(net, time), 0
            for piece in pieces:
                logits, state = net(tokens_BT[:, at : at + piece], state, **more)
                what = f"tokens {at} to {at + piece} from a state, against the whole"
                expect_close(logits, whole[:, at : at + piece], _BOUND, what)
                at += piece
        lengths_B = torch.tensor([time - 3, 1, 2, time - 4])
        starts = [_state(net, time)]
        if net(tokens_BT, **more)[1] is not None:  # a recurrent model returns a state even if it was given none
            starts.append(None)
        for state in starts:
            padded_BT = _padded(x, {"lengths": lengths_B}, 0)["tokens_BT"][:, : time - 3]
            logits, state = net(padded_BT, state, lengths_B, **more)
            at_B = lengths_B
            for row, length in enumerate(lengths_B.tolist()):
                expect_close(logits[row, :length], whole[row, :length], _BOUND, f"a prompt of {length} tokens")
            for piece in (2, 1):  # two tokens for every row, then one
                position_BT = at_B[:, None] + torch.arange(piece)
                logits, state = net(tokens_BT.gather(1, position_BT), state, **more)
                expected = whole.gather(1, position_BT[..., None].expand(-1, -1, whole.shape[2]))
                expect_close(logits, expected, _BOUND, "going on from prompts of unequal lengths, against the whole")
                at_B = at_B + piece


def check_select(model: str | Variant) -> None:
    """``select`` reorders, repeats and drops rows of a state and of a memory without changing the given one; a state is
    a NamedTuple of tensors with the batch first."""
    net, x = _decoder(model)
    tokens_BT, more = x["tokens_BT"], _memory(net, x)
    time = tokens_BT.shape[1]
    with torch.no_grad():
        whole = net(tokens_BT, **more)[0]
        _, state = net(tokens_BT[:, : time - 2], _state(net, time), **more)
        for part, what in ((state, "state"), (more.get("memory"), "memory")):
            if part is not None:
                _expect_rows(part, what)
        for rows in ([3, 1, 0, 2], [2, 2, 0, 2, 1, 0], [1]):
            index_B = torch.tensor(rows)
            chosen = {name: net.select(memory, index_B) for name, memory in more.items()}
            logits, _ = net(tokens_BT[index_B, time - 2 :], net.select(state, index_B), **chosen)
            expect_close(logits, whole[index_B, time - 2 :], _BOUND, f"rows {rows} of a state")
        logits, _ = net(tokens_BT[:, time - 2 :], state, **more)
        expect_close(logits, whole[:, time - 2 :], _BOUND, "the state that rows were selected from, used afterwards")


def check_wrong_tokens(model: str | Variant) -> None:
    """A one-line ValueError for tokens that are not integers (B, T), an empty batch or row, invalid lengths, more
    tokens than the context, and a state of another batch or model; the same for a source."""
    net, x = _net(model)
    tokens_BT = x["tokens_BT"]
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("tokens that are not whole numbers", {"tokens_BT": tokens_BT.double()}),
        ("one row of tokens without a batch", {"tokens_BT": tokens_BT[0]}),
        ("an empty batch", {name: part[:0] for name, part in x.items()}),
        ("tokens of length 0", {"tokens_BT": tokens_BT[:, :0]}),
    ]
    context = getattr(getattr(net, "config", None), "context", None)
    if context is not None:
        wrong.append(("more tokens than the context", {"tokens_BT": tokens_BT[:, :1].expand(-1, context + 1)}))
    for name, part in x.items():
        if is_sequence(part) and lengths_name(name) in _options(net):
            wrong += _wrong_lengths(lengths_name(name), part.shape[1])
    if "source" in x:
        wrong.append(("a source of length 0", {"source": x["source"][:, :0]}))
        wrong.append(("a source of another batch", {"source": x["source"][1:]}))
    if "state" in _options(net):
        wrong += [(what, {"state": state}) for what, state in _wrong_states(net, tokens_BT.shape[1])]
        _expect_refused("a state for no rows", net.init_state, 0, tokens_BT.shape[1])
    for what, given in wrong:
        _expect_refused(what, net, **{**x, **given})


def _wrong_lengths(option: str, time: int) -> list[tuple[str, dict[str, Any]]]:
    ones = [1] * (_BATCH - 1)
    return [
        (f"{option} of 0", {option: torch.tensor([0, *ones])}),
        (f"{option} beyond the tokens", {option: torch.tensor([*ones, time + 1])}),
        (f"{option} of another batch", {option: torch.ones(_BATCH + 1, dtype=torch.int64)}),
        (f"{option} that are not whole numbers", {option: torch.ones(_BATCH)}),
    ]


def _wrong_states(net: Any, time: int) -> list[tuple[str, Any]]:
    state = net.init_state(_BATCH, time)
    narrower = type(state)(*(part[..., :-1] if part.is_floating_point() else part for part in state))
    stranger = namedtuple("Stranger", state._fields)(*state)
    return [
        ("a state of another batch", net.init_state(_BATCH + 1, time)),
        ("a state of a model of another width", narrower),
        ("a state of another class", stranger),
    ]


def _expect_refused(what: str, function: Any, *given: Any, **named: Any) -> None:
    try:
        with torch.no_grad():
            function(*given, **named)
    except ValueError as error:
        require("\n" not in str(error), f"the error for {what} has more than one line: {error}")
    except Exception as error:  # the fault this looks for: an obscure error
        raise AssertionError(f"{what}: {type(error).__name__}: {error}") from error
    else:
        raise AssertionError(f"{what} is accepted without an error")


def _net(model: str | Variant) -> tuple[Any, dict[str, Tensor]]:
    """The model and its example inputs; NotApplicableError if it does not take tokens."""
    row = variant_of(model)
    x = inputs(row, _BATCH)
    if not isinstance(x, dict) or "tokens_BT" not in x:
        raise NotApplicableError("it reads no tokens")
    time = x["tokens_BT"].shape[1]
    require(time >= 6, f"the example has {time} tokens: these checks need 6")
    return build(row), x


def _decoder(model: str | Variant) -> tuple[Any, dict[str, Tensor]]:
    """As ``_net``; NotApplicableError if the model has no state."""
    net, x = _net(model)
    if "state" not in _options(net):
        raise NotApplicableError("it has no state")
    for method in ("init_state", "select"):
        require(callable(getattr(net, method, None)), f"it has no method {method}")
    return net, x


def _options(net: Any) -> set[str]:
    return set(inspect.signature(net.forward).parameters)


def _state(net: Any, time: int) -> Any:
    state = net.init_state(_BATCH, time)
    _expect_rows(state, "state")
    return state


def _expect_rows(state: Any, what: str) -> None:
    named = isinstance(state, tuple) and hasattr(state, "_fields")
    require(named and all(isinstance(part, Tensor) for part in state), f"the {what} is not a NamedTuple of tensors")
    shapes = [tuple(part.shape) for part in state]
    require(all(shape[:1] == (_BATCH,) for shape in shapes), f"the {what} of {_BATCH} rows has shapes {shapes}")


def _memory(net: Any, x: dict[str, Tensor]) -> dict[str, Any]:
    """The arguments of a decoder beside tokens: the memory of an encoder-decoder."""
    if "source" not in x:
        return {}
    with torch.no_grad():
        return {"memory": net.encode(x["source"], x.get("source_lengths"))}


def _all_lengths(net: Any, x: dict[str, Tensor]) -> dict[str, Tensor]:
    """Unequal lengths, one of them full, for every token sequence whose lengths forward accepts."""
    options, found = _options(net), dict[str, Tensor]()
    for place, (name, part) in enumerate(x.items()):
        if is_sequence(part) and lengths_name(name) in options:
            time = part.shape[1]
            found[lengths_name(name)] = torch.tensor([time, 1, time - 2, 3]).roll(place)
    return found


def _padded(x: dict[str, Tensor], lengths: dict[str, Tensor], fill: int) -> dict[str, Tensor]:
    """The inputs with token ``fill`` at all padding positions."""
    out = dict(x)
    for name, part in x.items():
        length_B = lengths.get(lengths_name(name))
        if length_B is not None:
            out[name] = part.where(torch.arange(part.shape[1]) < length_B[:, None], torch.full_like(part, fill))
    return out
