"""The Transformer and the Transformer classifier: counts, memory, padding, options, compiling."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lamina import registry
from lamina.layers.positions import LearnedPositions, SinusoidalPositions, position_layer
from lamina.layers.transformer import TransformerBlock
from lamina.models import gpt2, transformer, transformer_classifier, transformer_lm
from lamina.models.transformer import Transformer, TransformerConfig
from lamina.models.transformer_classifier import TransformerClassifierConfig
from lamina.models.transformer_lm import TransformerLMConfig

COUNTS = [  # name, parameters, layers, width, hidden, vocabulary
    ("transformer-small", 7_577_600, 3, 256, 1024, 8_000),
    ("transformer-base", 63_082_496, 6, 512, 2048, 37_000),
    ("transformer-big", 214_245_376, 6, 1024, 4096, 37_000),
]


def build(row: Any, dtype: torch.dtype = torch.float64, **options: Any) -> Any:
    torch.manual_seed(0)
    model = registry.build(row, registry.configure(row, {**row.small, **options}))
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.3 * torch.randn_like(weight))
    return model.to(dtype).eval()


def base(**options: Any) -> Any:
    return build(transformer.VARIANTS["transformer-base"], **options)


def classifier(**options: Any) -> Any:
    return build(transformer_classifier.VARIANTS["transformer-classifier"], **options)


def tokens(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(31, shape, generator=torch.Generator().manual_seed(seed))


def size(model: nn.Module) -> int:
    return sum(weight.numel() for weight in model.parameters())


@pytest.mark.parametrize(("name", "parameters", "layers", "width", "hidden", "vocab"), COUNTS)
def test_counts(name: str, parameters: int, layers: int, width: int, hidden: int, vocab: int) -> None:
    row = transformer.VARIANTS[name]
    with torch.device("meta"):
        model = Transformer(row.config)
    assert parameters == row.card.parameters
    square = width**2 + width
    feed_forward = 2 * width * hidden + hidden + width
    encoder, decoder = 4 * square + feed_forward + 4 * width, 8 * square + feed_forward + 6 * width
    assert [size(model.encoder), size(model.decoder)] == [layers * encoder, layers * decoder]
    assert parameters == layers * (encoder + decoder) + vocab * width
    length = 64  # of source and target: 4 projections of each attention, its scores and sums, the feed-forward layers
    attention = 4 * width**2 * length + 2 * length**2 * width
    wanted = layers * (3 * attention + 2 * 2 * width * hidden * length) + length * width * vocab
    assert wanted == row.card.macs
    assert row.card.input == (length,)


def test_layer_counts_of_the_paper() -> None:
    for name, encoder, decoder, both in (
        ("transformer-base", 3_152_384, 4_204_032, 44_138_496),
        ("transformer-big", 12_596_224, 16_796_672, 176_357_376),
    ):
        config = transformer.VARIANTS[name].config
        with torch.device("meta"):
            model = Transformer(config)
            first = registry.build(
                transformer.VARIANTS[name], registry.configure(transformer.VARIANTS[name], {"norm": "first"})
            )
        assert size(model.encoder.blocks[0]) == encoder
        assert size(model.decoder.blocks[0]) == decoder
        assert size(model.encoder) + size(model.decoder) == both
        assert size(first) - size(model) == 4 * config.width  # the last normalisations, as nn.Transformer has them


def test_counts_of_the_small_models() -> None:
    for module, name, parameters in (
        (transformer_lm, "transformer-lm", 4 * (12 * 128**2 + 13 * 128) + 2 * 128 + (256 + 256) * 128),
        (transformer_classifier, "transformer-classifier", 2 * (12 * 128**2 + 13 * 128) + 258 + 8256 * 128 + 256),
    ):
        row: Any = module.VARIANTS[name]  # type: ignore[attr-defined]
        assert parameters == row.card.parameters
        blocks = row.config.layers * (12 * 128**2 * 256 + 2 * 256**2 * 128)
        assert row.card.macs == blocks + (256 * 128 * 256 if module is transformer_lm else 128 * 2)
        assert row.card.input == (256,)
    untied = TransformerLMConfig(tied=False)
    assert size(transformer_lm.TransformerLM(untied)) == 858_880 + 256 * 128


def test_sinusoidal_positions() -> None:
    width, layer = 12, SinusoidalPositions(12)
    table = layer(torch.arange(3000), torch.float64)
    position = torch.arange(3000, dtype=torch.float64)[:, None]
    rate = 10000 ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    torch.testing.assert_close(table[:, 0::2], torch.sin(position * rate), rtol=0, atol=1e-11)
    torch.testing.assert_close(table[:, 1::2], torch.cos(position * rate), rtol=0, atol=1e-11)
    for shift in (1, 17):  # PE(p + k) is a rotation of PE(p)
        sine, cosine = torch.sin(shift * rate), torch.cos(shift * rate)
        even, odd = table[:-shift, 0::2], table[:-shift, 1::2]
        torch.testing.assert_close(table[shift:, 0::2], even * cosine + odd * sine, rtol=0, atol=1e-10)
        torch.testing.assert_close(table[shift:, 1::2], odd * cosine - even * sine, rtol=0, atol=1e-10)
    assert layer(torch.tensor([[3, 1], [0, 2]])).shape == (2, 2, width)
    half = layer(torch.tensor([2051]), torch.bfloat16)  # a bfloat16 counts in steps of 16 there
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.double(), table[2051:2052], rtol=0, atol=5e-3)
    with pytest.raises(ValueError, match="even width, got 7"):
        SinusoidalPositions(7)
    learned = position_layer("learned", 5, 4)
    assert isinstance(learned, LearnedPositions)
    assert torch.equal(learned(torch.tensor([4, 0])), learned.weight[[4, 0]])


def test_a_memory_is_what_forward_makes_of_the_source() -> None:
    model, source, target = base(), tokens(3, 7, seed=1), tokens(3, 5)
    lengths = torch.tensor([7, 3, 1])
    with torch.no_grad():
        memory = model.encode(source, lengths)
        assert torch.equal(model(target, memory=memory)[0], model(target, source=source, source_lengths=lengths)[0])
    assert memory.states_BSC.shape == (3, 7, 16)
    assert memory.real_BS.sum(1).tolist() == [7, 3, 1]
    assert memory.keys_BLHSD.shape == memory.values_BLHSD.shape == (3, 2, 2, 7, 8)


def test_padding_of_the_source_has_no_influence() -> None:
    model, source, target = base(), tokens(3, 7, seed=1), tokens(3, 5)
    lengths = torch.tensor([7, 3, 1])
    spoilt = source.clone()
    spoilt[1, 3:], spoilt[2, 1:] = -100, 10**6
    with torch.no_grad():
        wanted, _ = model(target, source=source, source_lengths=lengths)
        assert torch.equal(model(target, source=spoilt, source_lengths=lengths)[0], wanted)
        alone, _ = model(target[1:2], source=source[1:2, :3])
        torch.testing.assert_close(wanted[1:2], alone, rtol=1e-10, atol=1e-10)
        assert not torch.allclose(model(target, source=source)[0][1], wanted[1])


def test_errors_of_encoder_and_decoder() -> None:
    model, source, target = base(), tokens(3, 7, seed=1), tokens(3, 5)
    memory = model.encode(source)
    cases: list[tuple[dict[str, Any], str]] = [
        ({}, "either a memory, the result of encode, or a source"),
        ({"memory": memory, "source": source}, "either a memory, the result of encode, or a source"),
        ({"memory": memory, "source_lengths": torch.tensor([1, 1, 1])}, "source_lengths belong to a source"),
        ({"source": source[:2]}, "the source has 2 rows, the tokens have 3"),
        ({"memory": model.encode(source[:2])}, "another batch or model"),
        ({"memory": base(layers=1).encode(source)}, "another batch or model"),
        ({"memory": memory.states_BSC}, "memory of type Memory, got Tensor"),
        ({"source": source, "source_lengths": torch.tensor([7, 8, 1])}, "source tokens from 1 to 7, got 8"),
        ({"source": source + 31}, "source tokens from 0 to 30"),
    ]
    for given, said in cases:
        with pytest.raises(ValueError, match=said) as caught:
            model(target, **given)
        assert "\n" not in str(caught.value)


def test_embeddings_are_one_matrix_where_tied() -> None:
    tied, apart = base(), base(tied=False, source_vocab_size=40)
    assert [name for name, _ in tied.named_parameters() if "tokens" in name or "head" in name] == ["tokens.weight"]
    assert apart.source_tokens.weight.shape == (40, 16)
    with torch.no_grad():
        x = torch.tensor([[3, 1, 4]])
        before = [m(x, source=x)[0] for m in (tied, apart)]
        for model in (tied, apart):
            model.tokens.weight[30] += 1  # a token of neither source nor target
        after = [m(x, source=x)[0] for m in (tied, apart)]
    assert (before[0] != after[0]).any(0).any(0).nonzero().flatten().tolist() == [30]
    assert torch.equal(before[1], after[1])


def test_first_weights_of_the_transformer() -> None:
    config = TransformerConfig(vocab_size=2000, layers=1, width=128, heads=4, hidden=256)
    model = Transformer(config)
    assert float(model.tokens.weight.detach().std()) == pytest.approx(128**-0.5, rel=0.02)
    for part in model.modules():
        if isinstance(part, nn.Linear):
            bound = (6 / sum(part.weight.shape)) ** 0.5
            assert 0.98 * bound < float(part.weight.detach().abs().max()) <= bound
            assert not part.bias.any()


@pytest.mark.parametrize("pool", ["mean", "max"])
@pytest.mark.parametrize("positions", ["learned", "sinusoidal"])
def test_padding_has_no_influence_on_the_classifier(pool: str, positions: str) -> None:
    model, x = classifier(pool=pool, positions=positions, num_classes=3), tokens(3, 7)
    lengths = torch.tensor([7, 3, 1])
    spoilt = x.clone()
    spoilt[1, 3:], spoilt[2, 1:] = -1, 99
    with torch.no_grad():
        wanted = model(x, lengths)
        assert wanted.shape == (3, 3)
        assert torch.equal(model(spoilt, lengths), wanted)
        for row, count in enumerate(lengths.tolist()):
            torch.testing.assert_close(model(x[row : row + 1, :count])[0], wanted[row], rtol=1e-10, atol=1e-10)
        assert not torch.allclose(model(x)[1], wanted[1])


def test_the_classifiers_head() -> None:
    model, x = classifier(), tokens(2, 5)
    with torch.no_grad():
        embedding = model.embed(x)
        model.reset_head(7)
        assert model(x).shape == (2, 7)
        assert model.config.num_classes == 7
        model.reset_head(0)
        assert torch.equal(model(x), embedding)
    assert embedding.shape == (2, 16)
    for given, said in (((tokens(2, 13),), "context of 12"), ((x, torch.tensor([0, 5])), "from 1 to 5, got 0")):
        with pytest.raises(ValueError, match=said):
            model(*given)


def test_self_attention_sees_no_order_without_positions() -> None:
    block = build_block()
    x = torch.randn(2, 6, 16, dtype=torch.float64)
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    torch.testing.assert_close(block(x[:, order]), block(x)[:, order], rtol=1e-10, atol=1e-10)


def build_block() -> TransformerBlock:
    block = base().encoder.blocks[0]
    assert isinstance(block, TransformerBlock)
    return block


def test_dropout_acts_in_training_alone() -> None:
    x = tokens(2, 6)
    for options in ({"dropout": 0.5}, {"dropout": 0.0, "attention_dropout": 0.5}):
        for model, given in ((base(**options), {"source": x}), (classifier(**options), {})):
            with torch.no_grad():
                outs = [torch.cat([t.flatten() for t in _tensors(model(x, **given))]) for _ in range(2)]
                assert torch.equal(*outs)
                noisy = [torch.cat([t.flatten() for t in _tensors(model.train()(x, **given))]) for _ in range(2)]
                assert not torch.allclose(*noisy)


def _tensors(out: Any) -> list[Tensor]:
    return [out] if isinstance(out, Tensor) else [part for part in out if isinstance(part, Tensor)]


@pytest.mark.parametrize(
    ("config", "options", "said"),
    [
        (TransformerConfig, {"heads": 7}, "the width 512 is not divisible by 7 heads"),
        (TransformerConfig, {"width": 15, "heads": 3}, "even width, got 15"),
        (TransformerConfig, {"source_vocab_size": 9}, "cannot serve 9 source and 37000 target tokens"),
        (TransformerConfig, {"layers": 0}, "must be at least 1"),
        (TransformerConfig, {"norm": "middle"}, "'first' or 'last', got 'middle'"),
        (TransformerLMConfig, {"positions": "sinusoidal", "width": 15, "heads": 3}, "even width, got 15"),
        (TransformerLMConfig, {"context": 0}, "must be at least 1"),
        (TransformerLMConfig, {"hidden": 0}, "hidden must be at least 1"),
        (TransformerClassifierConfig, {"num_classes": -1}, "num_classes at least 0"),
        (TransformerClassifierConfig, {"pool": "sum"}, "'mean' or 'max', got 'sum'"),
        (TransformerClassifierConfig, {"dropout": 1.0}, r"dropout must lie in \[0, 1\)"),
    ],
)
def test_bad_options(config: Any, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        config(**options)
    assert "\n" not in str(caught.value)


ROWS = {
    "transformer": transformer.VARIANTS["transformer-base"],
    "transformer-classifier": transformer_classifier.VARIANTS["transformer-classifier"],
    "transformer-lm": transformer_lm.VARIANTS["transformer-lm"],
    "gpt2": gpt2.VARIANTS["gpt2"],
}


@pytest.mark.parametrize("name", ROWS)
def test_a_gradient_reaches_every_weight_also_compiled(name: str) -> None:
    row = ROWS[name]
    model = build(row, layers=1, dropout=0.0, attention_dropout=0.0).train()
    given = row.example(model.config, 3)  # type: ignore[misc]
    weights = dict(model.named_parameters())
    torch.compiler.reset()
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    plain, graph = (torch.autograd.grad(_loss(m(**given)), list(weights.values())) for m in (model, compiled))
    for weight, one, other in zip(weights, plain, graph, strict=True):
        assert one.any(), weight
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)
    torch.compiler.reset()


def _loss(out: Any) -> Tensor:
    first = _tensors(out)[0]
    scale = torch.randn(first.shape, generator=torch.Generator().manual_seed(2), dtype=first.dtype)
    return (first * scale).sum()
