"""The claims by name; each is ``CLAIM`` in the module of its name. Listing the names does not import torch."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from lamina.errors import unknown

if TYPE_CHECKING:
    from lamina.claims.claim import AnyClaim

NAMES = (
    "xor",
    "mistake-bound",
    "universal-approximation",
    "relu-interpolation",
    "vanishing-gradients",
    "relu-sparsity",
    "gelu-approximation",
    "translation-equivariance",
    "cross-correlation",
    "outliers",
    "momentum",
    "adam-first-step",
    "weight-decay",
    "batch-norm-rate",
    "dropout",
    "residual-depth",
    "zero-gamma-identity",
    "stacked-3x3",
    "densenet-growth",
    "fire-module",
    "depthwise-separable-cost",
    "mobilenet-alpha-rho",
    "layer-scale-identity",
    "swin-windows",
    "swin-linear",
    "gradient-by-lag",
    "adding-problem",
    "copy-and-reverse",
    "attention-scale",
    "permutation-equivariance",
    "causal-mask",
    "first-token-recall",
    "sequential-operations",
    "gru-candidate",
    "sinusoid-shift",
)
"""The names, in the order of the page."""


def list_claims() -> list[str]:
    """The names of all claims."""
    return list(NAMES)


def check_name(name: str) -> str:
    """The canonical form of a name; case is ignored, ``_`` and ``-`` are equal. Raises UsageError for an unknown
    name."""
    folded = name.casefold().replace("_", "-")
    if folded not in NAMES:
        raise unknown("claim", name, NAMES)
    return folded


def get_claim(name: str) -> AnyClaim:
    """The claim of this name. Raises UsageError for an unknown name."""
    module = importlib.import_module(f"lamina.claims.experiments.{check_name(name).replace('-', '_')}")
    claim: AnyClaim = module.CLAIM
    return claim
