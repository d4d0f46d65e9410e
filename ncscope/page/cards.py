"""What the page tells of a single class: its neighbours, what it is taken for, its worst images.

N images, K classes, D width. At most `MOST_IMAGES` images are looked at, evenly over classes; of
more than `MOST_PAIRED` classes there are no cards.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ncscope._checks import working
from ncscope.diagnosis.measure import Run
from ncscope.diagnosis.notes import MOST_PAIRED
from ncscope.figures.points import Points
from ncscope.metrics.rows import normalise_rows, pairwise_cosines

MOST_IMAGES = 20_000
_NEAR, _WORST, _BLOCK = 3, 3, 4096


@dataclass(frozen=True, eq=False)
class Looked:
    """Cosines between the sides (None without one), and the decisions on the images looked at."""

    texts: Tensor | None  # (K, K)
    to_means: Tensor | None  # (K, K), rows texts, columns class means; NaN without images
    rows: Tensor  # (n,) indices of images
    label: Tensor  # (n,)
    taken: Tensor  # (n,) the class whose text decides
    margin: Tensor  # (n,) cosine with its own text less the largest with another


def looked_at(run: Run, points: Points) -> Looked | None:
    """What cards are made of; None where there are too many classes."""
    if len(points.names) > MOST_PAIRED:
        return None
    text, means = points.text, points.means
    texts = None if text is None else pairwise_cosines(text)
    to_means = None
    if text is not None and means is not None:
        to_means = text @ normalise_rows(means.nan_to_num(0.0)).T
        to_means[:, points.counts == 0] = torch.nan
    return Looked(texts, to_means, *_decisions(run))


def _decisions(run: Run) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    features = run.features
    image, label, text = features.image, features.label, features.text
    none = torch.zeros(0, dtype=torch.int64)
    if image is None or label is None or text is None or text.ndim == 3 or len(text) < 2:
        return none, none, none, none.double()
    rows = (label >= 0).nonzero().flatten()
    if len(rows) > MOST_IMAGES:
        order = rows[torch.argsort(label[rows], stable=True)]
        rows = order[:: -(-len(order) // MOST_IMAGES)]
    unit = run.record["conventions"].get("normalised_on_entry", True)
    text = working(text.detach())
    text = normalise_rows(text) if unit else text
    taken, margin = [], []
    for block in rows.split(_BLOCK):
        found = working(image.detach()[block])
        logits = (normalise_rows(found) if unit else found) @ text.to(found).T
        own = logits.gather(1, label[block].unsqueeze(1))
        taken.append(logits.argmax(dim=1))
        others = logits.scatter(1, label[block].unsqueeze(1), -torch.inf)
        margin.append((own.squeeze(1) - others.amax(dim=1)).double())
    return rows.cpu(), label[rows].cpu(), torch.cat(taken).cpu(), torch.cat(margin).cpu()


def class_cards(looked: Looked, run: Run, where: Mapping[str, int]) -> dict[int, dict[str, Any]]:
    """A card a class of the run, by its place in the page's list of classes.

    `texts` and `means` are the nearest of its text as [class, cosine], `own` the cosine with its
    own class mean, `taken` what its images are taken for as [class, images], `worst` its images
    with the least margin as [row, class taken for, margin], `values` accuracy, Δ LCD and cosine.
    """
    rows = run.record["per_class"]
    place = [where[row["name"]] for row in rows]
    texts = _nearest(looked.texts, place, own=False)
    means = _nearest(looked.to_means, place, own=True)
    wrong = _by_class(looked, len(place))
    cards = {}
    for k, row in enumerate(rows):
        card: dict[str, Any] = {
            "values": [row.get(key) for key in ("accuracy", "delta_lcd", "cosine_centred")],
            "images": row["count"],
        }
        if texts:
            card["texts"] = texts[k]
        if means and looked.to_means is not None:
            card["means"] = means[k]
            card["own"] = _short(float(looked.to_means[k, k]))
        images = wrong[k]
        if images:
            taken = Counter(int(looked.taken[i]) for i in images if int(looked.taken[i]) != k)
            card["taken"] = [[place[other], n] for other, n in taken.most_common(_NEAR)]
            card["worst"] = [
                [int(looked.rows[i]), place[int(looked.taken[i])], _short(float(looked.margin[i]))]
                for i in images[:_WORST]
            ]
        cards[place[k]] = card
    return cards


def _by_class(looked: Looked, size: int) -> list[list[int]]:
    """The places of each class's images among those looked at, the least margin first."""
    found: list[list[int]] = [[] for _ in range(size)]
    for i in looked.margin.argsort(stable=True).tolist():
        found[int(looked.label[i])].append(i)
    return found


def _nearest(cosines: Tensor | None, place: Sequence[int], *, own: bool) -> list[list[list[float]]]:
    """Of each row the largest as [class, cosine]; none without cosines."""
    if cosines is None:
        return []
    values = cosines.nan_to_num(-2.0).clone()
    if not own:
        values.fill_diagonal_(-2.0)
    best, which = values.topk(min(_NEAR, len(values)), dim=1)
    return [
        [[place[k], _short(v)] for k, v in zip(ks, vs, strict=True) if v > -2]
        for ks, vs in zip(which.tolist(), best.tolist(), strict=True)
    ]


def _short(value: float) -> float:
    return round(value, 3)


def worst_rows(cards: Mapping[int, Mapping[str, Any]]) -> set[int]:
    """The images that cards would show."""
    return {row for card in cards.values() for row, _, _ in card.get("worst", ())}


@dataclass(frozen=True)
class Confusion:
    """Images of one class taken for another, and the cosines behind it; NaN where there is none."""

    true: int
    taken: int
    images: int
    of: int
    texts: float  # text with text
    own: float  # own text with own class mean
    other: float  # the other's text with own class mean


def confusions(looked: Looked, *, most: int = 10) -> list[Confusion]:
    """The pairs of classes that most images are confused between, the largest share first."""
    pairs = zip(looked.label.tolist(), looked.taken.tolist(), strict=True)
    counts = Counter(pair for pair in pairs if pair[0] != pair[1])
    sizes = Counter(looked.label.tolist())
    order = sorted(counts, key=lambda pair: (-counts[pair] / sizes[pair[0]], -counts[pair], pair))

    def at(table: Tensor | None, row: int, column: int) -> float:
        return float("nan") if table is None else float(table[row, column])

    return [
        Confusion(
            k, j, counts[k, j], sizes[k], at(looked.texts, k, j), at(looked.to_means, k, k),
            at(looked.to_means, j, k),
        )
        for k, j in order[:most]
    ]  # fmt: skip
