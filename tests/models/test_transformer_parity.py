"""Attention, blocks and models of the Transformer family against torch.nn's, weights copied, in float64."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lamina import registry
from lamina.layers.multi_head import MultiHeadAttention
from lamina.layers.transformer import BlockOptions, Stack
from lamina.models import transformer, transformer_classifier, transformer_lm

WIDTH, HEADS, HIDDEN, VOCAB = 16, 4, 24, 31
NAMES = {
    "self_attn.in_proj_": "attention.qkv.",
    "self_attn.out_proj.": "attention.out.",
    "multihead_attn.in_proj_": "cross.qkv.",
    "multihead_attn.out_proj.": "cross.out.",
    "linear1.": "expand.",
    "linear2.": "contract.",
}
NORMS = {False: ("attention_norm", "feed_forward_norm"), True: ("attention_norm", "cross_norm", "feed_forward_norm")}


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def tokens(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(VOCAB, shape, generator=torch.Generator().manual_seed(seed))


def randomised(model: nn.Module) -> nn.Module:
    """In evaluation mode, every weight of order one half: norms and biases, too."""
    generator = torch.Generator().manual_seed(7)
    model = model.double().eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator, dtype=torch.float64) * 0.3)
    return model


def copy(theirs: nn.Module, ours: nn.Module, prefix: str = "") -> None:
    """The weights of torch's encoder or decoder (layers, norm) into our stack; every one of ours is written."""
    state = {}
    for name, tensor in theirs.state_dict().items():
        for old, new in NAMES.items():
            name = name.replace(old, new)
        for number, norm in enumerate(NORMS["cross.qkv.weight" in "".join(ours.state_dict())], start=1):
            name = name.replace(f".norm{number}.", f".{norm}.")
        state[name.replace("layers.", "blocks.")] = tensor
    ours.load_state_dict(state)


def torch_stack(*, cross: bool, norm_first: bool, activation: str = "relu") -> nn.Module:
    kind = nn.TransformerDecoderLayer if cross else nn.TransformerEncoderLayer
    layer: Any = kind(WIDTH, HEADS, HIDDEN, dropout=0.0, activation=activation, batch_first=True, norm_first=norm_first)
    norm = nn.LayerNorm(WIDTH) if norm_first else None
    if cross:
        return randomised(nn.TransformerDecoder(layer, 2, norm))
    return randomised(nn.TransformerEncoder(layer, 2, norm, enable_nested_tensor=False))


def our_stack(theirs: nn.Module, *, cross: bool, norm_first: bool) -> Stack:
    options = BlockOptions(
        width=WIDTH,
        heads=HEADS,
        hidden=HIDDEN,
        norm="first" if norm_first else "last",
        activation="relu",
        dropout=0.0,
        attention_dropout=0.0,
    )
    stack = Stack(options, 2, cross=cross).double().eval()
    copy(theirs, stack)
    return stack


def agree(got: Tensor, wanted: Tensor) -> None:
    assert got.shape == wanted.shape
    assert float(((got - wanted).abs().max() / wanted.abs().max()).detach()) <= 1e-10


def padding(lengths: Tensor, longest: int) -> Tensor:
    """torch's convention: True where padded."""
    return torch.arange(longest) >= lengths[:, None]


LENGTHS = torch.tensor([5, 3, 1])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("form", ["self", "causal", "padded", "masked", "cross", "cross padded"])
def test_multi_head_attention(form: str, bias: bool) -> None:
    theirs: Any = randomised(nn.MultiheadAttention(WIDTH, HEADS, bias=bias, batch_first=True))
    ours = MultiHeadAttention(WIDTH, HEADS, bias=bias).double().eval()
    ours.load_state_dict(
        {name.replace("in_proj_", "qkv.").replace("out_proj", "out"): t for name, t in theirs.state_dict().items()}
    )
    x, y = normal(3, 5, WIDTH).requires_grad_(), normal(3, 7, WIDTH, seed=1).requires_grad_()
    lengths = torch.tensor([7, 4, 1]) if form.startswith("cross") else LENGTHS
    source = y if form.startswith("cross") else x
    hidden = padding(lengths, source.shape[1])
    hides = torch.rand(5, 5, generator=torch.Generator().manual_seed(3)) < 0.4
    hides.fill_diagonal_(False)
    later = torch.ones(5, 5, dtype=torch.bool).triu(1)
    attn_mask = {"causal": later, "masked": hides}.get(form)
    wanted, map_ = theirs(
        x,
        source,
        source,
        key_padding_mask=hidden if "padded" in form else None,
        attn_mask=attn_mask,
        average_attn_weights=False,
    )
    mask = ~hides if form == "masked" else ~hidden[:, None, None] if "padded" in form else None
    memory = ours.keys_values(y) if form.startswith("cross") else None
    got = ours(x, memory, mask=mask, causal=form == "causal")
    agree(got, wanted)
    mapped, attn_BHTS = ours.attend(x, memory, mask=mask, causal=form == "causal", need_map=True)
    agree(mapped, wanted)
    assert attn_BHTS is not None
    agree(attn_BHTS, map_)
    inputs = [x, *([y] if memory else [])]
    for ours_grad, theirs_grad in zip(
        torch.autograd.grad(got.square().sum(), [*inputs, ours.qkv.weight, ours.out.weight]),
        torch.autograd.grad(wanted.square().sum(), [*inputs, theirs.in_proj_weight, theirs.out_proj.weight]),
        strict=True,
    ):
        agree(ours_grad, theirs_grad)


