"""Forecasters: exact counts, the authors' equations with the same weights, and what each model is said to be."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.models.series_references import PlainBlock, PlainDLinear, PlainNBeats, PlainPatchTST, PlainTCN
from torch import Tensor, nn

import lamina
from lamina.errors import UsageError
from lamina.layers.causal_convolution import receptive_field
from lamina.layers.reversible_norm import ReversibleNorm
from lamina.layers.series.distributions import DISTRIBUTIONS


def count(model: nn.Module) -> int:
    return sum(weight.numel() for weight in model.parameters())


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("linear-forecaster", {}, 9_312),
        ("nlinear", {}, 9_312),
        ("dlinear", {}, 18_624),
        ("dlinear", {"context": 336}, 64_704),
        ("dlinear", {"context": 336, "channels": 1}, 64_704),
        ("rlinear", {}, 9_326),
        ("patchtst", {}, 35_182),
        ("patchtst", {"context": 336}, 81_742),
        ("patchtst", {"context": 512}, 115_886),
        ("patchtst", {"context": 336, "normalisation": "none"}, 81_728),
        ("nbeats", {}, 28_083_840),
        ("nbeats", {"blocks": 1}, 936_128),
        ("nbeats", {"blocks": 3, "hidden_size": 128}, 260_160),
        ("nbeats-interpretable", {}, 13_404_870),
        ("nbeats-interpretable", {"horizon": 24}, 13_109_814),
    ],
)
def test_parameters_are_those_of_the_papers(name: str, options: dict[str, Any], expected: int) -> None:
    with torch.device("meta"):
        assert count(lamina.create_model(name, **options)) == expected


def test_the_blocks_of_a_tcn() -> None:
    assert count(lamina.create_model("tcn").blocks) == 29_216
    assert (receptive_field(3, 5), receptive_field(7, 8)) == (125, 3_061)


@pytest.mark.parametrize(("context", "patches"), [(96, 12), (336, 42), (512, 64), (16, 2), (20, 2), (23, 2), (24, 3)])
def test_the_number_of_patches(context: int, patches: int) -> None:
    model = lamina.create_model("patchtst", context=context)
    assert model.config.patches == len(model.positions) == patches
    assert model.eval()(torch.randn(2, context, 7)).shape == (2, 96, 7)


def equal(model: nn.Module, plain: nn.Module, x: Tensor, expected: Tensor | None = None) -> None:
    """The authors' state dict loads, and both compute the same."""
    for buffer in plain.buffers():
        if buffer.is_floating_point():
            buffer.copy_(torch.rand_like(buffer) + 0.5)
    lamina.load_weights(model, plain.state_dict())
    model, plain, x = model.double().eval(), plain.double().eval(), x.double()
    with torch.no_grad():
        wanted = plain(x) if expected is None else expected
        assert (model(x) - wanted).abs().max() <= 1e-10 * wanted.abs().max()


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize(("L", "H", "C"), [(40, 6, 3), (7, 11, 1)])
def test_dlinear_is_the_plain_one(L: int, H: int, C: int) -> None:
    equal(lamina.create_model("dlinear", context=L, horizon=H, channels=C), PlainDLinear(L, H), torch.randn(5, L, C))


@pytest.mark.parametrize(("L", "H", "levels", "k"), [(30, 4, 3, 3), (12, 6, 2, 5)])
def test_tcn_is_the_plain_one(L: int, H: int, levels: int, k: int) -> None:
    options = {"context": L, "horizon": H, "channels": 3, "normalisation": "none"}
    model = lamina.create_model("tcn", **options, levels=levels, kernel_size=k, block_width=5)
    plain, x = PlainTCN(3, H * 3, 5, k, levels), torch.randn(4, L, 3)
    equal(model, plain, x, plain.double()(x.double()).detach().unflatten(-1, (H, 3)))


