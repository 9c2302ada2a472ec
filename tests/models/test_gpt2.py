"""GPT-2: counts, a forward written from Hugging Face's names, its files, first weights."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from lamina import registry
from lamina.errors import UsageError
from lamina.models.gpt2 import GPT2, VARIANTS, GPT2Config
from lamina.weights.loading import load_weights

COUNTS = [
    ("gpt2", 124_439_808, 12, 768, 12),
    ("gpt2-medium", 354_823_168, 24, 1024, 16),
    ("gpt2-large", 774_030_080, 36, 1280, 20),
    ("gpt2-xl", 1_557_611_200, 48, 1600, 25),
]


def small(**options: Any) -> GPT2:
    torch.manual_seed(0)
    row = VARIANTS["gpt2"]
    model = registry.build(row, registry.configure(row, {**row.small, **options}))
    assert isinstance(model, GPT2)
    return model.eval()


@pytest.mark.parametrize(("name", "parameters", "layers", "width", "heads"), COUNTS)
def test_counts(name: str, parameters: int, layers: int, width: int, heads: int) -> None:
    row = VARIANTS[name]
    assert row.config == GPT2Config(layers=layers, width=width, heads=heads)
    # a layer's four projections and two feed-forward matrices, its biases and normalisations; positions; tied tokens
    by_hand = layers * (12 * width**2 + 13 * width) + 2 * width + 1024 * width + 50_257 * width
    assert by_hand == parameters == row.card.parameters
    # four projections and two feed-forward matrices of 4 C x C a token; scores and sums over all T x T; the output
    macs = layers * (12 * width**2 * 1024 + 2 * 1024**2 * width) + 1024 * width * 50_257
    assert macs == row.card.macs
    assert row.card.input == (1024,)
    assert row.example is not None
    assert row.example(row.config, 2)["tokens_BT"].shape == (2, 1024)


def hugging_face_state(layers: int, width: int, vocab: int, context: int) -> dict[str, Tensor]:
    """A state dict with the names and shapes of transformers' GPT2Model, random."""
    generator = torch.Generator().manual_seed(5)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64) * 0.3

    state = {"wte.weight": random(vocab, width), "wpe.weight": random(context, width)}
    for block in range(layers):
        for name, rows, columns in (
            ("attn.c_attn", width, 3 * width),
            ("attn.c_proj", width, width),
            ("mlp.c_fc", width, 4 * width),
            ("mlp.c_proj", 4 * width, width),
        ):
            state[f"h.{block}.{name}.weight"] = random(rows, columns)  # Conv1D: (in, out)
            state[f"h.{block}.{name}.bias"] = random(columns)
        for name in ("ln_1", "ln_2"):
            state[f"h.{block}.{name}.weight"] = 1 + random(width)
            state[f"h.{block}.{name}.bias"] = random(width)
    state["ln_f.weight"], state["ln_f.bias"] = 1 + random(width), random(width)
    return state


