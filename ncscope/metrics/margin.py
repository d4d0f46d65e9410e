"""One-versus-rest distance of class vectors: the GNC2 of the large-number-of-classes setting.

K classes, D embedding width. Slow (one small quadratic programme a class), so not in reports.
"""

import numpy as np
import torch
from torch import Tensor

from ncscope.metrics.rows import class_rows, normalise_rows


def one_vs_rest_distance(rows: Tensor, *, centred: bool = False) -> Tensor:
    """Distance (K,) of each normalised row of (K, D) from the convex hull of the others.

    In [0, 2], higher is better separated; K/(K-1) at a simplex ETF (Jiang et al., ICML 2024).
    Exact: the nearest point of a hull is a non-negative least-squares problem once a row of ones
    is added, whose solution, scaled to sum one, is the nearest point. Not differentiable.
    """
    directions = normalise_rows(class_rows("rows", rows, centred=centred)).detach()
    points = directions.double().cpu().numpy()
    if not np.isfinite(points).all():
        return directions.new_full((len(points),), torch.nan)
    distances = [_hull_distance(points, index) for index in range(len(points))]
    return directions.new_tensor(distances)


def _hull_distance(points: np.ndarray, index: int) -> float:
    from scipy.optimize import nnls  # a quarter of a second to import, for this measure only

    offsets = np.delete(points, index, axis=0) - points[index]  # (K-1, D): hull seen from the row
    system = np.vstack([offsets.T, np.ones(len(offsets))])
    weights, _ = nnls(system, np.append(np.zeros(points.shape[1]), 1.0))
    return float(np.linalg.norm(weights @ offsets) / weights.sum())