@pytest.mark.parametrize(("L", "H"), [(12, 5), (9, 4)])
def test_nbeats_is_the_plain_one(L: int, H: int) -> None:
    sizes = {"context": L, "horizon": H, "channels": 1}
    generic = lamina.create_model("nbeats", **sizes, blocks=3, hidden_size=8)
    x = torch.randn(6, L, 1)

    class ByChannel(PlainNBeats):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x[..., 0])[..., None]

    equal(generic, ByChannel([PlainBlock(L, H, 8, "generic") for _ in range(3)]), x)
    trend, season = PlainBlock(L, H, 6, "trend"), PlainBlock(L, H, 7, "season")
    model = lamina.create_model("nbeats-interpretable", **sizes, trend_size=6, season_size=7)
    shared = ByChannel([trend, trend, trend, season, season, season])
    equal(model, shared, x)
    apart = ByChannel([PlainBlock(L, H, 6, "trend") for _ in range(3)] + [season] * 3).double()
    with pytest.raises(UsageError, match=r"blocks\.1\..* differs from blocks\.0\..*has one weight for both"):
        lamina.load_weights(model, apart.state_dict())


@pytest.mark.parametrize("L", [40, 43])
def test_patchtst_is_the_plain_one(L: int) -> None:
    model = lamina.create_model("patchtst", context=L, horizon=6, channels=3, model_width=8, heads=2, feed_forward=10)
    plain, x = PlainPatchTST(L, 6, 3, 8, 2, 10, 3), 3 * torch.randn(4, L, 3) + 7
    equal(model, plain, x)
    wrapped = nn.Module()
    wrapped = nn.Module()
    wrapped.model = plain
    other = lamina.create_model("patchtst", **vars(model.config)).double().eval()
    lamina.load_weights(other, wrapped.state_dict())
    assert torch.equal(other(x.double()), model(x.double()))
    maps = model.attention_maps(x.double())
    assert [tuple(one.shape) for one in maps] == [(4, 3, 2, model.config.patches, model.config.patches)] * 3
    assert torch.allclose(maps[1].sum(-1), torch.ones(()).double())


def test_the_other_linear_ones_load() -> None:
    x = torch.randn(4, 12, 3)
    sizes = {"context": 12, "horizon": 5, "channels": 3}
    plain = {"Linear.weight": torch.randn(5, 12), "Linear.bias": torch.randn(5)}
    for name, level in (("linear-forecaster", torch.zeros(4, 1, 3)), ("nlinear", x[:, -1:])):
        model = lamina.create_model(name, **sizes)
        lamina.load_weights(model, plain)
        wanted = ((x - level).transpose(1, 2) @ plain["Linear.weight"].T + plain["Linear.bias"]).transpose(1, 2) + level
        assert torch.allclose(model(x), wanted, atol=1e-5)
    rlinear = lamina.create_model("rlinear", **sizes)
    lamina.load_weights(rlinear, {**plain, "rev.affine_weight": torch.ones(3), "rev.affine_bias": torch.zeros(3)})
    assert torch.allclose(rlinear(3 * x + 5), 3 * rlinear(x) + 5, atol=1e-2)


def test_reversible_norm() -> None:
    norm, x = ReversibleNorm(2).double(), torch.randn(3, 10, 2).double() * 4 + 9
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([2.0, 0.5]))
        norm.bias.copy_(torch.tensor([1.0, -1.0]))
    z, scale = norm(x)
    mean, std = x.numpy().mean(1, keepdims=True), x.numpy().std(1, keepdims=True)
    wanted = (x.numpy() - mean) / (std**2 + 1e-5) ** 0.5 * [2.0, 0.5] + [1.0, -1.0]
    assert abs(z.detach().numpy() - wanted).max() < 1e-12
    assert torch.allclose(norm.inverse(z, scale), x, atol=1e-9)
    assert torch.allclose(norm.inverse(z[..., None].expand(-1, -1, -1, 3), scale)[..., 1], x, atol=1e-9)
    assert not scale.centre_B1C.requires_grad


