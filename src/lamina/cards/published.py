"""Weights on the hub, by variant: the repositories of timm as its own tables list them (version 1.0.31), and those of
GPT-2. No revision, hash or accuracy stands here: the hub states them.

    >>> [(one.name, one.repository) for one in PUBLISHED["resnet18"]]
    [('imagenet', 'timm/resnet18.a1_in1k'), ('imagenet-torchvision', 'timm/resnet18.tv_in1k')]
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lamina.cards import PublishedWeights

IN1K, IN22K, BOTH = "ImageNet-1k", "ImageNet-22k", "ImageNet-22k, then ImageNet-1k"
APACHE, BSD, MIT = "apache-2.0", "bsd-3-clause", "mit"


def _timm(
    repository: str,
    licence: str,
    data: str = IN1K,
    *,
    name: str = "imagenet",
    normalisation: str = "imagenet",
    **options: Any,
) -> PublishedWeights:
    return PublishedWeights(
        name=name,
        repository=f"timm/{repository}",
        data=data,
        licence=licence,
        classes=21841 if data == IN22K else 1000,
        normalisation=normalisation,
        options=options,
    )


def _gpt2(repository: str) -> PublishedWeights:
    return PublishedWeights(name="webtext", repository=f"openai-community/{repository}", data="WebText", licence=MIT)


PUBLISHED: Mapping[str, tuple[PublishedWeights, ...]] = {
    "resnet18": (
        _timm("resnet18.a1_in1k", APACHE),
        _timm("resnet18.tv_in1k", BSD, name="imagenet-torchvision"),
    ),
    "resnet34": (
        _timm("resnet34.a1_in1k", APACHE),
        _timm("resnet34.tv_in1k", BSD, name="imagenet-torchvision"),
    ),
    "resnet50": (
        _timm("resnet50.a1_in1k", APACHE),
        _timm("resnet50.tv_in1k", BSD, name="imagenet-torchvision"),
    ),
    "resnet101": (
        _timm("resnet101.a1_in1k", APACHE),
        _timm("resnet101.tv_in1k", BSD, name="imagenet-torchvision"),
    ),
    "resnet152": (
        _timm("resnet152.a1_in1k", APACHE),
        _timm("resnet152.tv_in1k", BSD, name="imagenet-torchvision"),
    ),
    "vgg11": (_timm("vgg11.tv_in1k", BSD),),
    "vgg11-bn": (_timm("vgg11_bn.tv_in1k", BSD),),
    "vgg13": (_timm("vgg13.tv_in1k", BSD),),
    "vgg13-bn": (_timm("vgg13_bn.tv_in1k", BSD),),
    "vgg16": (_timm("vgg16.tv_in1k", BSD),),
    "vgg16-bn": (_timm("vgg16_bn.tv_in1k", BSD),),
    "vgg19": (_timm("vgg19.tv_in1k", BSD),),
    "vgg19-bn": (_timm("vgg19_bn.tv_in1k", BSD),),
    "densenet121": (_timm("densenet121.ra_in1k", APACHE),),
    "densenet161": (_timm("densenet161.tv_in1k", APACHE),),
    "densenet169": (_timm("densenet169.tv_in1k", APACHE),),
    "densenet201": (_timm("densenet201.tv_in1k", APACHE),),
    "convnext-tiny": (
        _timm("convnext_tiny.fb_in1k", APACHE),
        _timm("convnext_tiny.fb_in22k", APACHE, IN22K, name="imagenet-22k"),
    ),
    "convnext-small": (
        _timm("convnext_small.fb_in1k", APACHE),
        _timm("convnext_small.fb_in22k", APACHE, IN22K, name="imagenet-22k"),
    ),
    "convnext-base": (
        _timm("convnext_base.fb_in1k", APACHE),
        _timm("convnext_base.fb_in22k", APACHE, IN22K, name="imagenet-22k"),
    ),
    "convnext-large": (
        _timm("convnext_large.fb_in1k", APACHE),
        _timm("convnext_large.fb_in22k", APACHE, IN22K, name="imagenet-22k"),
    ),
    "convnext-xlarge": (
        _timm("convnext_xlarge.fb_in22k_ft_in1k", APACHE, BOTH),
        _timm("convnext_xlarge.fb_in22k", APACHE, IN22K, name="imagenet-22k"),
    ),
    "swin-tiny": (
        _timm("swin_tiny_patch4_window7_224.ms_in1k", MIT),
        _timm("swin_tiny_patch4_window7_224.ms_in22k", MIT, IN22K, name="imagenet-22k"),
    ),
    "swin-small": (
        _timm("swin_small_patch4_window7_224.ms_in1k", MIT),
        _timm("swin_small_patch4_window7_224.ms_in22k", MIT, IN22K, name="imagenet-22k"),
    ),
    "swin-base": (
        _timm("swin_base_patch4_window7_224.ms_in1k", MIT),
        _timm("swin_base_patch4_window7_224.ms_in22k", MIT, IN22K, name="imagenet-22k"),
    ),
    "swin-large": (
        _timm("swin_large_patch4_window7_224.ms_in22k_ft_in1k", MIT, BOTH),
        _timm("swin_large_patch4_window7_224.ms_in22k", MIT, IN22K, name="imagenet-22k"),
    ),
    "swin-base-384": (
        _timm("swin_base_patch4_window12_384.ms_in1k", MIT),
        _timm("swin_base_patch4_window12_384.ms_in22k", MIT, IN22K, name="imagenet-22k"),
    ),
    "efficientnet-b0": (_timm("efficientnet_b0.ra_in1k", APACHE),),
    "efficientnet-b1": (_timm("efficientnet_b1.ft_in1k", APACHE),),
    "efficientnet-b2": (_timm("efficientnet_b2.ra_in1k", APACHE),),
    "efficientnet-b3": (_timm("efficientnet_b3.ra2_in1k", APACHE),),
    "efficientnet-b4": (_timm("efficientnet_b4.ra2_in1k", APACHE),),
    "efficientnet-b5": (
        _timm("efficientnet_b5.sw_in12k_ft_in1k", APACHE, "ImageNet-12k, then ImageNet-1k", eps=1e-05),
    ),
    "efficientnet-b6": (_timm("tf_efficientnet_b6.aa_in1k", APACHE, padding="tensorflow", eps=0.001),),
    "efficientnet-b7": (_timm("tf_efficientnet_b7.aa_in1k", APACHE, padding="tensorflow", eps=0.001),),
    "mobilenet-v1": (_timm("mobilenetv1_100.ra4_e3600_r224_in1k", APACHE, normalisation="half", activation="relu6"),),
    "mobilenet-v2": (_timm("mobilenetv2_100.ra_in1k", APACHE),),
    "mobilenet-v3-large": (_timm("mobilenetv3_large_100.ra_in1k", APACHE, eps=1e-05),),
    "mobilenet-v3-small": (_timm("mobilenetv3_small_100.lamb_in1k", APACHE, eps=1e-05),),
    "gpt2": (_gpt2("gpt2"),),
    "gpt2-medium": (_gpt2("gpt2-medium"),),
    "gpt2-large": (_gpt2("gpt2-large"),),
    "gpt2-xl": (_gpt2("gpt2-xl"),),
}


def published_names() -> set[str]:
    """What weights on the hub are called here: {"imagenet", "webtext", ...}."""
    return {one.name for entries in PUBLISHED.values() for one in entries}
