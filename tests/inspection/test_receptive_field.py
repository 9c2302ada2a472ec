"""Receptive fields against sums done by hand, and against the pixels that really have a gradient."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

import lamina
from lamina.errors import UsageError
from lamina.inspection.layers import layer_table, receptive_field
from lamina.inspection.receptive import ReceptiveField


def sizes(net: nn.Module, shape: tuple[int, ...]) -> tuple[int, ...] | None:
    field = receptive_field(net, shape)
    return field.size if field else None


def test_lenet5_sees_what_its_paper_says() -> None:
    net = lamina.create_model("lenet5")
    rows = {row.name: row.receptive_field for row in layer_table(net, (1, 32, 32))}
    assert rows["stage1.0"] == (5, 5)  # C1
    assert rows["stage1.2"] == (6, 6)  # S2
    assert rows["stage2.0"] == (14, 14)  # C3
    assert rows["stage2.2"] == (16, 16)  # S4
    assert rows["c5.1"] is None  # the whole image
    assert receptive_field(net, (1, 32, 32), "stage2") == ReceptiveField(size=(16, 16), jump=(4, 4), start=(0, 0))
    assert receptive_field(net, (1, 32, 32)) is None


class Cut(nn.Module):
    """Every fourth position from the fifth on, by a step and by splits."""

    def forward(self, x: Tensor) -> Tensor:
        rest = x.split([1, x.shape[2] - 1], dim=2)[1][:, :, :, 1:]
        return rest[:, :, 4::4, 4::4]


@pytest.mark.parametrize(
    ("layers", "wanted"),
    [
        ([nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)], (5, 1, -2)),
        ([nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3)], (7, 1, 0)),
        ([nn.Conv2d(3, 4, 3, dilation=4, padding=4)], (9, 1, -4)),
        ([nn.Conv2d(3, 4, 3, dilation=d, padding=d) for d in (1,)] + [nn.Conv2d(4, 4, 3, dilation=2)], (7, 1, -1)),
        ([nn.Conv2d(3, 4, 7, stride=2, padding=3), nn.MaxPool2d(3, 2, 1)], (11, 4, -5)),
        ([nn.Conv2d(3, 4, 4, stride=4), nn.Conv2d(4, 4, 7, padding=3)], (28, 4, -12)),
        ([nn.ReflectionPad2d(3), nn.Conv2d(3, 4, 7), nn.InstanceNorm2d(4)], None),
        ([nn.ReflectionPad2d(3), nn.Conv2d(3, 4, 7), nn.BatchNorm2d(4), nn.PReLU(), nn.Hardswish()], (7, 1, -3)),
        ([nn.ZeroPad2d((1, 2, 1, 2)), nn.Conv2d(3, 4, 4), nn.LocalResponseNorm(5), nn.Dropout(0.5)], (4, 1, -1)),
        ([nn.Conv2d(3, 4, 3, padding="same"), nn.Softmax(dim=1), nn.AvgPool2d(2)], (4, 2, -1)),
        ([nn.Conv2d(3, 4, 3), nn.Softmax(dim=-1)], None),
        ([nn.AdaptiveAvgPool2d(32), nn.Conv2d(3, 4, 3)], (6, 2, 0)),
        ([nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(7)], None),  # windows of several widths
        ([nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1)], None),
        ([nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4)], None),
        ([nn.Conv2d(3, 4, 3), nn.LayerNorm([62])], None),
        ([nn.Conv2d(3, 4, 3), Cut()], (3, 4, 5)),
        ([nn.Conv2d(3, 4, 3), nn.Upsample(scale_factor=2)], None),
        ([nn.ConvTranspose2d(3, 4, 4, stride=2)], None),
        ([nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular")], None),
        ([nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect")], (3, 1, -1)),
        ([nn.Identity()], (1, 1, 0)),
    ],
)
def test_stacks_by_hand(layers: list[nn.Module], wanted: tuple[int, int, int] | None) -> None:
    field = receptive_field(nn.Sequential(*layers), (3, 64, 64))
    if wanted is None:
        assert field is None
    else:
        size, jump, start = wanted
        assert field == ReceptiveField(size=(size, size), jump=(jump, jump), start=(start, start))


def test_the_discriminator_of_patches_of_seventy_pixels() -> None:
    widths, strides = [3, 64, 128, 256, 512, 1], [2, 2, 2, 1, 1]
    net = nn.Sequential(*(nn.Conv2d(a, b, 4, s, 1) for (a, b), s in zip(pairwise(widths), strides, strict=True)))
    assert sizes(net, (3, 256, 256)) == (70, 70)


def test_axes_are_kept_apart() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, (3, 5), stride=(1, 2)), nn.MaxPool2d((2, 1)))
    assert receptive_field(net, (1, 40, 50)) == ReceptiveField(size=(4, 5), jump=(2, 2), start=(0, 0))
    assert sizes(nn.Sequential(nn.Conv1d(2, 3, 3, dilation=2), nn.MaxPool1d(2), nn.Conv1d(3, 3, 3)), (2, 40)) == (10,)
    assert sizes(nn.Sequential(nn.Conv3d(2, 3, (1, 3, 3)), nn.MaxPool3d(2)), (2, 8, 20, 20)) == (2, 4, 4)


class Residual(nn.Module):
    """x + two convolutions; ``option`` is the shortcut where the block strides."""

    def __init__(self, stride: int = 1, option: str = "A") -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(4, 4 * stride, 3, stride, 1)
        self.conv2 = nn.Conv2d(4 * stride, 4 * stride, 3, 1, 1)
        self.projection = nn.Conv2d(4, 8, 1, 2) if stride == 2 and option == "B" else None
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv2(self.conv1(x).relu())
        if self.projection is not None:
            x = self.projection(x)
        elif self.stride == 2:  # every second pixel, missing channels filled with zeros
            x = nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2))
        return (out + x).relu_()


@pytest.mark.parametrize("option", ["A", "B"])
def test_a_residual_branch_sees_as_far_as_its_longest_path(option: str) -> None:
    net = nn.Sequential(Residual(), Residual(2, option))
    shape = (4, 32, 32)
    assert receptive_field(net, shape, "0") == ReceptiveField(size=(5, 5), jump=(1, 1), start=(-2, -2))
    # conv 3 stride 2 on what sees 5, then 3 at jump 2: 5 + 2 + 4
    assert receptive_field(net, shape) == ReceptiveField(size=(11, 11), jump=(2, 2), start=(-5, -5))


class Hull(nn.Module):
    """Two branches that look to different sides: together they see more than the longer of them."""

    def __init__(self, join: str) -> None:
        super().__init__()
        self.left = nn.Sequential(nn.ZeroPad2d((4, 0, 0, 0)), nn.Conv2d(1, 2, (1, 5)))
        self.right = nn.Sequential(nn.ZeroPad2d((0, 2, 0, 0)), nn.Conv2d(1, 2, (1, 3)))
        self.join = join

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.left(x), self.right(x)
        if self.join == "cat":
            return torch.cat([left, right], dim=1)
        return torch.stack([left, right]).sum(0) if self.join == "stack" else left + right


@pytest.mark.parametrize(("join", "wanted"), [("add", (1, 7)), ("cat", (1, 7)), ("stack", None)])
def test_branches_are_joined_to_their_hull(join: str, wanted: tuple[int, int] | None) -> None:
    assert sizes(Hull(join), (1, 20, 20)) == wanted  # stack has no rule: no number rather than a wrong one


class Tokens(nn.Module):
    """Image -> tokens (B, H W, C) -> linear layer and layer norm on each -> image; and, asked so, mixed over tokens."""

    def __init__(self, mix: bool = False, flip: bool = False) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, 4)
        self.norm, self.linear = nn.LayerNorm(8), nn.Linear(8, 8)
        self.mix = nn.Linear(64, 64) if mix else None
        self.flip = flip

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x)
        side = x.shape[-1]
        tokens_BTC = self.linear(self.norm(x.flatten(2).transpose(1, 2)))
        if self.mix is not None:
            tokens_BTC = self.mix(tokens_BTC.transpose(1, 2)).transpose(1, 2)
        if self.flip:
            tokens_BTC = tokens_BTC.flip(1)
        return tokens_BTC.transpose(1, 2).unflatten(2, (side, side)).chunk(2, dim=1)[0].contiguous()


def test_tokens_keep_their_place_until_they_are_mixed() -> None:
    assert receptive_field(Tokens(), (3, 32, 32)) == ReceptiveField(size=(4, 4), jump=(4, 4), start=(0, 0))
    assert receptive_field(Tokens(mix=True), (3, 32, 32)) is None
    assert receptive_field(Tokens(flip=True), (3, 32, 32)) is None


class Gate(nn.Module):
    """Squeeze and excitation: every position is scaled by what the whole image says."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.gate = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return x * self.gate(x.mean((2, 3), keepdim=True)).sigmoid()