@pytest.mark.parametrize("norm_first", [False, True])
def test_encoder_stack(norm_first: bool) -> None:
    theirs = torch_stack(cross=False, norm_first=norm_first)
    ours = our_stack(theirs, cross=False, norm_first=norm_first)
    x = normal(3, 5, WIDTH)
    hidden = padding(LENGTHS, 5)
    agree(ours(x), theirs(x))
    agree(ours(x, mask=~hidden[:, None, None]), theirs(x, src_key_padding_mask=hidden))
    later = torch.ones(5, 5, dtype=torch.bool).triu(1)
    agree(ours(x, causal=True), theirs(x, mask=later))


@pytest.mark.parametrize("norm_first", [False, True])
def test_decoder_stack(norm_first: bool) -> None:
    theirs = torch_stack(cross=True, norm_first=norm_first)
    ours = our_stack(theirs, cross=True, norm_first=norm_first)
    x, states = normal(3, 5, WIDTH), normal(3, 7, WIDTH, seed=1)
    hidden = padding(torch.tensor([7, 2, 1]), 7)
    later = torch.ones(5, 5, dtype=torch.bool).triu(1)
    got = ours(x, causal=True, memory=ours.precompute_memory(states, ~hidden))
    agree(got, theirs(x, states, tgt_mask=later, memory_key_padding_mask=hidden))
    with pytest.raises(ValueError, match="attends to a memory"):
        ours(x, causal=True)


@pytest.mark.parametrize("norm_first", [False, True])
def test_the_whole_of_nn_transformer(norm_first: bool) -> None:
    """Encoder, memory and decoder of one module; where it normalises last, it has two normalisations more than ours."""
    theirs: Any = randomised(
        nn.Transformer(WIDTH, HEADS, 2, 2, HIDDEN, dropout=0.0, batch_first=True, norm_first=norm_first)
    )
    if not norm_first:
        theirs.encoder.norm = theirs.decoder.norm = None
    encoder = our_stack(theirs.encoder, cross=False, norm_first=norm_first)
    decoder = our_stack(theirs.decoder, cross=True, norm_first=norm_first)
    source, target = normal(3, 7, WIDTH), normal(3, 5, WIDTH, seed=1)
    hidden, own = padding(torch.tensor([7, 2, 1]), 7), padding(LENGTHS, 5)
    later = torch.ones(5, 5, dtype=torch.bool).triu(1)
    wanted = theirs(
        source,
        target,
        tgt_mask=later,
        src_key_padding_mask=hidden,
        memory_key_padding_mask=hidden,
        tgt_key_padding_mask=own,
        tgt_is_causal=False,
    )
    memory = decoder.precompute_memory(encoder(source, mask=~hidden[:, None, None]), ~hidden)
    got = decoder(target, causal=True, memory=memory)
    for row, length in enumerate(LENGTHS):  # at its own padding each has what it likes
        agree(got[row, :length], wanted[row, :length])


@pytest.mark.parametrize(
    ("width", "heads", "hidden", "count"), [(512, 8, 2048, 44_138_496), (1024, 16, 4096, 176_357_376)]
)
def test_the_size_of_nn_transformer(width: int, heads: int, hidden: int, count: int) -> None:
    with torch.device("meta"):
        theirs = nn.Transformer(width, heads, 6, 6, hidden)
        row = transformer.VARIANTS["transformer-base" if width == 512 else "transformer-big"]
        ours: Any = registry.build(row, row.config)
    sizes = [sum(weight.numel() for weight in part.parameters()) for part in (theirs, ours.encoder, ours.decoder)]
    assert sizes[0] - 4 * width == sizes[1] + sizes[2] == count


