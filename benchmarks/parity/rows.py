"""Which variant of ours is which model of theirs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SMALL = ((64, 64), (64, 96))
WHOLE = ((224, 224), (224, 288))


@dataclass(frozen=True, kw_only=True)
class Row:
    """One comparison."""

    ours: str
    library: str
    theirs: str
    options: Mapping[str, Any] = field(default_factory=dict)
    """overrides of our variant under which it is theirs"""
    keywords: Mapping[str, Any] = field(default_factory=dict)
    """of their constructor"""
    sizes: tuple[tuple[int, int], ...] = SMALL
    """height and width of the inputs, a square and one that is not"""
    sized: bool = False
    """whether theirs is built for each size (``img_size``)"""
    deep: bool = False
    """more than 50 layers: float32 agrees to 1e-4 then, else to 1e-5"""


def _torchvision() -> list[Row]:
    def row(ours: str, theirs: str, **more: Any) -> Row:
        return Row(ours=ours, library="torchvision", theirs=theirs, **more)

    return [
        row("alexnet", "alexnet"),
        *(row(f"vgg{n}{bn}", f"vgg{n}{bn.replace('-', '_')}") for n in (11, 13, 16, 19) for bn in ("", "-bn")),
        *(row(f"resnet{n}", f"resnet{n}", deep=n > 50) for n in (18, 34, 50, 101, 152)),
        *(row(f"densenet{n}", f"densenet{n}", deep=True) for n in (121, 161, 169, 201)),
        *(row(f"squeezenet-1.{n}", f"squeezenet1_{n}") for n in (0, 1)),
        row("mobilenet-v2", "mobilenet_v2", deep=True),
        *(row(f"mobilenet-v3-{size}", f"mobilenet_v3_{size}", deep=True) for size in ("small", "large")),
        *(row(f"efficientnet-b{n}", f"efficientnet_b{n}", deep=True) for n in range(8)),
        *(row(f"convnext-{s}", f"convnext_{s}", deep=s != "tiny") for s in ("tiny", "small", "base", "large")),
        *(row(f"swin-{s}", f"swin_{s[0]}", sizes=WHOLE, deep=s != "tiny") for s in ("tiny", "small", "base")),
    ]


def _timm() -> list[Row]:
    def row(ours: str, theirs: str, **more: Any) -> Row:
        return Row(ours=ours, library="timm", theirs=theirs, **more)

    return [
        *(
            row(f"vgg{n}{bn}", f"vgg{n}{bn.replace('-', '_')}", sizes=((224, 224), (192, 224)))
            for n in (11, 13, 16, 19)
            for bn in ("", "-bn")
        ),
        *(row(f"resnet{n}", f"resnet{n}", deep=n > 50) for n in (18, 34, 50, 101, 152)),
        *(row(f"densenet{n}", f"densenet{n}", deep=True) for n in (121, 161, 169, 201)),
        row("mobilenet-v1", "mobilenetv1_100", options={"activation": "relu6"}),
        row("mobilenet-v1", "mobilenetv1_125", options={"activation": "relu6", "alpha": 1.25}),
        *(
            row("mobilenet-v2", f"mobilenetv2_{n:03}", options={"alpha": n / 100}, deep=True)
            for n in (35, 50, 75, 100, 140)
        ),
        *(
            row(f"mobilenet-v3-{size}", f"mobilenetv3_{size}_100", options={"eps": 1e-5}, deep=True)
            for size in ("small", "large")
        ),
        *(
            row(f"efficientnet-b{n}", f"efficientnet_b{n}", options={"eps": 1e-5} if n > 4 else {}, deep=True)
            for n in range(8)
        ),
        *(
            row(f"convnext-{s}", f"convnext_{s}", deep=s != "tiny")
            for s in ("tiny", "small", "base", "large", "xlarge")
        ),
        *(
            row(
                f"swin-{s}",
                f"swin_{s}_patch4_window7_224",
                sizes=((224, 224), (448, 224)),
                sized=True,
                deep=s != "tiny",
            )
            for s in ("tiny", "small", "base", "large")
        ),
        row(
            "swin-base-384",
            "swin_base_patch4_window12_384",
            sizes=((384, 384), (768, 384)),
            sized=True,
            deep=True,
        ),
        row("coatnet-0", "coatnet_0_224", sizes=((224, 224),)),  # its position bias is of this one size of map
    ]


ROWS = (*_torchvision(), *_timm())
