"""timm's names of models: what its tags, scaled widths and ``tf_`` mean here, without torch."""

from __future__ import annotations

import re
from collections.abc import Callable

TENSORFLOW = (
    'its tf_ models pad as TensorFlow does (padding "SAME", more on one side) and have batch-norm epsilon 1e-3; '
    "build the model with padding='tensorflow' and eps=1e-3 (--model.padding tensorflow --model.eps 1e-3)"
)
SCALED = re.compile(r"mobilenet_?v(?P<version>[123])_(?:(?P<size>small|large)_)?(?P<percent>\d{3})(?P<deep>d?)")
OPTIONS = {"1": {"activation": "'relu6'"}, "2": {}, "3": {"eps": "1e-5"}}
"""options under which a MobileNet of ours is timm's, by version"""
OTHER_CLASSES = re.compile(r"in(12k|21k|22k)")


def plain_name(name: str, known: Callable[[str], bool]) -> str | None:
    """The name without timm's tag and owner, where that is ``known``.

    plain_name("timm/resnet50.a1_in1k", known=is_model)   # "resnet50"
    """
    bare = re.sub(r"^(hf[-_]hub:)?timm/", "", name)
    for candidate in (bare, bare.partition(".")[0]):
        if candidate != name and known(candidate):
            return candidate
    return None


def why_not(name: str) -> str | None:
    """What to say of a name of timm's that is no variant here, or None: ``why_not("tf_efficientnet_b0")``."""
    bare = re.sub(r"^(hf[-_]hub:)?timm/", "", name).partition(".")[0].casefold().replace("-", "_")
    if bare.startswith("tf_"):
        return f"'{name}' is timm's, and not a model here: {TENSORFLOW}"
    match = SCALED.fullmatch(bare)
    if match is None:
        return None
    version, size, alpha = match["version"], match["size"], int(match["percent"]) / 100
    if version == "3" and (size is None or alpha < 1.0):
        return f"'{name}' is timm's, and not a model here: it scales the expansion ratio, alpha the expanded width"
    if match["deep"] or (version != "3" and size) or alpha == 0.0:
        return f"'{name}' is timm's, and not a model here: it scales depths and widths: give depths=(...) and alpha"
    ours = f"mobilenet-v{version}" + (f"-{size}" if size else "")
    options = {"alpha": f"{alpha:g}", **OPTIONS[version]}
    call = ", ".join((f"'{ours}'", *(f"{key}={value}" for key, value in options.items())))
    return f"'{name}' is a scaled {ours}: create_model({call})"


def remark(name: str) -> str | None:
    """What to mind of a name of timm's that is a variant here, or None: a dropped tag, an option of timm's own.

    remark("resnet50.a1_in1k")   # "the tag 'a1_in1k' names weights, not a model: ..."
    """
    bare = re.sub(r"^(hf[-_]hub:)?timm/", "", name)
    model, _, tag = bare.partition(".")
    remarks = []
    if re.search("[a-z]", tag):
        remarks.append(f"the tag '{tag}' names weights, not a model: --weights hf:timm/{bare.lower()} starts from them")
        if OTHER_CLASSES.search(tag) and "ft_in1k" not in tag:
            remarks.append("which have more classes than 1000: num_classes=")
    if re.fullmatch(r"mobilenetv3_(small|large)_\d{3}", model) or (tag and re.fullmatch(r"efficientnet_b[567]", model)):
        remarks.append("timm's batch norm has epsilon 1e-5: eps=1e-5")
    if re.fullmatch(r"mobilenetv1_\d{3}", model):
        remarks.append("timm's has ReLU6: activation='relu6'")
    return "; ".join(remarks) or None