RECURRENT = [("lstm-forecaster", nn.LSTM), ("gru-forecaster", nn.GRU)]


@pytest.mark.parametrize(("name", "unit"), RECURRENT)
def test_recurrent_forecasters_are_torchs_layers(name: str, unit: type[nn.Module]) -> None:
    model = lamina.create_model(name, context=9, horizon=4, channels=2, hidden_size=5, normalisation="none")
    layer = unit(2, 5, batch_first=True)
    layer.load_state_dict(model.recurrent.state_dict())
    x = torch.randn(3, 9, 2)
    assert torch.allclose(model(x), model.head(layer(x)[0][:, -1]).unflatten(-1, (4, 2)), atol=1e-6)


def test_seq2seq_is_a_loop_of_cells() -> None:
    model = lamina.create_model("seq2seq-forecaster", context=9, horizon=4, channels=2, hidden_size=5)
    model = model.double().eval()
    x, (encoder, decoder) = torch.randn(3, 9, 2).double(), (nn.GRUCell(2, 5).double(), nn.GRUCell(2, 5).double())
    for cell, layer in ((encoder, model.encoder), (decoder, model.decoder)):
        cell.load_state_dict({key.removesuffix("_l0"): value for key, value in layer.state_dict().items()})
    z, scale = model.norm(x)
    state = torch.zeros(3, 5).double()
    for t in range(9):
        state = encoder(z[:, t], state)
    y, rows = z[:, -1], []
    for _ in range(4):
        state = decoder(y, state)
        y = model.head(state)
        rows.append(y)
    assert torch.allclose(model(x), model.norm.inverse(torch.stack(rows, 1), scale), atol=1e-10)


def test_seq2seq_with_a_share_of_targets() -> None:
    """Between free running and the truth: some steps see their target, which is drawn anew each time."""
    options = {"context": 9, "horizon": 30, "channels": 1, "hidden_size": 5, "teacher_forcing": 0.5}
    model = lamina.create_model("seq2seq-forecaster", **options).train()
    x, target = torch.randn(1, 9, 1), torch.randn(1, 30, 1)
    drawn = [model(x, None, None, target) for _ in range(3)]
    assert not torch.equal(drawn[0], drawn[1])
    torch.manual_seed(1)
    one = model(x, None, None, target)
    torch.manual_seed(1)
    assert torch.equal(model(x, None, None, target), one)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("name", ["mlp-forecaster", "lstm-forecaster", "tcn"])
def test_a_shared_net_forecasts_each_channel_by_itself(name: str, shared: bool) -> None:
    model = lamina.create_model(name, context=9, horizon=4, channels=3, shared=shared, quantiles=2).eval()
    x = torch.randn(2, 9, 3)
    other = x.clone()
    other[..., 1] = torch.randn(2, 9)
    alike = [torch.equal(model(x)[:, :, c], model(other)[:, :, c]) for c in range(3)]
    assert alike == ([True, False, True] if shared else [False] * 3)


@pytest.mark.parametrize("name", ["mlp-forecaster", "lstm-forecaster", "gru-forecaster", "tcn"])
def test_numbers_in_place_of_a_forecast(name: str) -> None:
    options = {"context": 30, "horizon": 1, "channels": 14, "normalisation": "none", "outputs": 1}
    x = torch.randn(5, 30, 14)
    assert lamina.create_model(name, **options)(x).shape == (5, 1)
    assert lamina.create_model(name, **options, quantiles=3)(x).shape == (5, 1, 3)


