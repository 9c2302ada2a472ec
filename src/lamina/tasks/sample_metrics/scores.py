"""How generated samples are judged against real ones, in double precision: on features of a network, by a classifier,
by the known modes of toy data.

Papers: Heusel et al., NIPS 2017, arXiv 1706.08500 (FID); Bińkowski et al., ICLR 2018, arXiv 1801.01401 (KID);
Kynkäänniemi et al., NeurIPS 2019, arXiv 1904.06991 (precision and recall).

Legend: N real samples, M generated ones, D features, K classes, C centres of modes.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

SURE = 0.9
"""a classifier recognises a sample of which a class is more probable than this"""
WITHIN = 0.2
"""a sample of toy data is good within this distance of a centre"""
COVERING = 0.005
"""a mode is covered by this share of all samples near its centre, 20 of 4,000"""
NEIGHBOURS = 3
"""the ball around a sample reaches to this neighbour"""
ROWS = 1024
"""rows of a matrix of all pairs that are held at once"""


def frechet_distance(real_ND: Tensor, made_MD: Tensor) -> float:
    """FID: ||m - m'||^2 + Tr(S + S' - 2 (S S')^1/2) of the means and unbiased covariances of the features.

    Raises ValueError for fewer samples than features, whose covariance is singular whatever they are of.
    """
    features = real_ND.shape[1]
    for count in (len(real_ND), len(made_MD)):
        if count < features:
            raise ValueError(f"{count:,} samples are fewer than the {features:,} features")
    (mean_D, covariance_DD), (other_D, other_DD) = _moments(real_ND), _moments(made_MD)
    # the eigenvalues of S S' are those of S^1/2 S' S^1/2, which is symmetric: no complex roots, and the small negative
    # ones of rounding are 0
    values_D, vectors_DD = torch.linalg.eigh(covariance_DD)
    root_DD = vectors_DD * values_D.clamp_min(0).sqrt() @ vectors_DD.T
    cross = torch.linalg.eigvalsh(root_DD @ other_DD @ root_DD).clamp_min(0).sqrt().sum()
    distance = (mean_D - other_D).square().sum() + covariance_DD.trace() + other_DD.trace() - 2 * cross
    return max(float(distance), 0.0)


def _moments(x_ND: Tensor) -> tuple[Tensor, Tensor]:
    x_ND = x_ND.double()
    mean_D = x_ND.mean(0)
    away_ND = x_ND - mean_D
    return mean_D, away_ND.T @ away_ND / (len(x_ND) - 1)


def kernel_distance(real_ND: Tensor, made_MD: Tensor) -> float:
    """KID: the unbiased squared maximum mean discrepancy under the kernel (x . y / D + 1)^3, over all pairs. It may be
    a little below 0. Raises ValueError for fewer than two samples."""
    if min(len(real_ND), len(made_MD)) < 2:
        raise ValueError("the distance needs two samples at least")
    real_ND, made_MD = real_ND.double(), made_MD.double()
    within = sum(
        (_kernel_sum(x, x) - float(_kernel(x.square().sum(1), x.shape[1]).sum())) / (len(x) * (len(x) - 1))
        for x in (real_ND, made_MD)
    )
    return within - 2 * _kernel_sum(real_ND, made_MD) / (len(real_ND) * len(made_MD))


def _kernel(products: Tensor, features: int) -> Tensor:
    return (products / features + 1) ** 3


def _kernel_sum(x: Tensor, y: Tensor) -> float:
    return float(sum(float(_kernel(rows @ y.T, x.shape[1]).sum()) for rows in torch.split(x, ROWS)))


def precision_recall(real_ND: Tensor, made_MD: Tensor, neighbours: int = NEIGHBOURS) -> tuple[float, float]:
    """The share of generated samples within the manifold of real ones, and of real ones within that of the generated:
    the union of a ball around each sample that reaches to its third nearest neighbour, itself not counted.

    Raises ValueError for too few samples.
    """
    if min(len(real_ND), len(made_MD)) <= neighbours:
        raise ValueError(f"a neighbour number {neighbours} needs {neighbours + 1} samples at least")
    middle_D = real_ND.double().mean(0)  # distances between far points of a common offset would lose digits
    real_ND, made_MD = real_ND.double() - middle_D, made_MD.double() - middle_D
    return _within(made_MD, real_ND, neighbours), _within(real_ND, made_MD, neighbours)


def _within(x: Tensor, manifold: Tensor, neighbours: int) -> float:
    radius = torch.cat([rows.kthvalue(neighbours + 1, 1).values for rows in _squared_distances(manifold, manifold)])
    inside = sum(int((rows <= radius).any(1).sum()) for rows in _squared_distances(x, manifold))
    return inside / len(x)


def _squared_distances(x: Tensor, y: Tensor) -> Iterator[Tensor]:
    squares = y.square().sum(1)
    for rows in torch.split(x, ROWS):
        yield (rows.square().sum(1)[:, None] + squares - 2 * rows @ y.T).clamp_min(0)


def recognised(probabilities_MK: Tensor) -> tuple[float, float]:
    """The share of samples of which a classifier is sure, and the share of all samples in the rarest of its classes.

    The first alone says nothing: a classifier is sure of anything, also of one picture again and again.
    """
    surest_M, class_M = probabilities_MK.max(1)
    counts_K = torch.bincount(class_M, minlength=probabilities_MK.shape[1])
    return float((surest_M > SURE).double().mean()), int(counts_K.min()) / len(class_M)


def modes_covered(points_M2: Tensor, centres_C2: Tensor) -> tuple[int, float]:
    """The number of modes that have their share of samples near them, and the share of samples near any."""
    nearest_M = torch.cdist(points_M2.double(), centres_C2.double(), compute_mode="donot_use_mm_for_euclid_dist").min(1)
    near_M = nearest_M.values <= WITHIN
    counts_C = torch.bincount(nearest_M.indices[near_M], minlength=len(centres_C2))
    return int((counts_C >= COVERING * len(points_M2)).sum()), float(near_M.double().mean())