def hugging_face_forward(state: dict[str, Tensor], heads: int, tokens: Tensor) -> Tensor:
    """GPT2LMHeadModel, plainly: x @ W + b, heads one by one, the mask by hand, GELU by its tanh formula."""

    def norm(x: Tensor, name: str) -> Tensor:
        mean, variance = x.mean(-1, keepdim=True), x.var(-1, unbiased=False, keepdim=True)
        return (x - mean) / (variance + 1e-5).sqrt() * state[f"{name}.weight"] + state[f"{name}.bias"]

    def conv1d(x: Tensor, name: str) -> Tensor:
        return x @ state[f"{name}.weight"] + state[f"{name}.bias"]

    length = tokens.shape[1]
    x = state["wte.weight"][tokens] + state["wpe.weight"][:length]
    width = x.shape[-1]
    for block in range(sum(name.endswith("attn.c_attn.weight") for name in state)):
        q, k, v = conv1d(norm(x, f"h.{block}.ln_1"), f"h.{block}.attn.c_attn").split(width, -1)
        outs = []
        for head in range(heads):
            part = slice(head * width // heads, (head + 1) * width // heads)
            scores = q[..., part] @ k[..., part].transpose(1, 2) / math.sqrt(width / heads)
            scores = scores.masked_fill(torch.ones(length, length).triu(1) > 0, -math.inf)
            outs.append(scores.softmax(-1) @ v[..., part])
        x = x + conv1d(torch.cat(outs, -1), f"h.{block}.attn.c_proj")
        h = conv1d(norm(x, f"h.{block}.ln_2"), f"h.{block}.mlp.c_fc")
        h = 0.5 * h * (1 + torch.tanh(math.sqrt(2 / math.pi) * (h + 0.044715 * h**3)))
        x = x + conv1d(h, f"h.{block}.mlp.c_proj")
    return norm(x, "ln_f") @ state["wte.weight"].T


@pytest.mark.parametrize("form", ["published", "old", "saved"])
def test_hugging_face_files_load_and_outputs_agree(form: str, tmp_path: Path) -> None:
    model = small(layers=3, width=12, heads=3, context=11).double()
    state = hugging_face_state(3, 12, 31, 11)
    tokens = torch.randint(31, (2, 9), generator=torch.Generator().manual_seed(1))
    file = dict(state)
    if form != "published":  # masks of older versions, in those with a head under its prefix; the head is the embedding
        masks = {f"h.{block}.attn.bias": torch.ones(1, 1, 11, 11, dtype=torch.uint8) for block in range(3)}
        file |= masks | {f"h.{block}.attn.masked_bias": torch.tensor(-1e4) for block in range(3)}
    if form == "saved":
        file = {f"transformer.{name}": tensor for name, tensor in file.items()}
        file["lm_head.weight"] = state["wte.weight"].clone()
    save_file(file, tmp_path / "model.safetensors")
    loaded = load_weights(model, tmp_path / "model.safetensors")
    assert loaded.count == len(state) == 2 + 12 * 3 + 2
    assert loaded.kept == ()
    wanted = hugging_face_forward(state, 3, tokens)
    with torch.no_grad():
        got, _ = model(tokens)
    assert float((got - wanted).abs().max() / wanted.abs().max()) <= 1e-10
    single = model.float()
    with torch.no_grad():
        assert float((single(tokens)[0] - wanted).abs().max() / wanted.abs().max()) <= 1e-5


@pytest.mark.parametrize(
    ("size", "said"),
    [
        ((2, 12, 31, 11), r"missing h\.2\.attn\.c_attn\.weight"),
        ((4, 12, 31, 11), r"h\.3\.attn\.c_attn\.bias"),
        ((3, 24, 31, 11), r"misshapen h\.0\.attn\.c_attn\.bias .* is 72, not 36"),
        ((3, 12, 30, 11), r"wte\.weight .*30"),
        ((3, 12, 31, 22), r"wpe\.weight .*22"),
    ],
)
def test_a_file_of_another_size_is_refused(size: tuple[int, ...], said: str, tmp_path: Path) -> None:
    """Blocks, width, vocabulary, context: one line, and the model stays as it was."""
    save_file(hugging_face_state(*size), tmp_path / "model.safetensors")
    model = small(layers=3, width=12, heads=3, context=11).double()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(UsageError, match=said) as caught:
        load_weights(model, tmp_path / "model.safetensors")
    assert "\n" not in str(caught.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_first_weights() -> None:
    model = small(width=128, layers=8, vocab_size=500, context=64)
    for name, part in model.named_modules():
        if isinstance(part, (nn.Linear, nn.Embedding)):
            wanted = 0.02 / 4 if name.endswith(("attention.out", "contract")) else 0.02  # sqrt(2 * 8) = 4
            assert float(part.weight.detach().std()) == pytest.approx(wanted, rel=0.05), name
        if isinstance(part, nn.Linear):
            assert not part.bias.any()


def test_dropout_acts_in_training_alone() -> None:
    tokens = torch.arange(10)[None]
    for options in ({"dropout": 0.5, "attention_dropout": 0.0}, {"dropout": 0.0, "attention_dropout": 0.5}):
        model = small(**options)
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(0.2 * torch.randn_like(weight))
            assert torch.equal(model(tokens)[0], model(tokens)[0])
            assert not torch.allclose(model.train()(tokens)[0], model(tokens)[0])
    model = small(dropout=0.0, attention_dropout=0.0).train()
    assert torch.equal(model(tokens)[0], model(tokens)[0])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"width": 770}, "the width 770 is not divisible by 12 heads"),
        ({"layers": 0}, "vocab_size, context and layers must be at least 1"),
        ({"heads": 0}, "width, heads and hidden must be at least 1"),
        ({"dropout": 1.0}, r"dropout must lie in \[0, 1\), got 1.0"),
        ({"attention_dropout": -0.1}, "attention_dropout must lie in"),
    ],
)
def test_bad_options(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        GPT2Config(**options)
