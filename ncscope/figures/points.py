"""What the figures draw of a run: unit text rows, class means and images, and a fair sample.

N samples, K classes, D width. The convention is that of the measures: image and text rows are
l2-normalised, class means are means of unit rows and not normalised again.
"""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform
from torch import Tensor

from ncscope._checks import working
from ncscope.data.classes import folded
from ncscope.diagnosis.sweeps import BLOCK_ROWS
from ncscope.diagnosis.training import Trajectory
from ncscope.errors import ShapeError, shown
from ncscope.features.bundle import Features, check_features
from ncscope.metrics.moments import MomentsAccumulator
from ncscope.metrics.rows import is_extreme, normalise_rows

_ROWS = 2048  # of images looked at together: 8 MB


@dataclass(frozen=True, eq=False)
class Points:
    """Class vectors (K, D) in float64 on the CPU, and the images as they were given.

    `means` has rows of NaN, and `counts` 0, for classes without images.
    """

    names: tuple[str, ...]
    text: Tensor | None  # (K, D) unit rows
    means: Tensor | None  # (K, D)
    counts: Tensor  # (K,) images a class
    image: Tensor | None  # (N, D), not normalised
    label: Tensor | None  # (N,)
    kept: dict[object, Any] = field(default_factory=dict)  # what several pictures ask for

    def once(self, key: object, compute: Callable[[], Any]) -> Any:
        """What `compute` gives, kept."""
        if key not in self.kept:
            self.kept[key] = compute()
        return self.kept[key]

    def rows_of(self, classes: Sequence[int]) -> list[Tensor]:
        """The images of each class, ascending, on the CPU; from one sorting of all labels."""
        label = self.label
        if label is None:
            return [torch.empty(0, dtype=torch.int64) for _ in classes]
        found: dict[int, Tensor] = self.once("rows", lambda: sorted_rows(label))
        return [found.get(index, found[-1][:0]) for index in classes]

    @property
    def vectors(self) -> Tensor:
        """The (K, D) class vectors a picture is built on: text, or else image means."""
        rows = self.means if self.text is None else self.text
        assert rows is not None  # `points_of` refuses features with neither
        return rows


def points_of(features: Features) -> Points:
    """Unit rows and class means of a feature bundle.

    Text features that depend on the image, (N, C, D), are averaged over the images after
    normalisation and normalised again.

    Raises:
        ShapeError: no `Features`; or no text, and images of fewer than two classes.
    """
    check_features(features)
    text = features.text
    if text is not None:
        text = normalise_rows(text.detach())
        text = text.mean(dim=0) if text.ndim == 3 else text
        text = normalise_rows(text.double()).cpu()
    means, counts = _class_means(features)
    if text is None and means is None:
        raise ShapeError(
            "there are no text features, and images of fewer than two classes; a figure needs "
            "text features, or labelled images of at least two classes"
        )
    return Points(features.classnames, text, means, counts, features.image, features.label)


def points_at(trajectory: Trajectory, place: int) -> Points:
    """What is drawn of the `place`-th step of a training run."""
    text = normalise_rows(trajectory.text[place].double())
    means = None if trajectory.means is None else trajectory.means[place].double()
    there = torch.ones(len(text)).long() if means is None else means.isfinite().all(1)
    return Points(trajectory.names, text, means, there.long(), None, None)


def _class_means(features: Features) -> tuple[Tensor | None, Tensor]:
    """Means (K, D) of unit rows, NaN for an empty class, and counts (K,)."""
    num_classes = features.num_classes
    if features.image is None or features.label is None:
        return None, torch.zeros(num_classes, dtype=torch.int64)
    label = features.label
    counts = torch.bincount(label[label >= 0], minlength=num_classes).cpu()
    if int((counts > 0).sum()) < 2:
        return None, counts
    moments = MomentsAccumulator(num_classes, features.width, device=features.image.device)
    for rows, labels in zip(features.image.split(BLOCK_ROWS), label.split(BLOCK_ROWS), strict=True):
        moments.update(rows, labels)
    return moments.compute().means.double().cpu(), counts


def spread_classes(num_classes: int, wanted: int) -> list[int]:
    """Indices of `wanted` classes, evenly spaced through the list of K, first and last included."""
    if num_classes <= wanted:
        return list(range(num_classes))
    return [round(step * (num_classes - 1) / (wanted - 1)) for step in range(wanted)]


