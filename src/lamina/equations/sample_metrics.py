"""How generated samples are compared with real ones on features of a network: FID, KID, precision and recall.

Papers: Heusel et al., "GANs trained by a two time-scale update rule converge to a local Nash equilibrium", NIPS 2017,
arXiv 1706.08500; Bińkowski et al., "Demystifying MMD GANs", ICLR 2018, arXiv 1801.01401; Kynkäänniemi et al., "Improved
precision and recall metric for assessing generative models", NeurIPS 2019, arXiv 1904.06991.

All are estimates whose value depends on the network, the layer, the resizing and the number of samples: FID is biased
upwards, the more the fewer samples; KID is unbiased; precision and recall grow as the balls around fewer samples do.

Legend: N real samples, M generated ones, D features.
"""

from __future__ import annotations

import torch
from torch import Tensor


def frechet_distance(mean_D: Tensor, covariance_DD: Tensor, other_D: Tensor, other_DD: Tensor) -> Tensor:
    """The squared 2-Wasserstein distance of two Gaussians, ||m - m'||^2 + Tr(S + S' - 2 (S S')^1/2).

    S S' has the eigenvalues of a symmetric positive matrix, so the trace of its root is the sum of their roots.
    """
    roots_D: Tensor = torch.linalg.eigvals(covariance_DD @ other_DD).real.clamp(min=0).sqrt()
    return ((mean_D - other_D) ** 2).sum() + covariance_DD.trace() + other_DD.trace() - 2 * roots_D.sum()


def polynomial_kernel(x_ND: Tensor, y_MD: Tensor) -> Tensor:
    """k(x, y) = (x . y / D + 1)^3 for all pairs, (N, M)."""
    return (x_ND @ y_MD.T / x_ND.shape[1] + 1) ** 3


def squared_mean_discrepancy(x_ND: Tensor, y_MD: Tensor) -> Tensor:
    """The unbiased estimate of E k(x, x') - 2 E k(x, y) + E k(y, y'), x and x' two different samples: KID."""
    n, m = len(x_ND), len(y_MD)
    xx, yy, xy = polynomial_kernel(x_ND, x_ND), polynomial_kernel(y_MD, y_MD), polynomial_kernel(x_ND, y_MD)
    return (xx.sum() - xx.trace()) / (n * (n - 1)) + (yy.sum() - yy.trace()) / (m * (m - 1)) - 2 * xy.mean()


def share_within(x_MD: Tensor, manifold_ND: Tensor, neighbours: int = 3) -> Tensor:
    """The share of x within the manifold: the union of a ball around each of its samples, that reaches to the sample's
    k-th nearest neighbour among the others. Precision: of generated samples within the real manifold; recall: of real
    ones within the generated."""
    apart_NN = torch.cdist(manifold_ND, manifold_ND) + torch.diag(torch.full((len(manifold_ND),), torch.inf))
    radius_N = apart_NN.sort(1).values[:, neighbours - 1]
    inside_M: Tensor = (torch.cdist(x_MD, manifold_ND) <= radius_N).any(1)
    return inside_M.double().mean()
