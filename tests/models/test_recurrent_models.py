"""Recurrent language models, classifiers and encoder-decoders: numbers, states, padding, attention, compiling."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lamina.cards import Variant
from lamina.layers.sequences import select_rows
from lamina.models import recurrent_classifier, recurrent_lm, seq2seq, seq2seq_attention
from lamina.registry import build, configure

LMS, CLASSIFIERS = recurrent_lm.VARIANTS, recurrent_classifier.VARIANTS
DECODERS = {**seq2seq.VARIANTS, **seq2seq_attention.VARIANTS}
ALL = {**LMS, **CLASSIFIERS, **DECODERS}
UNITS = ("rnn", "gru", "lstm", "gru-reset-before", "lstm-peephole", "lstm-1997")
LANGUAGE = (
    *(("lstm-lm-small", {"kind": kind}) for kind in UNITS),
    ("lstm-lm-medium", {}),
    ("seq2seq", {}),
    *(("seq2seq-attention", {"score": score}) for score in ("additive", "concat", "dot", "general")),
    ("seq2seq-attention", {"score": "dot", "input_feeding": False, "num_layers": 2}),
    ("seq2seq-attention", {"num_layers": 2}),
)
COUNTS = {  # parameters, and multiply-adds at (time,): by hand, from the sizes
    "rnn-lm": (10_000 * 200 + 200 * 402 + 201 * 10_000, 20 * (200 * 400 + 200 * 10_000)),
    "gru-lm": (10_000 * 200 + 2 * 3 * 200 * 402 + 201 * 10_000, 20 * (2 * 3 * 200 * 400 + 200 * 10_000)),
    "lstm-lm-small": (10_000 * 200 + 2 * 4 * 200 * 402 + 201 * 10_000, 20 * (2 * 4 * 200 * 400 + 200 * 10_000)),
    "lstm-lm-medium": (10_000 * 650 + 2 * 4 * 650 * 1302 + 651 * 10_000, 35 * (2 * 4 * 650 * 1300 + 650 * 10_000)),
    "lstm-lm-large": (10_000 * 1500 + 2 * 4 * 1500 * 3002 + 1501 * 10_000, 35 * (2 * 4 * 1500 * 3000 + 1500 * 10_000)),
    "rnn-classifier": (10_000 * 128 + 128 * 258 + 258, 100 * 128 * 256 + 256),
    "gru-classifier": (10_000 * 128 + 3 * 128 * 258 + 258, 100 * 3 * 128 * 256 + 256),
    "lstm-classifier": (10_000 * 128 + 4 * 128 * 258 + 258, 100 * 4 * 128 * 256 + 256),
    "seq2seq": (384_144_000, 25 * (2 * 4 * 4 * 1000 * 2000 + 1000 * 80_000)),
    "seq2seq-attention": (
        2 * 30_000 * 620 + 2 * 3 * 1000 * 1622 + 10**6 + 3_001_000 + 3 * 1000 * 3622 + 3621 * 1000 + 501 * 30_000,
        25 * (2 * 3 * 1000 * 1620 + 2 * 10**6)
        + 10**6
        + 25 * (10**6 + 25 * 3000 + 3 * 1000 * 3620 + 3620 * 1000 + 500 * 30_000),
    ),
}


def _build(name: str, options: dict[str, Any] | None = None) -> Any:
    torch.manual_seed(0)
    row: Variant = ALL[name]
    return build(row, configure(row, {**row.small, **(options or {})})).double().eval()


def _memory(model: Any, batch: int) -> dict[str, Any]:
    """The keyword argument that encoder-decoders need: a memory of sources of other lengths."""
    if not hasattr(model, "encode"):
        return {}
    lengths = torch.tensor([4, 2, 5, 1])[:batch]
    return {"memory": model.encode(torch.randint(13, (batch, 5)), lengths)}


def _close(got: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(got, wanted, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("name", ALL)
def test_parameters_and_multiply_adds_are_those_of_the_paper(name: str) -> None:
    assert (ALL[name].card.parameters, ALL[name].card.macs) == COUNTS[name]


@pytest.mark.parametrize(("name", "options"), LANGUAGE)
def test_prefill_steps_and_ragged_prompts_agree_with_the_whole(name: str, options: dict[str, Any]) -> None:
    model = _build(name, options)
    tokens = torch.randint(11, (4, 7))
    given = _memory(model, 4)
    whole, end = model(tokens, **given)
    assert whole.shape == (4, 7, model.config.vocab_size)
    logits, state = model(tokens[:, :3], model.init_state(4, 7), **given)  # the start as generate() has it
    for t in range(3, 7):
        step, state = model(tokens[:, t : t + 1], state, **given)
        logits = torch.cat([logits, step], 1)
    _close(logits, whole)
    for got, wanted in zip(state, end, strict=True):
        assert torch.allclose(got, wanted, rtol=1e-10)
    lengths = torch.tensor([2, 7, 1, 4])
    padded = torch.where(torch.arange(7) < lengths[:, None], tokens, 0)
    ragged, state = model(padded, None, lengths, **given)
    for row, length in enumerate(lengths):
        _close(ragged[row, :length], whole[row, :length])
        going_on, _ = model(
            tokens[row : row + 1, length : length + 1] if length < 7 else tokens[row : row + 1, :1],
            model.select(state, torch.tensor([row])),
            **{key: model.select(memory, torch.tensor([row])) for key, memory in given.items()},
        )
        if length < 7:
            _close(going_on[0, 0], whole[row, length])


@pytest.mark.parametrize(("name", "options"), LANGUAGE)
def test_selected_rows_go_on_as_their_own(name: str, options: dict[str, Any]) -> None:
    model = _build(name, options)
    tokens, index = torch.randint(11, (3, 4)), torch.tensor([2, 2, 0, 1, 0])
    given = _memory(model, 3)
    _, state = model(tokens, **given)
    following = torch.randint(11, (3, 2))
    wanted, _ = model(following, state, **given)
    chosen = {key: model.select(memory, index) for key, memory in given.items()}
    got, after = model(following[index], model.select(state, index), **chosen)
    _close(got, wanted[index])
    assert type(after) is type(state)


def test_language_model_is_torchs_modules_in_a_row() -> None:
    model = _build("lstm-lm-small")
    peer = nn.LSTM(12, 10, 2, batch_first=True).double()
    peer.load_state_dict(model.recurrent.state_dict())
    tokens = torch.randint(17, (3, 6))
    out, (hidden, cell) = peer(model.embedding.weight[tokens])
    logits, state = model(tokens)
    _close(logits, out @ model.head.weight.T + model.head.bias)
    _close(state.hidden_BLH, hidden.transpose(0, 1))
    _close(state.cell_BLH, cell.transpose(0, 1))


def test_zarembas_initialisation_tying_and_dropout() -> None:
    model = _build("lstm-lm-medium", {"forget_bias": 1.0})
    for name, weight in model.named_parameters():
        if "bias_ih" not in name:
            assert 0.04 < weight.abs().max() <= 0.05, name
    forget = model.recurrent.bias_ih_l1[10:20]
    assert ((forget - 1).abs() <= 0.05).all()
    tokens = torch.randint(17, (2, 5))
    model.train()
    assert not torch.equal(model(tokens)[0], model(tokens)[0])
    tied = _build("lstm-lm-small", {"tied": True, "embedding_dim": 10})
    assert tied.embedding.weight is tied.head.weight
    assert sum(weight.numel() for weight in tied.parameters()) == 17 * 10 + 17 + 2 * 4 * 10 * 22


def test_truncated_bptt_carries_the_state_of_training() -> None:
    model = _build("gru-lm").train()
    tokens = torch.randint(17, (2, 8))
    whole, _ = model(tokens)
    first, state = model(tokens[:, :4])
    second, _ = model(tokens[:, 4:], type(state)(*(part.detach() for part in state)))
    _close(torch.cat([first, second], 1), whole)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("pool", ["last", "mean", "max"])
@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm", "lstm-peephole"])
def test_classifiers_do_not_see_padding(kind: str, pool: str, bidirectional: bool) -> None:
    model = _build("lstm-classifier", {"kind": kind, "pool": pool, "bidirectional": bidirectional, "num_layers": 2})
    tokens, lengths = torch.randint(17, (3, 6)), torch.tensor([6, 2, 3])
    logits = model(tokens, lengths)
    assert logits.shape == (3, 3)
    for row, length in enumerate(lengths):
        _close(logits[row], model(tokens[row : row + 1, :length])[0])
    embedding = model.embed(tokens, lengths)
    assert embedding.shape == (3, 10 if bidirectional else 5)
    model.reset_head(0)
    assert torch.equal(model(tokens, lengths), embedding)
    model.reset_head(4)
    assert model(tokens, lengths).shape == (3, 4)
    assert model.config.num_classes == 4


def test_pools_are_last_mean_and_maximum_of_the_outputs() -> None:
    tokens = torch.randint(17, (2, 6))
    for pool in ("last", "mean", "max"):
        model = _build("gru-classifier", {"pool": pool})
        out, _ = model.recurrent(model.embedding(tokens))
        wanted = {"last": out[:, -1], "mean": out.mean(1), "max": out.max(1).values}[pool]
        _close(model.embed(tokens), wanted)


def test_seq2seq_reads_the_source_from_its_end_and_starts_from_what_it_left() -> None:
    model, forward = _build("seq2seq"), _build("seq2seq", {"reverse_source": False})
    source, lengths = torch.randint(13, (2, 5)), torch.tensor([3, 5])
    turned = source.clone()
    turned[0, :3], turned[1] = source[0, :3].flip(0), source[1].flip(0)
    for one, other in zip(model.encode(source, lengths), forward.encode(turned, lengths), strict=True):
        _close(one, other)
    tokens = torch.randint(11, (2, 4))
    memory = model.encode(source, lengths)
    out, _ = model.decoder(model.embedding(tokens), tuple(memory))
    _close(model(tokens, memory=memory)[0], model.head(out))
    _close(model(tokens, source=source, source_lengths=lengths)[0], model.head(out))


def _bahdanau_by_hand(model: Any, tokens: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
    """Section 3 of the paper and its appendix A, one sentence, word by word."""
    h, end = model.encoder(model.source_embedding(source)[None])
    s = torch.tanh(model.start.weight @ end[0][0, 1])
    cell = nn.GRUCell(model.decoder.input_size, model.config.hidden_size).double()
    cell.load_state_dict({name.removesuffix("_l0"): weight for name, weight in model.decoder.state_dict().items()})
    W, U, v = model.attention.query.weight, model.attention.key.weight, model.attention.score.weight[0]
    logits, maps = [], []
    for token in tokens:
        y = model.embedding.weight[token]
        e = torch.stack([v @ torch.tanh(W @ s + U @ h_j) for h_j in h[0]])
        alpha = e.exp() / e.exp().sum()
        c = (alpha[:, None] * h[0]).sum(0)
        s = cell(torch.cat([y, c])[None], s[None])[0]
        t = model.readout(torch.cat([s, y, c]))
        t = torch.stack([torch.maximum(t[2 * j], t[2 * j + 1]) for j in range(len(t) // 2)])
        logits.append(model.head(t))
        maps.append(alpha)
    return torch.stack(logits), torch.stack(maps)


def _luong_by_hand(model: Any, tokens: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
    """Section 3 of the paper, one sentence, word by word."""
    h_s, (h, c) = model.encoder(model.source_embedding(source)[None])
    h, c, h_s, fed = h[:, 0], c[:, 0], h_s[0], torch.zeros(model.config.hidden_size, dtype=torch.float64)
    cell = nn.LSTMCell(model.decoder.input_size, model.config.hidden_size).double()
    cell.load_state_dict({name.removesuffix("_l0"): weight for name, weight in model.decoder.state_dict().items()})
    logits, maps = [], []
    for token in tokens:
        x = (
            torch.cat([model.embedding.weight[token], fed])
            if model.config.input_feeding
            else model.embedding.weight[token]
        )
        h, c = cell(x[None], (h, c))
        score = {
            "dot": lambda s, h_t=h[0]: h_t @ s,
            "general": lambda s, h_t=h[0]: h_t @ model.attention.key.weight @ s,
            "concat": lambda s, h_t=h[0]: (
                model.attention.score.weight[0]
                @ torch.tanh(
                    torch.cat([model.attention.query.weight, model.attention.key.weight], 1) @ torch.cat([h_t, s])
                )
            ),
        }[model.config.score]
        alpha = torch.softmax(torch.stack([score(s) for s in h_s]), 0)
        fed = torch.tanh(model.combine.weight @ torch.cat([alpha @ h_s, h[0]]))
        logits.append(model.head(fed))
        maps.append(alpha)
    return torch.stack(logits), torch.stack(maps)


@pytest.mark.parametrize(
    ("score", "input_feeding"),
    [("additive", True), *((score, fed) for score in ("dot", "general", "concat") for fed in (True, False))],
)
def test_attention_is_the_papers_and_does_not_see_padding(score: str, input_feeding: bool) -> None:
    model = _build("seq2seq-attention", {"score": score, "input_feeding": input_feeding})
    tokens, source, lengths = torch.randint(11, (2, 4)), torch.randint(13, (2, 6)), torch.tensor([3, 6])
    logits, _ = model(tokens, source=source, source_lengths=lengths)
    maps = model.attention_map(tokens, source=source, source_lengths=lengths)
    by_hand = _bahdanau_by_hand if score == "additive" else _luong_by_hand
    for row, length in enumerate(lengths):
        wanted, alignment = by_hand(model, tokens[row], source[row, :length])
        _close(logits[row], wanted)
        _close(maps[row, :, :length], alignment)
        assert not maps[row, :, length:].any()


@pytest.mark.parametrize("name", ALL)
def test_a_gradient_reaches_every_parameter(name: str) -> None:
    row = ALL[name]
    model = _build(name).train()
    out = model(**row.example(model.config, 2))  # type: ignore[misc]
    (out if isinstance(out, Tensor) else out[0]).square().sum().backward()
    for weight_name, weight in model.named_parameters():
        assert weight.grad is not None, weight_name
        assert weight.grad.any(), weight_name


def _refused(said: str, call: Any) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["gru-lm", "lstm-lm-small", "seq2seq", "seq2seq-attention"])
def test_bad_inputs_of_models_with_a_state(name: str) -> None:
    model = _build(name)
    tokens, given = torch.randint(11, (2, 3)), _memory(model, 2)
    _refused("got \\(0, 3\\)", lambda: model(tokens[:0], **given))
    _refused("got \\(2, 0\\)", lambda: model(tokens[:, :0], **given))
    _refused("got \\(2,\\)", lambda: model(tokens[:, 0], **given))
    _refused("whole numbers, got torch.float64", lambda: model(tokens.double(), **given))
    _refused("from 1 to 3, got 0", lambda: model(tokens, None, torch.tensor([3, 0]), **given))
    _refused("from 1 to 3, got 4", lambda: model(tokens, None, torch.tensor([4, 1]), **given))
    _refused("shape \\(2,\\)", lambda: model(tokens, None, torch.tensor([3]), **given))
    _refused("shape \\(2,\\)", lambda: model(tokens, None, torch.tensor([3.0, 1.0]), **given))
    _refused("hidden_BLH of the state .* another batch", lambda: model(tokens, model.init_state(3), **given))
    other = _build(name, {"hidden_size": 4})
    _refused("hidden_BLH of the state", lambda: model(tokens, other.init_state(2), **given))
    stranger = _build("lstm-lm-small" if name == "gru-lm" else "gru-lm")
    _refused("expected a state of type", lambda: model(tokens, stranger.init_state(2), **given))
    _refused("at least 1, got 0", lambda: model.init_state(0))


@pytest.mark.parametrize("name", DECODERS)
def test_bad_memories_and_sources(name: str) -> None:
    model = _build(name)
    tokens, source = torch.randint(11, (2, 3)), torch.randint(13, (2, 4))
    memory = model.encode(source)
    _refused("not neither", lambda: model(tokens))
    _refused("not both", lambda: model(tokens, memory=memory, source=source))
    lengths = torch.tensor([1, 2])
    _refused("source_lengths belong to source", lambda: model(tokens, memory=memory, source_lengths=lengths))
    _refused("of the memory .* another batch", lambda: model(tokens, memory=select_rows(memory, torch.tensor([0]))))
    _refused("expected a memory of type", lambda: model(tokens, memory=model.init_state(2)))
    _refused("source tokens from 1 to 4, got 5", lambda: model.encode(source, torch.tensor([5, 1])))
    _refused("source tokens of shape", lambda: model.encode(source[:0]))


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("lstm-lm-small", {"tied": True}, "tied needs"),
        ("lstm-lm-small", {"kind": "gru", "forget_bias": 1.0}, "forget_bias"),
        ("gru-lm", {"vocab_size": 0}, "at least 1"),
        ("gru-classifier", {"dropout": 1.0}, "dropout"),
        ("seq2seq", {"num_layers": 0}, "at least 1"),
    ],
)
def test_bad_options(name: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(Exception, match=said) as caught:
        _build(name, options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "options"), [("seq2seq-attention", {}), ("lstm-classifier", {"kind": "lstm-peephole"})]
)
def test_compiles_in_one_graph_with_gradients(name: str, options: dict[str, Any]) -> None:
    model = _build(name, options).float()
    torch.compiler.reset()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    for batch, time in ((3, 5), (2, 7)):
        given = {"tokens_BT": torch.randint(11, (batch, time)), "lengths": torch.tensor([time, 2, 1][:batch])}
        if name in DECODERS:
            given |= {"source": torch.randint(11, (batch, time + 1)), "source_lengths": torch.tensor([3, 4, 1][:batch])}
        got, wanted = (out if isinstance(out, Tensor) else out[0] for out in (compiled(**given), model(**given)))
        torch.testing.assert_close(got, wanted)
        weights = list(model.parameters())
        mine, theirs = (torch.autograd.grad(out.square().sum(), weights) for out in (got, wanted))
        for one, other in zip(mine, theirs, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    torch.compiler.reset()
