"""ProGAN and the StyleGANs: the counts of the released nets, every operation written plainly, stages, styles, noise."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from style_nets import CLOSE, PROGAN, TINY, net, normal
from torch import Tensor

import lamina
from lamina.errors import UsageError
from lamina.layers.styles.equalised import EqualConv, EqualLinear, blur, fir, pixel_norm, with_deviation
from lamina.models.stylegan import adaptive_norm
from lamina.models.stylegan2 import modulated
from lamina.tasks.adversarial.style import path_lengths


@pytest.mark.parametrize(
    ("name", "options", "generator", "discriminator"),
    [
        ("stylegan", {}, 26_219_627, 23_087_249),
        ("stylegan", {"image_size": 256}, 26_086_229, 23_052_353),
        ("stylegan-256", {}, 26_086_229, 23_052_353),
        ("stylegan2", {}, 30_370_060, 29_012_513),
        ("stylegan2-e", {}, 24_900_764, 24_038_161),
        ("stylegan2-256", {}, 30_034_338, 28_864_129),
        ("progan", {}, 23_086_795, 23_087_249),
    ],
)
def test_the_counts_of_the_released_nets(name: str, options: Any, generator: int, discriminator: int) -> None:
    with torch.device("meta"):
        model = lamina.create_model(name, **options)
    counts = [sum(p.numel() for p in part.parameters()) for part in (model.generator, model.discriminator)]
    assert counts == [generator, discriminator]


def test_layers_of_the_1024_pixel_nets() -> None:
    """18 styles each; 17 noise maps in StyleGAN2; only the last RGB layer counted: 26,212,019."""
    with torch.device("meta"):
        one, two = lamina.create_model("stylegan").generator, lamina.create_model("stylegan2").generator
    assert (one.style_layers, len(one.noise_sides)) == (18, 18)
    assert (two.style_layers, len(two.noise_sides)) == (18, 17)
    others = sum(p.numel() for layer in one.to_rgb[:-1] for p in layer.parameters())
    assert sum(p.numel() for p in one.parameters()) - others == 26_212_019
    assert sum(p.numel() for p in one.mapping.parameters()) == 2_101_248


# ---------------------------------------------------------------- operations


@pytest.mark.parametrize(("gain", "rate"), [(1.0, 1.0), (math.sqrt(2), 0.01)])
def test_weights_are_scaled_when_they_are_used(gain: float, rate: float) -> None:
    torch.manual_seed(0)
    layer = EqualLinear(200, 300, gain=gain, rate=rate, bias=0.5).double()
    assert layer.weight.std().item() == pytest.approx(1 / rate, rel=0.02)
    x = normal(4, 200)
    wanted = x @ (layer.weight * rate * gain / math.sqrt(200)).T + 0.5
    torch.testing.assert_close(layer(x), wanted, **CLOSE)
    conv = EqualConv(3, 5, 3, gain=gain).double()
    x = normal(2, 3, 6, 6)
    wanted = F.conv2d(x, conv.weight * gain / math.sqrt(27), conv.bias, padding=1)
    torch.testing.assert_close(conv(x), wanted, **CLOSE)


def test_a_pixel_is_normalised_over_its_channels() -> None:
    x = normal(2, 5, 3, 3)
    wanted = torch.stack([x[:, c] / ((x**2).mean(1) + 1e-8).sqrt() for c in range(5)], 1)
    torch.testing.assert_close(pixel_norm(x), wanted, **CLOSE)


def test_a_blur_is_a_plain_convolution() -> None:
    x, kernel = normal(2, 3, 6, 7), torch.tensor([1.0, 2.0, 1.0], dtype=torch.float64)
    outer = torch.outer(kernel, kernel) / 16
    wanted = F.conv2d(x, outer[None, None].repeat(3, 1, 1, 1), padding=1, groups=3)
    torch.testing.assert_close(blur(x), wanted, **CLOSE)


@pytest.mark.parametrize(("up", "down", "pad"), [(1, 1, (1, 1)), (2, 1, (2, 1)), (1, 2, (1, 1)), (2, 3, (0, 2))])
def test_a_filter_is_zeros_between_a_convolution_and_every_other_value(up: int, down: int, pad: Any) -> None:
    taps = (1.0, 3.0, 2.0, 0.5)  # not symmetric: a convolution turns it round
    x = normal(2, 2, 5, 4)
    spread = torch.zeros(2, 2, 5 * up, 4 * up, dtype=torch.float64)
    spread[:, :, ::up, ::up] = x
    kernel = torch.tensor(taps, dtype=torch.float64)
    kernel = torch.outer(kernel, kernel) * 4 / kernel.sum() ** 2
    whole = F.pad(spread, (*pad, *pad))
    wanted = F.conv2d(whole, kernel.flip(0, 1)[None, None].repeat(2, 1, 1, 1), groups=2)[:, :, ::down, ::down]
    torch.testing.assert_close(fir(x, taps, up=up, down=down, pad=pad, gain=4), wanted, **CLOSE)


@pytest.mark.parametrize(("batch", "group", "size"), [(8, 4, 4), (4, 4, 4), (3, 4, 3), (6, 4, 3), (1, 4, 1), (5, 2, 1)])
def test_how_much_the_samples_of_a_group_differ(batch: int, group: int, size: int) -> None:
    x = normal(batch, 3, 2, 2)
    wanted = torch.empty(batch, dtype=torch.float64)
    for first in range(batch // size):
        members = list(range(first, batch, batch // size))
        part = x[members]
        variance = ((part - part.mean(0)) ** 2).mean(0)
        wanted[members] = (variance + 1e-8).sqrt().mean()
    out = with_deviation(x, group)
    torch.testing.assert_close(out[:, :3], x, **CLOSE)
    torch.testing.assert_close(out[:, 3], wanted[:, None, None].expand(-1, 2, 2), **CLOSE)


def test_adaptive_instance_normalisation() -> None:
    x, style = normal(2, 3, 4, 4), normal(2, 6, seed=2)
    wanted = torch.empty_like(x)
    for b in range(2):
        for c in range(3):
            m = x[b, c]
            normed = (m - m.mean()) / (m.var(correction=0) + 1e-8).sqrt()
            wanted[b, c] = normed * (style[b, c] + 1) + style[b, 3 + c]
    torch.testing.assert_close(adaptive_norm(x, style), wanted, **CLOSE)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("up", [False, True])
@pytest.mark.parametrize("demodulate", [False, True])
def test_modulated_convolution(fused: bool, up: bool, demodulate: bool) -> None:
    """A kernel for each sample: scaled by its style, and brought to norm 1 for each output."""
    x, weight, style = normal(3, 4, 5, 5), normal(6, 4, 3, 3, seed=2), normal(3, 4, seed=3) + 1
    wanted = []
    for b in range(3):
        kernel = weight * style[b][None, :, None, None]
        if demodulate:
            kernel = kernel / ((kernel**2).sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        one = x[b : b + 1]
        wanted.append(
            F.conv_transpose2d(one, kernel.transpose(0, 1), stride=2) if up else F.conv2d(one, kernel, padding=1)
        )
    found = modulated(x, weight, style, demodulate=demodulate, up=up, fused=fused)
    torch.testing.assert_close(found, torch.cat(wanted), **CLOSE)


def test_the_path_length_is_that_of_the_jacobian() -> None:
    generator = net("stylegan2", image_size=8, in_channels=1).generator
    torch.manual_seed(3)
    lengths = path_lengths(generator, 2, None)
    torch.manual_seed(3)
    z = generator.draw(2)
    w = generator.spread(generator.mapping(z)).detach()
    noise = generator.noise(2, "fresh")
    y = torch.randn(2, 1, 8, 8, dtype=torch.float64) / 8
    for b in range(2):
        own = [n[b : b + 1] for n in noise]
        jacobian = torch.autograd.functional.jacobian(lambda one, own=own: generator.synthesis(one, own), w[b : b + 1])
        jt_y = (jacobian.reshape(64, -1, w.shape[2]) * y[b].reshape(64, 1, 1)).sum(0)  # (layers, W)
        assert lengths[b].item() == pytest.approx((jt_y**2).sum(1).mean().sqrt().item(), abs=1e-10)
    lengths.sum().backward()
    assert generator.layers[0].conv.weight.grad.abs().sum() > 0


# ---------------------------------------------------------------- stages, styles, noise


@pytest.mark.parametrize("name", ["stylegan", "progan"])
@pytest.mark.parametrize("stage", [1, 2])
def test_fade_0_is_the_old_net_and_fade_1_the_new_one(name: str, stage: int) -> None:
    model = net(name)
    z, side = normal(4, 5), 4 << stage
    old, new, half = [], [], []
    for fade, found in ((0.0, old), (1.0, new), (0.5, half)):
        for player in (model.generator, model.discriminator):
            player.grow(stage, fade)
        found += [model.generator(z), model.discriminator(normal(4, 3, side, side))]
    for player in (model.generator, model.discriminator):
        player.grow(stage - 1)
    before = model.generator(z)
    assert torch.equal(old[0], before.repeat_interleave(2, 2).repeat_interleave(2, 3))
    assert torch.equal(old[1], model.discriminator(F.avg_pool2d(normal(4, 3, side, side), 2)))
    torch.testing.assert_close(half[0], (old[0] + new[0]) / 2, **CLOSE)
    assert not torch.allclose(old[0], new[0])
    with pytest.raises(ValueError, match="stage 3: the net has 3, from 0 to 2"):
        model.generator.grow(3)
    with pytest.raises(ValueError, match="fade must lie in"):
        model.generator.grow(1, 1.5)
    with pytest.raises(ValueError, match=rf"expected images of shape \(batch, 3, {side // 2}, {side // 2}\)"):
        model.discriminator(normal(4, 3, side, side))


def test_a_state_dict_holds_the_stage() -> None:
    model, other = net("stylegan"), net("stylegan")
    model.generator.grow(1, 0.25)
    other.load_state_dict(model.state_dict())
    assert (other.generator.at, other.generator.faded, other.generator.side) == (1, 0.25, 8)
    assert torch.equal(other.generator(normal(2, 5)), model.generator(normal(2, 5)))
    assert int(model.state_dict()["generator.stage"]) == 1


@pytest.mark.parametrize("name", ["stylegan", "progan"])
def test_layers_of_later_stages_rest(name: str) -> None:
    model = net(name).train()
    for player in (model.generator, model.discriminator):
        player.grow(1, 0.5)
    model.discriminator(model.generator(normal(4, 5))).sum().backward()
    resting = {n for n, p in model.named_parameters() if p.grad is None}
    assert {n for n in resting if n.startswith("generator.blocks.1.")}
    assert {n for n in resting if n.startswith("discriminator.blocks.1.")}
    assert "generator.to_rgb.2.weight" in resting
    assert not {n for n in resting if "blocks.0." in n or n.endswith(("to_rgb.0.weight", "from_rgb.0.weight"))}


@pytest.mark.parametrize("name", ["stylegan", "stylegan2"])
def test_mixing_at_a_layer_changes_only_what_follows(name: str) -> None:
    generator = net(name).generator
    w = generator.styles(normal(2, 5))
    whole = seen(generator, w[:1])
    for layer in range(1, generator.style_layers):
        mixed = torch.cat([w[:1, :layer], w[1:, layer:]], 1)
        changed = [not torch.equal(a, b) for a, b in zip(whole, seen(generator, mixed), strict=True)]
        assert not any(changed[:layer])
        assert changed[layer]


def seen(generator: Any, w: Tensor) -> list[Tensor]:
    """The styles that the layers use, in order."""
    found: list[Tensor] = []
    hooks = [
        module.register_forward_hook(lambda module, args, out: found.append(out))
        for name, module in generator.named_modules()
        if name.endswith("style")
    ]
    generator.synthesis(w, generator.noise(1, "fixed"))
    for hook in hooks:
        hook.remove()
    if hasattr(generator, "layers"):
        # in the order of use: layer, RGB, then layer, layer, RGB of each size; an RGB layer shares a style with the
        # first layer of the next size
        parts = [[found[0]], [found[1], found[2]]]
        for i in range(1, len(generator.sides)):
            parts += [[found[3 * i]], found[3 * i + 1 : 3 * i + 3]]
        return [torch.cat(part, 1) for part in parts]
    return found


@pytest.mark.parametrize("name", ["stylegan", "stylegan2"])
def test_truncation_draws_towards_the_mean(name: str) -> None:
    generator = net(name).generator
    generator.w_mean.copy_(normal(4, seed=9))
    z = normal(5, 5)
    one = generator.pictured(generator.styles(z, truncation=0.0))
    torch.testing.assert_close(one, one[:1].expand_as(one), **CLOSE)
    w = generator.styles(z)
    assert torch.equal(generator.styles(z, truncation=1.0), w)
    torch.testing.assert_close(generator.styles(z, truncation=0.3), generator.w_mean + 0.3 * (w - generator.w_mean))
    with pytest.raises(ValueError, match=r"truncation must lie in \[0, 1\], got 1.5"):
        generator.sample(1, truncation=1.5)
    big = lamina.create_model("stylegan", **{**TINY, "image_size": 128}).generator
    w = big.styles(big.draw(2, seed=0), truncation=0.5)
    assert torch.equal(w[:, 8:], big.styles(big.draw(2, seed=0))[:, 8:])


def test_the_mean_of_w_is_followed_in_training_only() -> None:
    generator = net("stylegan", mixing=0.0).generator
    generator(normal(3, 5))
    assert generator.w_mean.abs().sum() == 0
    generator.train()
    generator(normal(3, 5))
    torch.testing.assert_close(generator.w_mean, 0.005 * generator.mapping(normal(3, 5)).mean(0).detach(), **CLOSE)
    assert torch.equal(lamina.create_model("stylegan", **TINY).generator.w_mean, torch.zeros(4))


def test_training_mixes_as_often_as_it_is_asked() -> None:
    generator = net("stylegan").generator.train()
    torch.manual_seed(0)
    w = generator.spread(generator.mapping(normal(400, 5)))
    mixed = generator._mixed(w, None)
    same = (mixed == w).all(2)
    assert same[:, 0].all()
    share = (~same[:, -1]).double().mean().item()
    assert share == pytest.approx(0.9, abs=0.05)
    crossovers = same.sum(1)[~same[:, -1]]
    assert set(crossovers.tolist()) == {1, 2, 3, 4, 5}
    generator.mixing = 0.0
    assert generator._mixed(w, None) is w


@pytest.mark.parametrize("name", ["stylegan", "stylegan2", "progan"])
def test_a_sample_is_a_function_of_seed_and_number(name: str) -> None:
    generator = net(name).generator.train()
    nine = generator.sample(9, seed=1)
    torch.testing.assert_close(generator.sample(70, seed=1)[:9], nine, **CLOSE)
    assert len({x.numpy().tobytes() for x in nine}) == 9
    assert generator.training
    if name != "progan":
        fresh = generator.sample(66, seed=1, noise="fresh")
        torch.testing.assert_close(generator.sample(3, seed=1, noise="fresh"), fresh[:3], **CLOSE)
        assert not torch.allclose(fresh[:9], nine)
        torch.testing.assert_close(
            generator.pictured(generator.styles(generator.draw(66, 1)), "fresh", 1)[65:], fresh[65:], **CLOSE
        )
        assert not torch.allclose(generator.sample(1, seed=1, noise="none"), nine[:1])


@pytest.mark.parametrize("name", ["stylegan", "stylegan2", "progan"])
def test_a_conditional_net(name: str) -> None:
    model = net(name, classes=3)
    z = normal(1, 5).expand(3, -1)
    x = model.generator(z, torch.arange(3))
    assert len({one.detach().numpy().tobytes() for one in x}) == 3
    logits = model.discriminator(x[:1].expand(3, -1, -1, -1), torch.arange(3))
    assert logits.shape == (3, 1)
    assert len(set(logits.flatten().tolist())) == 3
    with pytest.raises(ValueError, match="needs a label"):
        model.discriminator(x)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["stylegan", "stylegan2", "progan"])
def test_sums_of_squares_keep_their_digits(name: str, dtype: torch.dtype) -> None:
    model = lamina.create_model(name, **(PROGAN if name == "progan" else TINY))
    with torch.autocast("cpu", dtype):
        x = model.generator(torch.randn(4, 5))
        logits = model.discriminator(x)
    assert x.isfinite().all()
    assert logits.isfinite().all()


@pytest.mark.parametrize("name", ["stylegan", "stylegan2", "progan"])
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"image_size": 24}, "image_size must be a power of two of at least 4, got 24"),
        ({"base": 0}, "base must be at least 1"),
        ({"classes": -1}, "classes must not be negative"),
    ],
)
def test_options_that_cannot_be(name: str, options: dict[str, int], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        lamina.create_model(name, **options)
