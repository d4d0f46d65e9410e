"""Known geometries the tests measure, built without the library.

K classes, D embedding width, N samples. Everything is float64 unless said, and seeded.
"""

import math
from functools import cache

import torch
from torch import Tensor

# (K, D) at which the simplex ETF is measured: the smallest, K = D + 1, D > K, and CLIP's sizes.
ETF_SIZES = [(2, 2), (2, 512), (10, 9), (10, 512), (1000, 1024)]


def normal(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def random_rotation(width: int, *, seed: int = 0) -> Tensor:
    """(D, D) orthogonal matrix."""
    return torch.linalg.qr(normal(width, width, seed=seed)).Q


def random_rows(num_classes: int, width: int, *, seed: int = 0) -> Tensor:
    return normal(num_classes, width, seed=seed)


def unit_rows(num_classes: int, width: int, *, seed: int = 0) -> Tensor:
    rows = normal(num_classes, width, seed=seed)
    return rows / rows.norm(dim=1, keepdim=True)


def simplex_etf(num_classes: int, width: int, *, seed: int = 0) -> Tensor:
    """Unit rows of a simplex ETF in a random orientation, D >= K - 1."""
    return _etf(num_classes, width, seed).clone()


@cache
def _etf(num_classes: int, width: int, seed: int) -> Tensor:
    """The corners e_k - 1/K, written in the eigenbasis of the centring matrix, then rotated."""
    centring = torch.eye(num_classes).double() - 1 / num_classes
    zero_sum = torch.linalg.eigh(centring).eigenvectors[:, 1:]  # (K, K-1), eigenvalue one
    turn = torch.linalg.qr(normal(width, num_classes - 1, seed=seed)).Q  # (D, K-1)
    return math.sqrt(num_classes / (num_classes - 1)) * zero_sum @ turn.T


def equicorrelated(num_classes: int, cosine: float) -> Tensor:
    """Unit rows with one cosine between all pairs, in K dimensions."""
    gram = (1 - cosine) * torch.eye(num_classes).double() + cosine
    return torch.linalg.cholesky(gram)


def tight_frame(num_classes: int, width: int) -> Tensor:
    """Zero-sum unit tight frame of K > D + 1 rows in an even D: F^T F = (K/D) I.

    Each pair of columns is a circle walked at its own frequency.
    """
    angles = 2 * math.pi * torch.arange(num_classes).double() / num_classes
    turns = torch.outer(angles, torch.arange(1, width // 2 + 1).double())
    return torch.cat([turns.cos(), turns.sin()], dim=1) * math.sqrt(2 / width)


def stacked_triangles() -> Tensor:
    """Zero-sum unit tight frame of 9 rows in 3 dimensions: triangles at three heights."""
    angles = 2 * math.pi * torch.arange(3).double() / 3
    circle = torch.stack([angles.cos(), angles.sin()], dim=1)
    return torch.cat(
        [
            torch.cat([math.sqrt(1 - z * z) * circle, torch.full((3, 1), z).double()], dim=1)
            for z in (-math.sqrt(0.5), 0.0, math.sqrt(0.5))
        ]
    )


def orthoplex(width: int) -> Tensor:
    """The 2D rows +-e_d."""
    return torch.cat([torch.eye(width), -torch.eye(width)]).double()


def noisy_samples(
    means: Tensor, counts: list[int] | int, noise: float, *, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """(N, D) float64 samples, `counts` a class, around (K, D) means, and their labels (N,)."""
    sizes = torch.tensor([counts] * len(means) if isinstance(counts, int) else counts)
    labels = torch.arange(len(means)).repeat_interleave(sizes)
    return means[labels] + noise * normal(len(labels), means.shape[1], seed=seed), labels
