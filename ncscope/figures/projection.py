"""The three-dimensional view of class vectors: its axes, its ideal simplex, and what it leaves out.

N samples, K classes drawn, D width, r <= 3 axes. Two views, each on axes A (D, 3) of its own:

Centred: each modality minus the mean of the K class vectors drawn. K <= 4 centred vectors span at
most three dimensions, so the picture of them is exact: lengths and angles are the true ones. With
T the regular simplex (tetrahedron, triangle, segment) and R an orthonormal basis of the span, A =
R Q, where Q is the orthogonal Procrustes solution: of all turns and reflections, the one with the
least ||X R Q - T||. For K > 4 the axes are the three principal ones.

Raw: vectors as they are, from the origin 0. Four raw vectors span four dimensions, and the centred
axes would hide just what distinguishes raw from centred: the common offset (the cone) and the gap
between modalities lie mostly outside the span of the differences. So the raw axes are the three
that keep most of the squared length of text and image means together (no centring), the strongest
upright: mostly the cone's axis. Angles there are projected ones, not the true ones.

Neither view is the whole truth: the shares say what part of each modality's squared length (about
the mean, or about 0) is in the picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ncscope._checks import check_class_rows
from ncscope.figures.points import Points, samples_along, stratified_rows, unit_samples
from ncscope.metrics.frames import simplex_etf

EXACT = 4  # as many class vectors as three dimensions hold without loss, once centred
_COINCIDE = 1e-13  # mean squared distance from the offset that is rounding
_FEW = 16  # up to this many vectors or dimensions the axes come from an SVD


@dataclass(frozen=True, eq=False)
class Basis:
    """Axes (D, 3) of both views in float64, to draw several runs in one and the same space.

    Each is a partial isometry: what lies in its span keeps its lengths and angles. `classes` are
    the classes it was fitted to.
    """

    centred: Tensor
    raw: Tensor
    classes: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class View:
    """Coordinates in the picture, (K, 3) or (n, 3), and the shares in [0, 1] that it shows.

    `shares` has a value for each of `text`, `means` (image class means) and `images` that is
    there: the class-balanced part of the squared length that lies in the axes. `frame` is the
    regular simplex of the class vectors' root mean square length; None for K > 4, which has
    none in three dimensions.
    """

    text: Tensor | None
    means: Tensor | None
    samples: Tensor | None
    frame: Tensor | None
    shares: dict[str, float]


def fit_basis(
    vectors: Tensor, *, others: Tensor | None = None, classes: Sequence[int] | None = None
) -> Basis:
    """Axes of both views for (K, D) class vectors; `others` are class vectors of the other
    modality, which count in the raw view only (rows of NaN are passed over).

    Raises:
        ShapeError: fewer than two vectors.
    """
    check_class_rows("vectors", vectors)
    rows = vectors.detach().double().cpu()
    num_classes = len(rows)
    centred_rows = rows - rows.mean(dim=0)
    axes = principal_axes(centred_rows)
    if num_classes <= EXACT:
        target = regular_simplex(num_classes)
        centred = axes @ procrustes(centred_rows @ axes, target)
    else:
        centred = _padded(axes)
    both = rows if others is None else torch.cat([rows, finite_rows(others.double().cpu())])
    raw = _padded(principal_axes(both))[:, [1, 2, 0]]
    return Basis(centred, raw, tuple(range(num_classes) if classes is None else classes))


def project(
    points: Points, basis: Basis, classes: Sequence[int], *, centred: bool,
    max_points: int = 2000, seed: int = 0,
) -> View:  # fmt: skip
    """Put text rows, image means and a stratified sample of the images of `classes` on the axes.

    Centred: text minus the mean of the chosen text rows, images minus the mean of the chosen
    class means, so that each modality has its own origin and the gap between them is gone.
    """
    axes, index = (basis.centred if centred else basis.raw), list(classes)
    shares: dict[str, float] = {}
    offset = {"text": torch.zeros(len(axes)).double(), "means": torch.zeros(len(axes)).double()}
    placed: dict[str, Tensor] = {}
    for name, rows in (("text", points.text), ("means", points.means)):
        if rows is None:
            continue
        rows = rows[index]
        if centred:
            offset[name] = finite_rows(rows).mean(dim=0)
        rows = rows - offset[name]
        placed[name] = rows @ axes
        shares[name] = _share(finite_rows(rows), axes)
    samples = None
    if points.image is not None and points.label is not None and points.means is not None:
        rows = stratified_rows(points, index, max_points=max_points, seed=seed)
        samples = (unit_samples(points, rows) - offset["means"]) @ axes
        origin = offset["means"]
        key = ("share", tuple(index), origin.numpy().tobytes(), axes.numpy().tobytes())
        shares["images"] = points.once(key, lambda: _share_of_images(points, index, origin, axes))
    vectors = points.vectors[index] - offset["means" if points.text is None else "text"]
    drawn = placed["means" if points.text is None else "text"]
    frame = _ideal_frame(vectors, drawn, turned=not centred)
    return View(placed.get("text"), placed.get("means"), samples, frame, shares)


def _ideal_frame(vectors: Tensor, drawn: Tensor, *, turned: bool) -> Tensor | None:
    """Vertices (K, 3) of the regular simplex with the root mean square length of (K, D) vectors.

    `turned` fits it to the (K, 3) drawn vectors by Procrustes; otherwise it stands upright, as
    the centred axes were turned to it. None for K > 4.
    """
    if len(vectors) > EXACT:
        return None
    corners = regular_simplex(len(vectors)) * vectors.square().sum(dim=1).mean().sqrt()
    return corners @ procrustes(corners, drawn) if turned else corners


def _share(rows: Tensor, axes: Tensor) -> float:
    """Part of the squared length of (K, D) rows that lies in (D, 3) axes; NaN where they are 0."""
    return float((rows @ axes).square().sum() / rows.square().sum())


def _share_of_images(points: Points, classes: Sequence[int], offset: Tensor, axes: Tensor) -> float:
    """Class-balanced share over all images of the classes, in one pass over them.

    For a unit row u, |u - o|^2 = |u|^2 - 2 u o + |o|^2, so that an image is read, squared and
    multiplied with the axes and the offset o, and nothing as large as it is written.
    """
    by_class = [rows for rows in points.rows_of(classes) if len(rows)]
    if not by_class:
        return float("nan")
    rows, order = torch.cat(by_class).sort()
    weights = torch.cat([torch.full((len(r),), 1 / len(r)).double() for r in by_class])[order]
    on = samples_along(points, rows, torch.cat([axes, offset[:, None]], dim=1))
    shown = weights @ (on[:, :-1] - offset @ axes).square().sum(dim=1)
    whole = weights @ (1 - 2 * on[:, -1] + offset @ offset)
    return float(shown / whole) if float(whole) > _COINCIDE * len(by_class) else float("nan")


def principal_axes(rows: Tensor) -> Tensor:
    """At most three orthonormal columns (D, r) that keep most of the squared length of (K, D) rows.

    Fewer where the rows span fewer dimensions. The largest coordinate on each axis is positive.
    """
    axes = _few_axes(rows) if min(rows.shape) <= _FEW else _many_axes(rows)
    coordinates = rows @ axes
    largest = coordinates.abs().argmax(dim=0, keepdim=True)
    return axes * torch.where(coordinates.gather(0, largest) < 0, -1.0, 1.0)


def _few_axes(rows: Tensor) -> Tensor:
    """Leading right singular vectors, to the last digit."""
    _, sizes, directions = torch.linalg.svd(rows, full_matrices=False)
    noise = sizes[0] * max(rows.shape) * torch.finfo(rows.dtype).eps
    return directions[: min(3, int((sizes > noise).sum()))].T


def _many_axes(rows: Tensor) -> Tensor:
    """The same from the smaller Gram matrix: tens of times faster at K = 1000, D = 512, and good
    to half the digits, which is more than a principal view can show."""
    num_classes, width = rows.shape
    gram = rows.T @ rows if width <= num_classes else rows @ rows.T
    values, vectors = torch.linalg.eigh(gram)
    noise = values[-1] * max(rows.shape) * torch.finfo(rows.dtype).eps
    kept = vectors[:, max(len(values) - 3, int((values <= noise).sum())) :].flip(1)
    if width <= num_classes:
        return kept
    return torch.linalg.qr(rows.T @ kept).Q


def _padded(axes: Tensor) -> Tensor:
    """(D, r) axes with zero columns up to three."""
    return torch.cat([axes, axes.new_zeros(len(axes), 3 - axes.shape[1])], dim=1)


def procrustes(coordinates: Tensor, target: Tensor) -> Tensor:
    """The (r, 3) turn or reflection Q with Q Q^T = I that takes (K, r) coordinates nearest to a
    (K, 3) target: with coordinates^T target = U S V^T, Q = U V^T (Schönemann 1966)."""
    left, _, right = torch.linalg.svd(coordinates.T @ target, full_matrices=False)
    return left @ right


def regular_simplex(num_classes: int) -> Tensor:
    """Unit vertices (K, 3) of a segment (K = 2), triangle or tetrahedron standing upright."""
    corners = simplex_etf(num_classes, 3)
    # Helmert's frame has its last vertex alone on the last axis: that one points up.
    return corners if num_classes < EXACT else corners * torch.tensor([1.0, 1.0, -1.0])


def finite_rows(rows: Tensor) -> Tensor:
    """The rows of (K, D) without NaN: classes without images have none."""
    return rows[rows.isfinite().all(dim=1)]
