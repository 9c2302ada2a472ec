"""The claims by name; each is ``CLAIM`` in the module of its name, in the folder of its group. Listing the names does
not import torch."""

from __future__ import annotations

import importlib
import json
from importlib import resources
from typing import TYPE_CHECKING

from lamina.errors import unknown

if TYPE_CHECKING:
    from lamina.claims.claim import AnyClaim

GROUPS = {
    "foundations": (
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
    ),
    "vision": (
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
    ),
    "sequences": (
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
    ),
    "generative": (
        "linear-autoencoder-pca",
        "optimal-denoiser",
        "overcomplete-autoencoder",
        "kl-closed-form",
        "reparameterisation-variance",
        "beta-trade-off",
        "reductions-change-beta",
        "importance-weighted-bound",
        "optimal-discriminator",
        "equilibrium-value",
        "saturating-gradient",
        "wasserstein-disjoint",
        "critic-constraints",
        "one-of-many-discriminators",
        "batch-norm-pictures",
        "modes-on-the-ring",
        "fade-ends",
        "style-mixing",
        "demodulated-variance",
        "patch-field",
        "cycle-rotation",
        "lazy-r1",
        "gram-forgets-position",
        "adain-statistics",
    ),
    "series": (
        "pinball-quantile",
        "crps-of-a-point",
        "tcn-receptive-field",
        "nbeats-parts",
        "reversible-normalisation",
        "conformal-coverage",
        "point-adjustment",
        "free-running",
    ),
    "search": (
        "search-beats-random",
        "largest-networks",
        "ageing-under-noise",
        "hypergradient",
        "shared-weights-ranking",
        "darts-collapses-to-skips",
        "random-in-darts-space",
    ),
}
"""The names by folder of experiments, in the order of the page."""

NAMES = tuple(name for names in GROUPS.values() for name in names)


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


def known_verdicts() -> dict[str, str]:
    """The verdict of each claim that was measured and recorded: ``known_verdicts()["xor"]``. Imports no torch."""
    file = resources.files("lamina.claims") / "verdicts.json"
    found: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    return found


def get_claim(name: str) -> AnyClaim:
    """The claim of this name. Raises UsageError for an unknown name."""
    name = check_name(name)
    group = next(group for group, names in GROUPS.items() if name in names)
    module = importlib.import_module(f"lamina.claims.experiments.{group}.{name.replace('-', '_')}")
    claim: AnyClaim = module.CLAIM
    return claim
