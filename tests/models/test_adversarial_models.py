"""GAN and DCGAN: the counts of the papers, the nets of pytorch/examples, initial weights, samples by seed and label."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lamina
from lamina.equations.adversarial import spectrally_normalised
from lamina.errors import UsageError
from lamina.layers.latent import latent_noise
from lamina.weights.loading import load_weights

TINY: dict[str, Any] = {
    "image_size": 16, "in_channels": 1, "generator_widths": (8, 6), "discriminator_widths": (6, 8), "latent": 5,
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "options", "generator", "discriminator"),
    [
        ("dcgan", {}, 3_576_704, 2_765_568),
        ("dcgan-paper", {}, 12_658_432, 11_036_160),
        ("dcgan-28", {}, 1_781_504, 138_624),
        ("dcgan-32", {"in_channels": 1}, 1_066_880, 661_248),
        ("dcgan-32", {}, 1_068_928, 663_296),
        ("dcgan-128", {}, 12_786_560, 11_164_416),
        ("gan-toy", {}, 33_666, 33_537),
        ("gman", {"in_channels": 1}, 1_066_880, 5 * 661_248),
        ("dcgan", {"discriminators": 3}, 3_576_704, 3 * 2_765_568),
        ("gan-toy", {"spectral_norm": True}, 33_666, 33_537),
        ("gan-toy", {"generator_hidden": (512,) * 3, "discriminator_hidden": (512,) * 3}, 527_874, 527_361),
    ],
)
def test_the_counts_of_the_papers(name: str, options: dict[str, Any], generator: int, discriminator: int) -> None:
    with torch.device("meta"):
        model = lamina.create_model(name, **options)
    counts = [sum(p.numel() for p in player.parameters()) for player in (model.generator, model.discriminator)]
    assert counts == [generator, discriminator]


def examples_generator(widths: tuple[int, ...], latent: int, channels: int) -> nn.Sequential:
    """pytorch/examples: dcgan, netG.main"""
    layers: list[nn.Module] = []
    for i, (fan_in, fan_out) in enumerate(zip((latent, *widths), (*widths, channels), strict=True)):
        layers.append(nn.ConvTranspose2d(fan_in, fan_out, 4, *((2, 1) if i else (1, 0)), bias=False))
        layers += [nn.BatchNorm2d(fan_out), nn.ReLU(True)] if i < len(widths) else [nn.Tanh()]
    return nn.Sequential(*layers)


def examples_discriminator(widths: tuple[int, ...], channels: int) -> nn.Sequential:
    """pytorch/examples: dcgan, netD.main, without its sigmoid"""
    layers: list[nn.Module] = []
    for i, (fan_in, fan_out) in enumerate(zip((channels, *widths), (*widths, 1), strict=True)):
        last = i == len(widths)
        layers.append(nn.Conv2d(fan_in, fan_out, 4, *((1, 0) if last else (2, 1)), bias=False))
        if not last:
            layers += [*([nn.BatchNorm2d(fan_out)] if i else []), nn.LeakyReLU(0.2, inplace=True)]
    return nn.Sequential(*layers)


@pytest.mark.parametrize("training", [True, False])
def test_weights_of_pytorch_examples_give_the_same_pictures_and_logits(tmp_path: Path, training: bool) -> None:
    torch.manual_seed(0)
    theirs = nn.ModuleDict(
        {
            "generator": nn.ModuleDict({"main": examples_generator((32, 16, 8, 4), 7, 3)}),
            "discriminator": nn.ModuleDict({"main": examples_discriminator((4, 8, 16, 32), 3)}),
        }
    ).double()
    for name, buffer in theirs.named_buffers():
        if "running" in name:
            buffer.uniform_(0.5, 2.0)
    ours = lamina.create_model(
        "dcgan", latent=7, generator_widths=(32, 16, 8, 4), discriminator_widths=(4, 8, 16, 32)
    ).double()
    for player, net in theirs.items():
        assert "main.0.weight" in net.state_dict()
        torch.save(net.state_dict(), tmp_path / f"{player}.pth")
        load_weights(getattr(ours, player), tmp_path / f"{player}.pth")
    ours.train(training)
    theirs.train(training)
    z = torch.randn(3, 7, dtype=torch.float64)
    pictures = theirs["generator"]["main"](z[:, :, None, None])
    torch.testing.assert_close(ours(z), pictures, rtol=0, atol=1e-12)
    logits = theirs["discriminator"]["main"](pictures).flatten(1)
    torch.testing.assert_close(ours.discriminator(pictures), logits, rtol=0, atol=1e-12)
    keys = [f"main.{i}.weight" for i in (0, 1, 3, 4, 6, 7, 9, 10, 12)]
    assert [k for k in theirs["generator"].state_dict() if k.endswith("weight")] == keys


def test_new_weights_are_as_the_paper_draws_them() -> None:
    torch.manual_seed(0)
    model = lamina.create_model("dcgan-32")
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and module.weight.numel() > 2000:
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.1)
            assert abs(module.weight.mean().item()) < 0.002
            assert module.bias is None
        if isinstance(module, nn.BatchNorm2d):
            assert module.weight.mean().item() == pytest.approx(1, abs=0.02)
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.5)
            assert module.bias.abs().max().item() == 0


def test_no_norm_at_the_picture() -> None:
    model = lamina.create_model("dcgan", **TINY)
    assert isinstance(model.discriminator.stages[0][1], nn.Identity)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in (model.generator.output, model.discriminator.output))
    critic = lamina.create_model("wgan-gp", **TINY).discriminator
    assert not any(isinstance(m, nn.BatchNorm2d) for m in critic.modules())


@pytest.mark.parametrize("name", ["dcgan", "gan"])
def test_a_sample_is_a_function_of_seed_and_number(name: str) -> None:
    model = lamina.create_model(name, **(TINY if name == "dcgan" else {"in_features": 6})).train()
    generator = model.generator
    nine = generator.sample(9, seed=1)
    assert torch.equal(nine, generator.sample(9, seed=1))
    torch.testing.assert_close(generator.sample(1, seed=1), nine[:1], atol=1e-6, rtol=0)
    torch.testing.assert_close(generator.sample(150, seed=1)[:9], nine, atol=1e-6, rtol=0)
    assert len({sample.numpy().tobytes() for sample in nine}) == 9
    assert not torch.equal(nine, generator.sample(9, seed=2))
    assert model.training
    assert generator.training
    assert not nine.requires_grad
    torch.manual_seed(5)
    drawn = generator.sample(2)
    torch.manual_seed(5)
    assert torch.equal(drawn, generator.sample(2))


def test_sampling_leaves_running_statistics_and_frozen_modes() -> None:
    generator = lamina.create_model("dcgan", **TINY).generator.train()
    generator.stages[0][1].eval()
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    generator.sample(4, seed=0)
    assert all(torch.equal(value, before[name]) for name, value in generator.state_dict().items())
    assert not generator.stages[0][1].training
    assert generator.stages[1][1].training


def test_noise_has_the_moments_of_its_prior() -> None:
    z = latent_noise(2000, 10, 0)
    assert z.mean().item() == pytest.approx(0, abs=0.03)
    assert z.std().item() == pytest.approx(1, abs=0.03)
    u = latent_noise(2000, 10, 0, "uniform")
    assert u.abs().max().item() <= 1
    assert u.std().item() == pytest.approx(3**-0.5, abs=0.02)
    assert torch.equal(u[:1], latent_noise(1, 10, 0, "uniform"))


@pytest.mark.parametrize("name", ["dcgan", "gan"])
def test_a_conditional_model_sees_the_label_on_both_sides(name: str) -> None:
    options: dict[str, Any] = TINY if name == "dcgan" else {"in_features": 6, "dropout": 0.0}
    model = lamina.create_model(name, **options, classes=3).eval()
    z = model.generator.draw(1, seed=0).expand(3, -1)
    label = torch.arange(3)
    x = model.generator(z, label)
    assert len({sample.detach().numpy().tobytes() for sample in x}) == 3
    logits: Tensor = model.discriminator(x[:1].expand_as(x), label)
    assert len(set(logits.flatten().tolist())) == 3
    assert torch.equal(model.generator.labels(5, None), torch.tensor([0, 1, 2, 0, 1]))
    one = model.generator.sample(2, seed=0, label=2)
    torch.testing.assert_close(one[:1], x[2:], atol=1e-6, rtol=0)
    for player, given in ((model.generator, z), (model.discriminator, x)):
        with pytest.raises(ValueError, match="needs a label, 0 to 2, for each sample"):
            player(given)
    with pytest.raises(ValueError, match="label 3: the model has 3 classes, 0 to 2"):
        model.generator.sample(1, label=3)
    with pytest.raises(ValueError, match="not conditional: it cannot be asked for the label 1"):
        lamina.create_model(name, **options).generator.sample(1, label=1)


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("dcgan", {"image_size": 28}, "image_size 28 cannot be halved 4 times"),
        ("dcgan", {"generator_widths": ()}, "generator_widths must name at least one width"),
        ("dcgan-32", {"latent": 0}, "latent must be at least 1"),
        ("dcgan-32", {"classes": -1}, "classes must not be negative"),
        ("gan", {"pieces": 0}, "pieces must be at least 1"),
        ("gan", {"dropout": 1.0}, "dropout must lie in"),
    ],
)
def test_options_that_cannot_be(name: str, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        lamina.create_model(name, **options)


def test_a_maxout_unit_is_the_largest_of_its_pieces() -> None:
    net = lamina.create_model("gan", in_features=4, discriminator_hidden=(3,), pieces=2).eval().discriminator
    x = torch.randn(5, 4)
    linear = net.hidden[0][0].linear
    pieces = torch.stack([x @ linear.weight[i::2].T + linear.bias[i::2] for i in range(2)])
    torch.testing.assert_close(net(x), net.output(pieces.max(0).values))


@pytest.mark.parametrize("name", ["dcgan", "gan"])
def test_the_spectral_norm_of_every_weight_of_the_discriminator_is_one(name: str) -> None:
    torch.manual_seed(0)
    options: dict[str, Any] = {**TINY, "discriminator_norm": "none"} if name == "dcgan" else {"in_features": 6}
    model = lamina.create_model(name, **options, spectral_norm=True, discriminators=2).double().train()
    plain = lamina.create_model(name, **options, discriminators=2)
    assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for p in plain.parameters())
    x = torch.randn(4, *((1, 16, 16) if name == "dcgan" else (6,)), dtype=torch.float64)
    for _ in range(100):  # a step of power iteration each
        model.discriminator(x)
    model.eval()
    layers = [m for m in model.discriminator.modules() if hasattr(m, "parametrizations")]
    assert len(layers) == 2 * 3
    for layer in layers:
        own = layer.parametrizations.weight.original
        torch.testing.assert_close(layer.weight, spectrally_normalised(own), rtol=1e-3, atol=1e-6)
        assert torch.linalg.svdvals(layer.weight.flatten(1)).max().item() == pytest.approx(1, abs=1e-3)
    assert not any(hasattr(m, "parametrizations") for m in model.generator.modules())
    again = lamina.create_model(name, **options, spectral_norm=True, discriminators=2).double().eval()
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.discriminator(x), model.discriminator(x))
    torch.manual_seed(3)
    new = lamina.create_model("dcgan", spectral_norm=True).discriminator.stages[1][0].parametrizations.weight.original
    assert new.std().item() == pytest.approx(0.02, rel=0.05)  # drawn as without


@pytest.mark.parametrize("name", ["dcgan", "gan"])
def test_several_discriminators_judge_each_by_itself(name: str) -> None:
    options: dict[str, Any] = TINY if name == "dcgan" else {"in_features": 6}
    judges = lamina.create_model(name, **options, discriminators=3, classes=2).eval().discriminator
    x = torch.randn(4, *((1, 16, 16) if name == "dcgan" else (6,)))
    label = torch.tensor([0, 1, 1, 0])
    logits: Tensor = judges(x, label)
    assert logits.shape == (4, 3)
    for n, one in enumerate(judges.each):
        assert torch.equal(logits[:, n : n + 1], one(x, label))
    assert len(set(logits[0].tolist())) == 3
    with pytest.raises(UsageError, match="discriminators must be at least 1, got 0"):
        lamina.create_model(name, **options, discriminators=0)


def test_no_file_is_cut_at_the_chunk() -> None:
    generator = lamina.create_model("gan", in_features=2).generator
    assert generator.sample(0, seed=0).shape == (0, 2)
    assert generator.sample(65, seed=0).shape == (65, 2)
