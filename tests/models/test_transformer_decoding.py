"""What every attentive decoder promises: stepping with a state, ragged rows, padding, rows of a state, errors."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from lamina import registry
from lamina.layers.key_value import KeyValueState
from lamina.models import gpt2, transformer, transformer_lm

VOCAB, LONGEST = 31, 12
MODELS = {
    "gpt2": (gpt2.VARIANTS["gpt2"], {}),
    "transformer-lm": (transformer_lm.VARIANTS["transformer-lm"], {"positions": "sinusoidal", "tied": False}),
    "transformer": (transformer.VARIANTS["transformer-base"], {}),
    "transformer first": (transformer.VARIANTS["transformer-base"], {"norm": "first", "tied": False}),
}
BOUNDS = {torch.float32: 1e-5, torch.float64: 1e-10}


def build(name: str, dtype: torch.dtype = torch.float64, **options: Any) -> Any:
    """The small form, every weight of order one half."""
    row, own = MODELS[name]
    torch.manual_seed(0)
    model = registry.build(row, registry.configure(row, {**row.small, **own, **options}))
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    return model.to(dtype).eval()


def tokens(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(VOCAB, shape, generator=torch.Generator().manual_seed(seed))


def memory_of(model: Any, batch: int, lengths: Tensor | None = None) -> dict[str, Any]:
    """What forward needs on top of the tokens: a memory, for those that have an encoder."""
    if not hasattr(model, "encode"):
        return {}
    return {"memory": model.encode(tokens(batch, 5, seed=9), lengths)}


def close(got: Tensor, wanted: Tensor, dtype: torch.dtype = torch.float64) -> None:
    assert got.shape == wanted.shape
    assert float((got - wanted).abs().max() / wanted.abs().max()) <= BOUNDS[dtype]


@pytest.fixture(autouse=True)
def _no_grad() -> Any:
    with torch.no_grad():
        yield


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", MODELS)
def test_steps_with_a_state_equal_the_whole(name: str, dtype: torch.dtype) -> None:
    model, x = build(name, dtype), tokens(3, LONGEST)
    more = memory_of(model, 3)
    whole, none = model(x, **more)
    assert none is None
    for cuts in ([1] * LONGEST, [5, 1, 1, 5], [LONGEST]):
        state, outs = model.init_state(3, LONGEST), []
        for part in x.split(cuts, 1):
            logits, state = model(part, state, **more)
            outs.append(logits)
        close(torch.cat(outs, 1), whole, dtype)
        assert state.filled_B.tolist() == [LONGEST] * 3
        assert {tensor.shape[0] for tensor in state} == {3}


@pytest.mark.parametrize("name", MODELS)
def test_ragged_rows_go_on_at_their_own_places(name: str) -> None:
    model, x = build(name), tokens(3, LONGEST)
    more = memory_of(model, 3, torch.tensor([5, 2, 3]))
    whole, _ = model(x, **more)
    state = model.init_state(3, LONGEST)
    place = [0, 0, 0]
    for lengths in ([2, 5, 3], [1, 1, 1], [3, 1, 2], [1, 1, 1]):
        longest = max(lengths)
        part = torch.full((3, longest), VOCAB - 1)  # whatever stands in the padding
        for row, count in enumerate(lengths):
            part[row, :count] = x[row, place[row] : place[row] + count]
        logits, state = model(part, state, torch.tensor(lengths), **more)
        for row, count in enumerate(lengths):
            close(logits[row, :count], whole[row, place[row] : place[row] + count])
            place[row] += count
    assert state.filled_B.tolist() == place == [7, 8, 7]


@pytest.mark.parametrize("name", MODELS)
def test_padding_has_no_influence(name: str) -> None:
    """Not its content, not even where it is no token at all; not its amount; not on the rows beside it."""
    model, x = build(name), tokens(3, 6)
    lengths = torch.tensor([6, 2, 4])
    more = memory_of(model, 3)
    spoilt = x.clone()
    spoilt[1, 2:], spoilt[2, 4:] = -100, 10**9
    for state in (None, model.init_state(3, LONGEST)):
        first, after = model(x, state, lengths, **more)
        again = None if state is None else model.init_state(3, LONGEST)
        second, after_too = model(spoilt, again, lengths, **more)
        for row, count in enumerate(lengths.tolist()):
            assert torch.equal(first[row, :count], second[row, :count])
        if after is not None:
            assert torch.equal(model(x[:, :1], after, **more)[0], model(x[:, :1], after_too, **more)[0])
    alone_memory = {"memory": type(more["memory"])(*(t[1:2] for t in more["memory"]))} if more else {}
    alone, _ = model(x[1:2, :2], **alone_memory)
    close(first[1:2, :2], alone)


@pytest.mark.parametrize("name", MODELS)
def test_no_token_sees_a_later_one(name: str) -> None:
    model, x = build(name), tokens(2, 8)
    more = memory_of(model, 2)
    before, _ = model(x, **more)
    for place in range(8):
        other = x.clone()
        other[:, place] = (other[:, place] + 1) % VOCAB
        after, _ = model(other, **more)
        assert torch.equal(after[:, :place], before[:, :place])
        assert (after[:, place:] != before[:, place:]).any(-1).all()


@pytest.mark.parametrize("name", MODELS)
def test_select_takes_rows_and_repeats_them(name: str) -> None:
    model, x = build(name), tokens(3, 8)
    more = memory_of(model, 3, torch.tensor([5, 2, 3]))
    _, state = model(x[:, :4], model.init_state(3, LONGEST), torch.tensor([4, 2, 3]), **more)
    index = torch.tensor([2, 0, 2, 1])
    chosen = model.select(state, index)
    assert isinstance(chosen, KeyValueState)
    assert chosen.filled_B.tolist() == [3, 4, 3, 2]
    more_too = {"memory": model.select(more["memory"], index)} if more else {}
    next_BT = tokens(3, 2, seed=4)
    wanted, _ = model(next_BT, state, **more)
    got, _ = model(next_BT[index], chosen, **more_too)
    close(got, wanted[index])
    # a beam's rows part: what one writes is not in its twin
    parted = model.select(state, torch.tensor([0, 0]))
    twin = {"memory": type(more["memory"])(*(t[[0, 0]] for t in more["memory"]))} if more else {}
    logits, _ = model(torch.tensor([[1, 2], [3, 4]]), parted, **twin)
    assert not torch.allclose(logits[0], logits[1])


@pytest.mark.parametrize("name", MODELS)
def test_going_back_to_an_earlier_state(name: str) -> None:
    model, x = build(name), tokens(2, 8)
    more = memory_of(model, 2)
    _, state = model(x[:, :4], model.init_state(2, LONGEST), **more)
    wanted, _ = model(x[:, 4:6], state, **more)
    model(tokens(2, 5, seed=3), state, **more)
    again, _ = model(x[:, 4:6], state, **more)
    assert torch.equal(again, wanted)


@pytest.mark.parametrize("name", ["transformer-lm", "transformer"])
def test_compiled_with_and_without_a_state(name: str) -> None:
    torch.compiler.reset()
    model, x = build(name, layers=1), tokens(3, 8)
    more = memory_of(model, 3)
    whole, _ = model(x, **more)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    close(compiled(x, **more)[0], whole)
    state = model.init_state(3, LONGEST)
    lengths = torch.tensor([4, 2, 3])
    logits, state = compiled(x[:, :4], state, lengths, **more)
    step, state = compiled(x[torch.arange(3), lengths][:, None], state, **more)
    for row, count in enumerate(lengths.tolist()):
        close(logits[row, :count], whole[row, :count])
        close(step[row, 0], whole[row, count])
    assert state.filled_B.tolist() == [5, 3, 4]
    torch.compiler.reset()


@pytest.mark.parametrize("name", MODELS)
def test_bad_input_gets_one_line(name: str) -> None:
    model, x = build(name), tokens(3, 4)
    more = memory_of(model, 3)
    state = model.init_state(3, 6)
    other = build(name, layers=3).init_state(3, 6)
    cases: list[tuple[tuple[Any, ...], str]] = [
        ((x[0],), r"tokens of shape \(batch, time\)"),
        ((x[:0],), "neither of them 0"),
        ((x[:, :0],), "neither of them 0"),
        ((x.double(),), "whole numbers"),
        ((torch.full((3, 4), VOCAB),), f"tokens from 0 to {VOCAB - 1}, got {VOCAB}"),
        ((-x - 1,), r"tokens from 0 to 30, got -"),
        ((x, None, torch.tensor([4, 0, 2])), "from 1 to 4, got 0"),
        ((x, None, torch.tensor([4, 5, 2])), "from 1 to 4, got 5"),
        ((x, None, torch.tensor([4, 2])), r"of shape \(3,\)"),
        ((x, None, torch.tensor([4.0, 2.0, 1.0])), "lengths of tokens as whole numbers"),
        ((x, model.init_state(2, 6)), "another batch"),
        ((x, other), "another batch or model"),
        ((x, state[0]), "KeyValueState"),
        ((x, build(name, torch.float32).init_state(3, 6)), "it is torch.float32 on cpu, the model torch.float64"),
        ((tokens(3, 7), state), "6 slots, 0 are filled, 7 more tokens do not fit"),
    ]
    if name in ("gpt2", "transformer-lm"):
        cases.append(((tokens(3, 13),), "13 tokens in a row are more than the context of 12"))
    for given, said in cases:
        with pytest.raises(ValueError, match=said) as caught:
            model(*given, **more)
        assert "\n" not in str(caught.value)
    _, filled = model(x, state, torch.tensor([4, 2, 1]), **more)
    with pytest.raises(ValueError, match="6 slots, 4 are filled, 3 more tokens do not fit"):
        model(x[:, :3], filled, **more)
    for batch, length in ((0, 4), (3, 0)):
        with pytest.raises(ValueError, match="at least 1"):
            model.init_state(batch, length)
    if name in ("gpt2", "transformer-lm"):
        with pytest.raises(ValueError, match="longer than the context of 12"):
            model.init_state(1, 13)


def test_a_state_is_of_the_models_type_and_device() -> None:
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        model = build("gpt2", dtype)
        state = model.init_state(2, 7)
        assert state.keys_BLHSD.shape == state.values_BLHSD.shape == (2, 2, 2, 7, 8)
        assert state.keys_BLHSD.dtype == state.values_BLHSD.dtype == dtype
        assert state.filled_B.dtype == torch.int64
        assert not any(tensor.any() for tensor in state)
        assert model(tokens(2, 3), state)[0].dtype == dtype
    with torch.device("meta"):
        on_meta = build("gpt2")
    assert on_meta.init_state(2, 7).keys_BLHSD.is_meta


def test_a_state_under_autocast() -> None:
    model, x = build("gpt2", torch.float32), tokens(2, 6)
    wanted, _ = model(x)
    with torch.autocast("cpu", torch.bfloat16):
        first, state = model(x[:, :4], model.init_state(2, 6))
        second, _ = model(x[:, 4:], state)
    got = torch.cat((first, second), 1).float()
    assert float((got - wanted).abs().max() / wanted.abs().max()) < 0.1
