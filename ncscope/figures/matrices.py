"""Cosine matrices made fit to be drawn: an order that puts alike classes together, and fewer cells.

K classes.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform
from torch import Tensor

from ncscope.errors import ShapeError


@dataclass(frozen=True, eq=False)
class Cells:
    """A matrix for a heat map: (B, B) values and the classes, in order, of each row and column.

    `binned` tells whether a cell is the mean of a block of class pairs.
    """

    values: Tensor
    groups: list[list[int]]

    @property
    def binned(self) -> bool:
        return any(len(group) > 1 for group in self.groups)


def cluster_order(cosines: Tensor) -> list[int]:
    """Order of the K classes in which alike ones are neighbours, from their (K, K) cosines.

    Leaves of an average-linkage tree on 1 - cosine (scipy). Classes with NaN come last.
    """
    known = cosines.diagonal().isfinite().nonzero().flatten()
    missing = (~cosines.diagonal().isfinite()).nonzero().flatten().tolist()
    if len(known) < 3:
        return known.tolist() + missing
    distances = (1 - cosines[known][:, known].double()).clamp_min(0)
    distances = (distances + distances.T) / 2
    distances.fill_diagonal_(0)
    tree = hierarchy.linkage(squareform(distances.numpy(), checks=False), method="average")
    return [int(known[leaf]) for leaf in hierarchy.leaves_list(tree)] + missing


def cells(matrix: Tensor, order: list[int], *, most: int, own_pairs: bool) -> Cells:
    """Reorder a (K, K) matrix, and where K > `most` replace blocks by their mean.

    Args:
        own_pairs: whether the diagonal counts in a block's mean. It says nothing where rows and
            columns are the same vectors (always 1), and much where they are text and images.

    Raises:
        ShapeError: not square, or the order is not of its classes.
    """
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ShapeError(f"`matrix` must be (K, K); got {tuple(matrix.shape)}")
    if sorted(order) != list(range(len(matrix))):
        raise ShapeError(f"`order` must hold each of 0..{len(matrix) - 1} once")
    sorted_matrix = matrix.detach().cpu().double()[order][:, order]
    count = min(len(order), most)
    edges = np.linspace(0, len(order), count + 1).round().astype(int)
    groups = [order[start:stop] for start, stop in pairwise(edges)]
    if count == len(order):
        return Cells(sorted_matrix, groups)
    weights = sorted_matrix.isfinite().double()
    if not own_pairs:
        weights.fill_diagonal_(0)
    members = torch.zeros(count, len(order), dtype=torch.float64)
    for row, (start, stop) in enumerate(pairwise(edges)):
        members[row, start:stop] = 1
    sums = members @ (sorted_matrix.nan_to_num() * weights) @ members.T
    return Cells(sums / (members @ weights @ members.T), groups)
