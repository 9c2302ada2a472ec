"""Names of timm's: which are variants here, what is dropped or said, and why the others are not."""

from __future__ import annotations

import pytest

import lamina
from lamina import registry
from lamina.cards.timm_names import plain_name, remark, why_not
from lamina.errors import UsageError


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("resnet50.a1_in1k", "resnet50"),
        ("timm/resnet50.a1_in1k", "resnet50"),
        ("hf-hub:timm/convnext_tiny.fb_in22k_ft_in1k", "convnext-tiny"),
        ("swin_base_patch4_window7_224.ms_in22k", "swin-base"),
        ("mobilenetv3_large_100.ra_in1k", "mobilenet-v3-large"),
        ("ResNet18.tv_in1k", "resnet18"),
    ],
)
def test_tags_and_owners_are_dropped(name: str, own: str) -> None:
    assert registry.canonical(name) == own
    assert registry.is_model(name)
    assert lamina.card(name) == lamina.card(own)
    assert "names weights, not a model: --weights hf:timm" in (registry.remark(name) or "")


def test_a_dropped_tag_and_an_option_of_timms_are_said() -> None:
    with pytest.warns(UserWarning, match=r"resnet18\.a1_in1k: the tag 'a1_in1k' names weights"):
        lamina.create_model("resnet18.a1_in1k")
    assert remark("mobilenetv3_small_100.lamb_in1k") == (
        "the tag 'lamb_in1k' names weights, not a model: --weights hf:timm/mobilenetv3_small_100.lamb_in1k starts "
        "from them; "
        "timm's batch norm has epsilon 1e-5: eps=1e-5"
    )
    assert "num_classes=" in (remark("convnext_base.fb_in22k") or "")
    assert "num_classes=" not in (remark("convnext_base.fb_in22k_ft_in1k") or "")
    assert remark("efficientnet_b5.sw_in12k_ft_in1k") != remark("efficientnet_b4.sw_in12k_ft_in1k")
    assert remark("mobilenetv1_100") == "timm's has ReLU6: activation='relu6'"
    for name in lamina.list_models():
        assert remark(name) is None, name


@pytest.mark.parametrize(
    "name",
    ["tf_efficientnet_b0", "tf_mobilenetv3_large_100", "timm/tf_efficientnet_b0.ns_jft_in1k", "TF_EfficientNet-B3"],
)
def test_tensorflows_models_are_refused_with_the_reason(name: str) -> None:
    for ask in (lamina.card, lamina.create_model, registry.canonical):
        with pytest.raises(UsageError, match=r"is timm's, and not a model here: its tf_ models pad as TensorFlow does"):
            ask(name)
    assert not registry.is_model(name)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("mobilenetv2_050", "is a scaled mobilenet-v2: create_model('mobilenet-v2', alpha=0.5)"),
        ("mobilenetv2_140.ra_in1k", "is a scaled mobilenet-v2: create_model('mobilenet-v2', alpha=1.4)"),
        ("mobilenetv1_125", "create_model('mobilenet-v1', alpha=1.25, activation='relu6')"),
        ("mobilenetv3_large_150", "create_model('mobilenet-v3-large', alpha=1.5, eps=1e-5)"),
        ("mobilenetv3_small_075", "it scales the expansion ratio, alpha the expanded width"),
        ("mobilenetv2_110d", "it scales depths and widths"),
    ],
)
def test_scaled_models_say_which_option_makes_them(name: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        lamina.create_model(name)
    assert str(caught.value).endswith(says) or says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_options_that_are_said_make_a_model() -> None:
    for name in ("mobilenetv2_050", "mobilenetv1_125", "mobilenetv3_large_150"):
        call = (why_not(name) or "").partition(": ")[2]
        assert eval(call, {"create_model": lamina.create_model}) is not None


def test_other_names_are_left_alone() -> None:
    for name in ("lenet5", "squeezenet-1.0", "squeezenet1.9", "qqqq", "mobilenet"):
        assert why_not(name) is None
        assert plain_name(name, lambda bare: False) is None
    assert registry.canonical("squeezenet-1.0") == "squeezenet-1.0"
    with pytest.raises(UsageError, match="unknown model 'resnet5000'; did you mean"):
        registry.canonical("resnet5000")