def sinusoids(length: int, width: int) -> Tensor:
    """The paper's formula, number by number."""
    return torch.tensor(
        [
            [(math.cos if i % 2 else math.sin)(p / 10000 ** (2 * (i // 2) / width)) for i in range(width)]
            for p in range(length)
        ],
        dtype=torch.float64,
    )


def build(module: Any, name: str, **options: Any) -> Any:
    row = module.VARIANTS[name]
    small = {"vocab_size": VOCAB, "layers": 2, "width": WIDTH, "heads": HEADS, "hidden": HIDDEN}
    return randomised(registry.build(row, registry.configure(row, {**small, **options})))


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("tied", [True, False])
def test_transformer(norm_first: bool, tied: bool) -> None:
    own = {} if tied else {"source_vocab_size": VOCAB + 4}
    ours = build(transformer, "transformer-base", norm="first" if norm_first else "last", tied=tied, **own)
    encoder, decoder = (torch_stack(cross=cross, norm_first=norm_first) for cross in (False, True))
    copy(encoder, ours.encoder)
    copy(decoder, ours.decoder)
    source, target = tokens(3, 7, seed=1), tokens(3, 5)
    hidden = padding(torch.tensor([7, 2, 1]), 7)
    later = torch.ones(5, 5, dtype=torch.bool).triu(1)
    embedding = ours.tokens.weight
    source_embedding = embedding if tied else ours.source_tokens.weight
    states = encoder(source_embedding[source] * WIDTH**0.5 + sinusoids(7, WIDTH), src_key_padding_mask=hidden)
    x = embedding[target] * WIDTH**0.5 + sinusoids(5, WIDTH)
    x = decoder(x, states, tgt_mask=later, memory_key_padding_mask=hidden)
    wanted = F.linear(x, embedding if tied else ours.head.weight)
    got, state = ours(target, source=source, source_lengths=torch.tensor([7, 2, 1]))
    assert state is None
    agree(got, wanted)
    weights = [embedding, ours.encoder.blocks[0].attention.qkv.weight, ours.decoder.blocks[1].cross.qkv.weight]
    theirs = [
        embedding,
        encoder.get_parameter("layers.0.self_attn.in_proj_weight"),
        decoder.get_parameter("layers.1.multihead_attn.in_proj_weight"),
    ]
    ours_grads = torch.autograd.grad(got.square().sum(), weights)
    theirs_grads = torch.autograd.grad(wanted.square().sum(), theirs)
    for ours_grad, theirs_grad in zip(ours_grads, theirs_grads, strict=True):
        agree(ours_grad, theirs_grad)


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("positions", ["learned", "sinusoidal"])
@pytest.mark.parametrize("tied", [True, False])
def test_transformer_lm(norm_first: bool, positions: str, tied: bool) -> None:
    ours = build(
        transformer_lm,
        "transformer-lm",
        norm="first" if norm_first else "last",
        activation="relu",
        positions=positions,
        tied=tied,
        context=9,
    )
    theirs = torch_stack(cross=False, norm_first=norm_first)
    copy(theirs, ours.stack)
    place = ours.positions.weight[:5] if positions == "learned" else sinusoids(5, WIDTH)
    x = theirs(ours.tokens.weight[tokens(3, 5)] + place, mask=torch.ones(5, 5, dtype=torch.bool).triu(1))
    agree(ours(tokens(3, 5))[0], F.linear(x, ours.tokens.weight if tied else ours.head.weight))


@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("pool", ["mean", "max"])
def test_transformer_classifier(norm_first: bool, pool: str) -> None:
    ours = build(
        transformer_classifier,
        "transformer-classifier",
        norm="first" if norm_first else "last",
        activation="relu",
        pool=pool,
        num_classes=3,
        context=9,
    )
    theirs = torch_stack(cross=False, norm_first=norm_first)
    copy(theirs, ours.stack)
    states = theirs(ours.tokens.weight[tokens(3, 5)] + ours.positions.weight[:5])
    pooled = states.mean(1) if pool == "mean" else states.amax(1)
    agree(ours(tokens(3, 5)), F.linear(pooled, ours.head.weight, ours.head.bias))