def chosen_classes(points: Points, classes: Sequence[int | str] | None, *, most: int) -> list[int]:
    """The classes to draw: those asked for, or all, or four evenly spaced where K > `most`.

    Where there is no text, classes without images are passed over.

    Raises:
        ShapeError: an index outside 0..K-1, a name of no class or of two, one twice, fewer than
            two, or one without a vector.
    """
    drawable = points.vectors.isfinite().all(dim=1)
    if classes is None:
        present = drawable.nonzero().flatten().tolist()
        picked = spread_classes(len(present), 4 if len(present) > most else most)
        return [present[index] for index in picked]
    chosen, size = [_index(points.names, one) for one in classes], len(points.names)
    if len(chosen) < 2 or len(set(chosen)) < len(chosen):
        raise ShapeError(f"`classes` must name at least 2 classes, each once; got {chosen}")
    outside = [index for index in chosen if not 0 <= index < size]
    if outside:
        raise ShapeError(f"`classes` must lie in 0..{size - 1}; got {outside}")
    without = [points.names[index] for index in chosen if not drawable[index]]
    if without:
        raise ShapeError(f"`classes`: no vector (no image, or a zero row) for {', '.join(without)}")
    return chosen


def _index(names: Sequence[str], one: object) -> int:
    """The place of a class that is named, case and `_` aside, or given by its index."""
    if not isinstance(one, str):
        try:
            return operator.index(one)  # pyright: ignore[reportArgumentType]
        except TypeError:
            raise ShapeError(f"`classes` must be indices or names; got {one!r}") from None
    exact = [k for k, name in enumerate(names) if name == one]
    found = exact or [k for k, name in enumerate(names) if folded(name) == folded(one)]
    if len(found) != 1:
        raise ShapeError(
            f"`classes`: {one!r} is the name of {len(found)} classes; expected one of "
            f"{shown(names)}"
        )
    return found[0]


def sorted_rows(label: Tensor) -> dict[int, Tensor]:
    """The rows of each label that occurs, and of -1, ascending, on the CPU."""
    label = label.cpu()
    order = label.argsort(stable=True)
    values, sizes = label[order].unique_consecutive(return_counts=True)
    parts = order.split(sizes.tolist())
    return {-1: order[:0]} | dict(zip(values.tolist(), parts, strict=True))


def stratified_rows(
    points: Points, classes: Sequence[int], *, max_points: int, seed: int = 0
) -> Tensor:
    """Indices of at most `max_points` samples, drawn evenly over the classes, in sample order.

    Every class gets the same number; what a small class cannot use goes to the others. All
    samples of the classes where there are no more than `max_points`.
    """
    rows = points.rows_of(classes)
    quotas = even_quotas([len(part) for part in rows], max_points)
    generator = torch.Generator().manual_seed(seed)
    taken = [
        part[torch.randperm(len(part), generator=generator)[:quota]]
        for part, quota in zip(rows, quotas, strict=True)
    ]
    return torch.cat(taken).sort().values


def even_quotas(sizes: Sequence[int], total: int) -> list[int]:
    """Divide `total` over groups of these sizes as evenly as the sizes allow."""
    left = min(total, sum(sizes))
    quotas = [0] * len(sizes)
    # Smallest first: what a small group cannot use is shared by those still to come.
    for done, index in enumerate(sorted(range(len(sizes)), key=lambda i: sizes[i])):
        quotas[index] = min(sizes[index], left // (len(sizes) - done))
        left -= quotas[index]
    return quotas


def unit_samples(points: Points, rows: Tensor) -> Tensor:
    """The l2-normalised images (n, D) at these indices, in float64 on the CPU."""
    assert points.image is not None
    chosen = points.image.detach()[rows.to(points.image.device)]
    return normalise_rows(working(chosen).double().cpu())


def samples_along(points: Points, rows: Tensor, columns: Tensor) -> Tensor:
    """(n, c) products of `unit_samples` at these ascending rows with (D, c), which are not made."""
    assert points.image is not None
    image = points.image.detach()
    found = rows.new_empty(len(rows), columns.shape[1], dtype=torch.float64)
    for start in range(0, len(rows), _ROWS):
        some = rows[start : start + _ROWS]
        first, last = int(some[0]), int(some[-1]) + 1
        whole = last - first == len(some)  # nothing is left out: no copy
        block = image[first:last] if whole else image[some.to(image.device)]
        block = working(block).double().cpu()
        lengths = block.norm(dim=1, keepdim=True)
        if bool(is_extreme(lengths).any()):
            block, lengths = unit_samples(points, some), torch.ones(()).double()
        found[start : start + _ROWS] = block @ columns / lengths
    return found


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