@pytest.mark.parametrize("normalisation", ["none", "last", "revin"])
@pytest.mark.parametrize("name", ["nbeats", "nbeats-interpretable"])
@pytest.mark.parametrize("extra", [{}, {"past_covariates": 2, "future_covariates": 1}, {"quantiles": 3}])
def test_the_parts_of_nbeats_add_up(name: str, normalisation: str, extra: dict[str, int]) -> None:
    sizes = {"context": 12, "horizon": 6, "channels": 2, "blocks": 2, "hidden_size": 8}
    sizes |= {"trend_size": 8, "season_size": 8}
    model = lamina.create_model(name, **sizes, **extra, normalisation=normalisation).double()
    window = [torch.randn(3, 12, 2).double() + 5]
    if "past_covariates" in extra:
        window += [torch.randn(3, 12, 2).double(), torch.randn(3, 6, 1).double()]
    parts, y = model.parts(*window), model(*window)
    names = {"level", "generic"} if name == "nbeats" else {"level", "trend", "season"}
    assert set(parts) == names | ({"covariates"} if "past_covariates" in extra else set())
    assert all(part.shape == y.shape for part in parts.values())
    assert torch.allclose(sum(parts.values()), y, atol=1e-12)


def test_the_season_of_nbeats_is_a_sum_of_waves() -> None:
    """A season has no frequency beyond H/2 - 1, a trend of degree 2 no third difference."""
    sizes = {"context": 24, "horizon": 12, "channels": 1, "trend_size": 8, "season_size": 8}
    model = lamina.create_model("nbeats-interpretable", **sizes).double()
    parts = model.parts(torch.randn(3, 24, 1).double())
    assert parts["trend"].diff(n=3, dim=1).abs().max() < 1e-6 * parts["trend"].abs().max() + 1e-7
    spectrum = torch.fft.rfft(parts["season"][..., 0], dim=1).abs()
    assert spectrum[:, -1].max() < 1e-5 * spectrum.max()


@pytest.mark.parametrize(("kernel_size", "levels"), [(3, 2), (2, 4), (5, 3)])
def test_what_a_tcn_sees(kernel_size: int, levels: int) -> None:
    """The gradient of the last step reaches as many inputs as the formula says, and no step sees what follows it."""
    model = lamina.create_model("tcn", context=80, channels=1, kernel_size=kernel_size, levels=levels)
    model = model.double().eval()
    with torch.no_grad():
        for weight in model.blocks.parameters():  # no unit is silent, no path cancels
            weight.abs_().add_(0.01)
    x_BCT = (torch.rand(1, 1, 80) + 0.5).double().requires_grad_()
    out = model.features(x_BCT)
    (last,) = torch.autograd.grad(out[..., -1].sum(), x_BCT, retain_graph=True)
    assert int((last != 0).sum()) == model.receptive_field == receptive_field(kernel_size, levels)
    (middle,) = torch.autograd.grad(out[..., 50].sum(), x_BCT)
    assert not middle[..., 51:].any()
    assert middle[..., 50].any()


def test_distributions_are_torchs() -> None:
    scale, value = torch.rand(50).double() + 0.5, torch.randn(50).double()
    for name, family in DISTRIBUTIONS.items():
        parameters = family.parameters(torch.randn(50, family.size).double(), scale)
        first, second = parameters[..., 0], parameters[..., 1]
        other: Any
        if name == "student-t":
            other = torch.distributions.StudentT(first, second, parameters[..., 2])
        elif name == "gaussian":
            other = torch.distributions.Normal(first, second)
        else:
            value = torch.arange(50).double()
            spread = second * first
            other = torch.distributions.NegativeBinomial(1 / second, probs=spread / (1 + spread))
        assert torch.allclose(family.log_prob(parameters, value), other.log_prob(value), atol=1e-9)
        assert torch.allclose(family.mean(parameters), other.mean, atol=1e-9)
        few = parameters[:3].clone()
        if name == "student-t":
            few[:, 0] = 6.0  # of a finite fourth moment
            other = torch.distributions.StudentT(*few.unbind(-1))
        draws = family.sample(few.expand(200_000, 3, family.size))
        assert torch.allclose(draws.mean(0), other.mean[:3], atol=float(0.05 * draws.std()))
        assert torch.allclose(draws.std(0), other.stddev[:3], rtol=0.05)


