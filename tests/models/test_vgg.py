"""VGG: the paper's table of layers, first weights, options, the names of other projects."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lamina
from lamina import registry
from lamina.errors import UsageError
from lamina.models.vgg import VARIANTS, VGG
from lamina.weights.vgg import LAYOUTS

NETS = {  # table 1 of the paper
    "vgg11": [64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"],
    "vgg13": [64, 64, "M", 128, 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"],
    "vgg16": [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M"],
    "vgg19": [64, 64, "M", 128, 128, "M", *[256] * 4, "M", *[512] * 4, "M", *[512] * 4, "M"],
}
CONVOLUTIONS_16 = [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]


def model(name: str = "vgg11", **options: Any) -> VGG:
    row = VARIANTS[name]
    net = registry.build(row, registry.configure(row, {**row.small, **options}))
    assert isinstance(net, VGG)
    return net


def on_meta(name: str) -> VGG:
    with torch.device("meta"):
        return VGG(VARIANTS[name].config)


def test_linear_layers_hold_89_percent_of_vgg16() -> None:
    linear = [module for module in on_meta("vgg16").modules() if isinstance(module, nn.Linear)]
    assert sum(weight.numel() for module in linear for weight in module.parameters()) == 123_642_856


@pytest.mark.parametrize("name", NETS)
def test_layers_of_the_paper(name: str) -> None:
    net = on_meta(name)
    layers: list[int | str] = []
    for module in net.stages.modules():
        if isinstance(module, nn.Conv2d):
            assert (module.kernel_size, module.stride, module.padding) == ((3, 3), (1, 1), (1, 1))
            layers.append(module.out_channels)
        elif isinstance(module, nn.MaxPool2d):
            layers.append("M")
    assert layers == NETS[name]
    maps = net.features(torch.empty(1, 3, 224, 224, device="meta"))
    assert [tuple(stage.shape[1:]) for stage in maps] == [
        (64, 112, 112),
        (128, 56, 56),
        (256, 28, 28),
        (512, 14, 14),
        (512, 7, 7),
    ]


def by_hand(name: str, widths: dict[int, int], hidden: int, pooled: int, norm: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    channels = 3
    for width in NETS[name]:
        if isinstance(width, str):
            layers.append(nn.MaxPool2d(2, 2))
        else:
            layers += [nn.Conv2d(channels, widths[width], 3, padding=1)]
            layers += [nn.BatchNorm2d(widths[width])] if norm else []
            layers += [nn.ReLU()]
            channels = widths[width]
    layers += [nn.AdaptiveAvgPool2d(pooled), nn.Flatten(), nn.Linear(channels * pooled**2, hidden), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 10))


@pytest.mark.parametrize("name", ["vgg16", "vgg19-bn"])
def test_forward_by_hand(name: str) -> None:
    torch.manual_seed(0)
    ours = model(name, widths=(4, 6, 8, 12, 12)).double().eval()
    norm = name.endswith("-bn")
    reference = by_hand(name.removesuffix("-bn"), {64: 4, 128: 6, 256: 8, 512: 12}, 16, 2, norm).double().eval()
    for module in reference.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.2, 3.0)
            nn.init.normal_(module.weight, 1.0, 0.3)
    tensors = list(reference.state_dict().values())
    ours.load_state_dict(dict(zip(ours.state_dict(), tensors, strict=True)))
    x: Tensor = torch.randn(2, 3, 64, 97, dtype=torch.float64)
    wanted = reference(x)
    assert (ours(x) - wanted).abs().max() <= 1e-10 * wanted.abs().max()
    assert (wanted[0] - wanted[1]).abs().max() > 1e-6 * wanted.abs().max()


@pytest.mark.parametrize("start", ["he", "normal"])
def test_first_weights(start: str) -> None:
    torch.manual_seed(0)
    net = model(start=start, widths=(64, 64, 64, 64, 64), hidden=256, num_classes=100)
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            assert module.bias is not None
            assert not module.bias.any()
            he = start == "he" and isinstance(module, nn.Conv2d)
            deviation = (
                (2 / (64 * 9)) ** 0.5 if he else 0.01
            )  # of the maps given, 64 in every stage, not of those taken
            assert module.weight.std().item() == pytest.approx(deviation, rel=0.06)
    net.reset_head(50)
    assert isinstance(net.head, nn.Linear)
    assert net.head.weight.std().item() == pytest.approx(0.01, rel=0.06)
    assert not net.head.bias.any()


def test_dropout_follows_fc6_and_fc7() -> None:
    net = model(dropout=0.75)
    parts = [*net.neck.named_children(), ("dropout", net.dropout)]
    active = [before for (before, _), (_, part) in pairwise(parts) if getattr(part, "p", 0) == 0.75]
    assert active == ["relu6", "relu7"]


def test_small_stem_does_not_pool_the_first_stage() -> None:
    net = model(stem="small", image_size=28, in_channels=1, pooled=1).eval()
    maps = net.features(torch.randn(2, 1, 28, 28))
    assert [stage.shape[-1] for stage in maps] == [28, 14, 7, 3, 1]
    assert dict(LAYOUTS[0].names(net)) == dict(LAYOUTS[0].names(model())), "poolings are counted, there or not"


@pytest.mark.parametrize(("stem", "min_size"), [("imagenet", 32), ("small", 16)])
def test_min_size(stem: str, min_size: int) -> None:
    net = model(stem=stem).eval()
    assert net(torch.randn(1, 3, min_size, min_size + 9)).isfinite().all()
    with pytest.raises(ValueError, match=f"at least {min_size} x {min_size}"):
        net(torch.randn(1, 3, min_size, min_size - 1))
    with pytest.raises(UsageError, match=f"image_size={min_size - 1}"):
        model(stem=stem, image_size=min_size - 1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"depths": (1, 1)}, "must name the same stages"),
        ({"depths": (1, 1, 0, 1, 1)}, "at least 1"),
        ({"norm": "bach"}, "did you mean 'batch'"),
        ({"in_channels": 0}, "in_channels must be at least 1"),
    ],
)
def test_bad_options(options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said) as error:
        model(**options)
    assert "\n" not in str(error.value)


def test_names_of_torchvision_and_timm() -> None:
    net = on_meta("vgg16")
    torchvision, timm = (layout.translation(net) for layout in LAYOUTS)
    features = [f"features.{i}" for i in CONVOLUTIONS_16]
    for translation, linear in (
        (torchvision, ["classifier.0", "classifier.3", "classifier.6"]),
        (timm, ["pre_logits.fc1", "pre_logits.fc2", "head.fc"]),
    ):
        ours = [translation.ours(f"{name}.{tensor}") for name in features + linear for tensor in ("weight", "bias")]
        assert ours == list(net.state_dict())
    assert torchvision.ours("features.1.weight") is None


def test_names_of_torchvision_with_batch_norm() -> None:
    net = on_meta("vgg11-bn")
    translation = LAYOUTS[0].translation(net)
    theirs = [f"features.{i + step}" for i in (0, 4, 8, 11, 15, 18, 22, 25) for step in (0, 1)]
    assert [translation.ours(f"{name}.weight") for name in theirs] == [
        name for name in net.state_dict() if name.startswith("stages") and name.endswith("weight")
    ]


def test_convolutions_of_timm_load_as_linear_layers(tmp_path: Path) -> None:
    torch.manual_seed(0)
    source, fresh = model(), model()
    translation = LAYOUTS[1].translation(source)
    theirs = {translation.theirs(name) or name: tensor.detach() for name, tensor in source.state_dict().items()}
    theirs["pre_logits.fc1.weight"] = theirs["pre_logits.fc1.weight"].reshape(16, 8, 2, 2)
    theirs["pre_logits.fc2.weight"] = theirs["pre_logits.fc2.weight"].reshape(16, 16, 1, 1)
    torch.save(theirs, tmp_path / "vgg.pth")
    loaded = lamina.load_weights(fresh, tmp_path / "vgg.pth")
    assert (loaded.source, loaded.kept, loaded.unused) == ("timm", (), ())
    x = torch.randn(2, 3, 64, 64)
    assert torch.equal(fresh.eval()(x), source.eval()(x))