class Rewritten(nn.Module):
    """Writes a wider view into a slice of what it had: the whole is then not what it was."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 2, 5, padding=2)

    def forward(self, x: Tensor) -> Tensor:
        y = x * 2
        y[:, :2] += self.conv(y)
        return y


def test_what_sees_the_whole_image_gets_no_number() -> None:
    assert sizes(Gate(), (3, 16, 16)) is None
    assert receptive_field(Gate(), (3, 16, 16), "conv") is not None
    assert sizes(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 5)), (3, 8, 8)) is None


def test_writing_into_a_part_is_not_taken_for_the_whole() -> None:
    assert sizes(Rewritten(), (4, 16, 16)) is None
    assert sizes(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 3)), (3, 16, 16)) == (5, 5)


class Forked(nn.Module):
    """Two paths of a different number of windows, of one stride in all, added or joined."""

    def __init__(self, draw: random.Random, channels: int) -> None:
        super().__init__()
        wide, dilation, stride = draw.choice([2, 3, 4]), draw.choice([1, 2]), draw.choice([1, 2])
        self.long = nn.Sequential(
            nn.Conv2d(channels, 2, (wide, 3), padding=(dilation * (wide - 1) // 2, 1), dilation=(dilation, 1)),
            nn.ReLU(),
            nn.Conv2d(2, 2, 3, stride, 1),
        )
        self.short = nn.Conv2d(channels, 2, (1, 5), stride, (0, 2))
        self.cat = draw.random() < 0.5

    def forward(self, x: Tensor) -> Tensor:
        long, short = self.long(x), self.short(x)
        rows = min(long.shape[2], short.shape[2])
        long, short = long[:, :, :rows], short[:, :, :rows]
        return torch.cat([long, short], 1) if self.cat else long + short


def random_net(seed: int) -> nn.Sequential:
    """Convolutions, poolings and forks with positive weights, so that no gradients cancel."""
    draw = random.Random(seed)
    layers: list[nn.Module] = []
    channels, stride_in_all = 1, 1
    for _ in range(draw.randint(2, 4)):
        kind = draw.choice(["conv", "conv", "pool", "fork"])
        kernel, padding = (draw.randint(1, 4), draw.randint(1, 4)), (draw.randint(0, 2), draw.randint(0, 2))
        stride = draw.choice([1, 1, 2]) if stride_in_all < 4 else 1
        if kind == "conv":
            dilation = (draw.randint(1, 2), draw.randint(1, 3))
            layers += [nn.Conv2d(channels, 2, kernel, stride, padding, dilation), nn.Softplus()]
            channels = 2
        elif kind == "pool":
            layers += [nn.AvgPool2d(2, stride, padding=draw.randint(0, 1))]
        else:
            fork = Forked(draw, channels)
            layers += [fork]
            channels, stride = 4 if fork.cat else 2, fork.short.stride[0]
        stride_in_all *= stride
    net = nn.Sequential(*layers).double()
    for weight in net.parameters():
        nn.init.uniform_(weight, 0.1, 1.0)
    return net


@pytest.mark.parametrize("seed", range(24))
def test_the_field_is_where_the_gradient_is(seed: int) -> None:
    net, side = random_net(seed), 112
    field = receptive_field(net, (1, side, side))
    assert field is not None
    x = torch.rand(1, 1, side, side, dtype=torch.float64, requires_grad=True)
    out = net(x)
    places = [out.shape[2] // 2, out.shape[3] // 2]
    (gradient,) = torch.autograd.grad(out[0, :, places[0], places[1]].sum(), x)
    for axis, place in enumerate(places):
        seen = gradient[0, 0].sum(1 - axis).nonzero().flatten()
        first = place * field.jump[axis] + field.start[axis]
        assert first > 0, "the window must lie inside the image for this comparison"
        assert first + field.size[axis] < side
        assert (seen.min().item(), seen.max().item()) == (first, first + field.size[axis] - 1)


def test_a_layer_that_is_not_there_is_told_the_nearest() -> None:
    with pytest.raises(UsageError, match="unknown layer 'stage3'; did you mean 'stage2'"):
        receptive_field(lamina.create_model("lenet5"), (1, 32, 32), "stage3")
