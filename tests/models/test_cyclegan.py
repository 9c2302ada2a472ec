"""CycleGAN: the counts of the paper, the released nets written plainly, their files, sides of any size."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import lamina
from lamina.errors import UsageError
from lamina.weights.loading import load_weights


class Block(nn.Module):
    """pytorch-CycleGAN-and-pix2pix, models/networks.py: ResnetBlock, reflection, no dropout."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1), nn.Conv2d(dim, dim, 3), nn.InstanceNorm2d(dim), nn.ReLU(True),
            nn.ReflectionPad2d(1), nn.Conv2d(dim, dim, 3), nn.InstanceNorm2d(dim),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv_block(x)


class ResnetGenerator(nn.Module):
    def __init__(self, channels: int, out: int, ngf: int, blocks: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.ReflectionPad2d(3),
            nn.Conv2d(channels, ngf, 7),
            nn.InstanceNorm2d(ngf),
            nn.ReLU(),
        ]
        for i in range(2):
            layers += [
                nn.Conv2d(ngf * 2**i, ngf * 2 ** (i + 1), 3, 2, 1),
                nn.InstanceNorm2d(ngf * 2 ** (i + 1)),
                nn.ReLU(),
            ]
        layers += [Block(4 * ngf) for _ in range(blocks)]
        for i in (2, 1):
            half = ngf * 2 ** (i - 1)
            up = nn.ConvTranspose2d(ngf * 2**i, half, 3, stride=2, padding=1, output_padding=1)
            layers += [up, nn.InstanceNorm2d(half), nn.ReLU()]
        self.model = nn.Sequential(*layers, nn.ReflectionPad2d(3), nn.Conv2d(ngf, out, 7), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class NLayerDiscriminator(nn.Module):
    def __init__(self, channels: int, ndf: int, n_layers: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(channels, ndf, 4, 2, 1), nn.LeakyReLU(0.2)]
        mult = 1
        for n in range(1, n_layers + 1):
            before, mult = mult, min(2**n, 8)
            conv = nn.Conv2d(ndf * before, ndf * mult, 4, 2 if n < n_layers else 1, 1)
            layers += [conv, nn.InstanceNorm2d(ndf * mult), nn.LeakyReLU(0.2)]
        self.model = nn.Sequential(*layers, nn.Conv2d(ndf * mult, 1, 4, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


@pytest.mark.parametrize(("name", "generator"), [("cyclegan", 11_378_179), ("cyclegan-128", 7_837_699)])
def test_the_counts_of_the_released_nets(name: str, generator: int) -> None:
    with torch.device("meta"):
        model = lamina.create_model(name)
        counts = {
            part: sum(p.numel() for p in model.get_submodule(part).parameters())
            for part in ("generators.a_to_b", "generators.b_to_a", "discriminators.a", "discriminators.b")
        }
        score = model.discriminators.a(torch.zeros(1, 3, 256, 256))
    assert list(counts.values()) == [generator, generator, 2_764_737, 2_764_737]
    assert score.shape == (1, 1, 30, 30)


@pytest.mark.parametrize("old", [False, True], ids=["now", "before 0.4"])
@pytest.mark.parametrize(("channels", "to", "blocks", "layers"), [(3, 3, 9, 3), (3, 1, 6, 2), (1, 3, 1, 4)])
def test_the_released_nets_and_their_files(
    tmp_path: Path, channels: int, to: int, blocks: int, layers: int, old: bool
) -> None:
    """Each of the four nets is in a file of its own; old ones hold statistics that nothing uses."""
    torch.manual_seed(0)
    size = 3 * 2**layers
    ours = lamina.create_model(
        "cyclegan", a_channels=channels, b_channels=to, width=4, blocks=blocks, discriminator_width=3,
        discriminator_layers=layers, image_size=max(size, 24),
    ).double()  # fmt: skip
    theirs: dict[str, nn.Module] = {
        "generators.a_to_b": ResnetGenerator(channels, to, 4, blocks),
        "generators.b_to_a": ResnetGenerator(to, channels, 4, blocks),
        "discriminators.a": NLayerDiscriminator(channels, 3, layers),
        "discriminators.b": NLayerDiscriminator(to, 3, layers),
    }
    for part, net in theirs.items():
        state = net.double().state_dict()
        if old:
            for name, module in net.named_modules():
                if isinstance(module, nn.InstanceNorm2d):
                    state[f"{name}.running_mean"] = torch.randn(module.num_features)
                    state[f"{name}.running_var"] = torch.rand(module.num_features)
        torch.save(state, tmp_path / "latest_net.pth")
        loaded = load_weights(ours.get_submodule(part), tmp_path / "latest_net.pth")
        assert loaded.source == "pytorch-CycleGAN-and-pix2pix"
        x = torch.randn(
            2, channels if part in ("generators.a_to_b", "discriminators.a") else to, size, size + 4
        ).double()
        torch.testing.assert_close(ours.get_submodule(part)(x), net(x), rtol=0, atol=1e-10)
    if blocks == 9:
        names = [f"model.{i}.weight" for i in (1, 4, 7, 19, 22, 26)]
        assert set(names) <= set(theirs["generators.a_to_b"].state_dict())


def test_a_file_of_another_depth_is_refused(tmp_path: Path) -> None:
    ours = lamina.create_model("cyclegan", width=4, blocks=6, discriminator_width=3)
    torch.save(ResnetGenerator(3, 3, 4, 9).state_dict(), tmp_path / "nine.pth")
    with pytest.raises(UsageError, match="does not fit this Generator"):
        load_weights(ours.generators.a_to_b, tmp_path / "nine.pth")


@pytest.mark.parametrize("size", [(8, 8), (9, 15), (13, 10), (24, 33)])
def test_sides_that_are_no_multiple_of_four(size: tuple[int, int]) -> None:
    """Padded by reflection, and cut: where nothing has to be added, the net alone."""
    model = lamina.create_model("cyclegan", width=2, blocks=1, discriminator_width=2).double().eval()
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    y = model(x)
    assert y.shape == x.shape
    padded = nn.functional.pad(x, (0, -size[1] % 4, 0, -size[0] % 4), mode="reflect")
    torch.testing.assert_close(y, model(padded)[:, :, : size[0], : size[1]], rtol=0, atol=0)


def test_six_pictures_in_one_forward() -> None:
    model = lamina.create_model("cyclegan", width=2, blocks=1, discriminator_width=2).eval()
    a, b = torch.randn(2, 3, 16, 16), torch.randn(2, 3, 16, 20)
    made = model.generators(a, b)
    there, back = model.generators.a_to_b, model.generators.b_to_a
    wanted = (there(a), back(b), back(there(a)), there(back(b)), there(b), back(a))
    for one, other in zip(made, wanted, strict=True):
        torch.testing.assert_close(one, other)
    without = model.generators(a, b, identity=False)
    assert without.same_a is without.same_b is None
    grey = lamina.create_model("cyclegan", width=2, blocks=1, discriminator_width=2, b_channels=1)
    made = grey.generators(a, b[:, :1])
    assert made.same_a is made.same_b is None
    assert made.fake_b.shape == (2, 1, 16, 16)
    assert made.back_a.shape == a.shape


@pytest.mark.parametrize(
    ("layers", "field"), [(1, (16, 2, -5)), (2, (34, 4, -11)), (3, (70, 8, -23)), (4, (142, 16, -47))]
)
def test_the_receptive_field_of_a_patch_is_what_its_logit_depends_on(layers: int, field: tuple[int, int, int]) -> None:
    """Of the convolutions: instance normalisation, which sees whole maps, is left out."""
    torch.manual_seed(0)
    model = lamina.create_model(
        "cyclegan", width=2, blocks=0, discriminator_width=1, discriminator_layers=layers, image_size=256
    )
    judge = model.discriminators.a
    assert judge.field() == field
    for name, module in list(judge.named_modules()):
        if isinstance(module, nn.InstanceNorm2d) or type(module).__name__ == "InstanceNorm":
            judge.set_submodule(name, nn.Identity())
    for weight in judge.parameters():
        weight.data.abs_()
    x = torch.rand(1, 3, 256, 256, requires_grad=True)
    logit = judge(x)
    place = logit.shape[2] // 2
    (slope,) = torch.autograd.grad(logit[0, 0, place, place], x)
    seen = slope[0].abs().sum((0, 1)).nonzero()[:, 0]
    side, jump, first = field
    assert (int(seen.min()), int(seen.max())) == (first + place * jump, first + place * jump + side - 1)


def test_new_weights_and_no_scale_after_instance_normalisation() -> None:
    torch.manual_seed(0)
    model = lamina.create_model("cyclegan", width=16, blocks=1)
    for name, weight in model.named_parameters():
        if name.endswith("bias"):
            assert weight.abs().max() == 0
        elif weight.numel() > 4000:
            assert weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert all(name.endswith(("weight", "bias")) for name in model.state_dict())


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"image_size": 16}, "image_size 16 is too small for 3 convolutions of stride 2.*at least 24, or fewer"),
        ({"blocks": -1}, "blocks must not be negative"),
        ({"b_channels": 0}, "b_channels must be at least 1"),
    ],
)
def test_options_that_cannot_be(options: dict[str, int], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        lamina.create_model("cyclegan", **options)


def test_pictures_that_are_too_small_or_of_other_channels() -> None:
    model = lamina.create_model("cyclegan", width=2, blocks=1, discriminator_width=2)
    with pytest.raises(ValueError, match=r"at least 8 x 8 pixels, got 7 x 9"):
        model(torch.zeros(1, 3, 7, 9))
    with pytest.raises(ValueError, match=r"\(batch, 3, height, width\), got \(1, 1, 16, 16\)"):
        model(torch.zeros(1, 1, 16, 16))
    with pytest.raises(ValueError, match="at least 24 x 24"):
        model.discriminators.a(torch.zeros(1, 3, 16, 16))