def deepar(**options: Any) -> Any:
    sizes = {"context": 12, "horizon": 6, "channels": 2, "hidden_size": 6}
    return lamina.create_model("deepar", **{**sizes, **options}).eval()


@pytest.mark.parametrize("distribution", list(DISTRIBUTIONS))
@pytest.mark.parametrize("lags", [(1,), (1, 4)])
def test_paths_of_deepar(distribution: str, lags: tuple[int, ...]) -> None:
    model = deepar(distribution=distribution, lags=lags)
    past = torch.poisson(torch.full((3, 12, 2), 4.0))
    before = torch.get_rng_state()
    paths = model.sample(past, count=7, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert paths.shape == (3, 7, 6, 2)
    assert torch.equal(model.sample(past, count=7, seed=1), paths)
    assert not torch.equal(model.sample(past, count=7, seed=2), paths)
    if distribution == "negative-binomial":
        assert torch.equal(paths, paths.round())
        assert (paths >= 0).all()
    # the first step is drawn from the parameters that training has for it, and the next depend on it
    target = paths[:, 0]
    forced = model(past, None, None, target)
    free = model(past)
    assert torch.allclose(forced[:, 0], free[:, 0], rtol=1e-4, atol=1e-5)
    many = model.sample(past, count=4000, seed=0)[:, :, 0]
    mean = model.family.mean(free[:, 0])
    assert ((many.mean(1) - mean).abs() < 6 * many.std(1) / 4000**0.5 + 1e-3).all()
    fed = target.clone()
    fed[:, 0] += 5
    assert not torch.allclose(model(past, None, None, fed)[:, 1], forced[:, 1])


def test_deepar_step_by_step_is_the_whole_at_once() -> None:
    """Fed its own means as targets, the parallel pass gives the path of means."""
    model = deepar(lags=(1, 3), distribution="gaussian").double()
    past = torch.randn(3, 12, 2).double() + 4
    free = model(past)
    assert torch.allclose(model(past, None, None, model.family.mean(free)), free, atol=1e-10)


def test_deepar_scales() -> None:
    """In other units the forecast is the same, but for what the logarithm of the scale makes of it; a window of zeros
    has a scale of 1."""
    model = deepar().double()
    with torch.no_grad():
        model.recurrent.weight_ih_l0[:, 1] = 0  # the input that is the log scale
    past = torch.rand(2, 12, 2).double() + 1
    one, other = model(past), model(1000 * past)
    assert torch.allclose(other[..., 1:], 1000 * one[..., 1:], rtol=1e-3)
    assert torch.allclose(other[..., 0], one[..., 0])
    assert model(torch.zeros(2, 12, 2).double()).isfinite().all()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("dlinear", {"kernel_size": 4}, "kernel_size must be odd, got 4"),
        ("dlinear", {"context": 0}, "context must be at least 1, got 0"),
        ("dlinear", {"future_covariates": 1}, "known of the past, too: future_covariates=1, past_covariates=0"),
        ("patchtst", {"context": 12}, "a context of 12 steps is shorter than a patch of 16"),
        ("patchtst", {"heads": 3}, "model_width 16 cannot be divided into 3 heads"),
        ("deepar", {"quantiles": 3}, "it forecasts a distribution"),
        ("deepar", {"lags": (96,)}, r"lags must lie from 1 to below the context of 96, got \(96,\)"),
        ("tcn", {"levels": 0}, "levels must be at least 1"),
        ("seq2seq-forecaster", {"teacher_forcing": 1.5}, r"teacher_forcing must lie in \[0, 1\], got 1.5"),
        ("mlp-forecaster", {"outputs": 2, "shared": True}, "outputs are of all channels together"),
        ("nbeats", {"trend_degree": 0}, "trend_degree must be at least 1"),
    ],
)
def test_options_that_no_model_has(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        lamina.create_model(name, **options)
