"""The objective L = CE + w1 L_LC + w2 L_MI by named forms; every term is a function of the metrics.

Terms are taken of unit rows, as the measures of a report are, centred ones about the class-balanced
mean: `ncscope.tuning.npt` prepares them. After arXiv:2306.15955, whose formulas are not available
to this project; `ncscope.metrics.objective` says what each term is.

B images of a batch, K classes, D embedding width.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

import ncscope.metrics as metrics
from ncscope.errors import DataError
from ncscope.metrics.rows import normalise_rows
from ncscope.tuning.forms import Objective

REGULARISERS = ("lcd", "mid", "tetf", "cc", "rs")  # names of the terms below


@dataclass(frozen=True, eq=False)
class Reference:
    """What NPT's terms refer to beside a batch; each None where no term asks for it."""

    class_means: Tensor | None = None  # (K, D), of unit image features: `centred`, `frobenius`
    seen: Tensor | None = None  # (K,) bool, which of them are of images; None: all
    anchor: Tensor | None = None  # (K, D), a fixed frame

    @property
    def centre(self) -> Tensor:
        """(D,) class-balanced mean of the images."""
        return self.shown(self.class_means).mean(dim=0)

    def shown(self, rows: Tensor | None) -> Tensor:
        """Rows of the classes that were seen, of (K, D)."""
        assert rows is not None
        return rows if self.seen is None else rows[self.seen]


def npt_terms(
    objective: Objective, image: Tensor, labels: Tensor, text: Tensor, reference: Reference
) -> dict[str, tuple[float, Tensor]]:
    """Weight and value of each of NPT's terms that is switched on, by name.

    Args:
        image: (B, D) unit rows.
        labels: (B,) in 0..K-1.
        text: (K, D) unit rows, or (B, K, D) where text features depend on the image: their geometry
            is that of their mean direction, and an image is compared with its own.
    """
    terms: dict[str, tuple[float, Tensor]] = {}
    if objective.lcd_weight:
        terms["lcd"] = (objective.lcd_weight, _lcd(objective, _shared(text), reference))
    if objective.mid_weight and objective.mid_form == "frobenius":
        terms["mid"] = (objective.mid_weight, _cross(objective, _shared(text), reference))
    elif objective.mid_weight:
        value = _by_image(image, labels, text, _mid(objective, reference))
        terms["mid"] = (objective.mid_weight, value)
    return terms


def cpt_terms(
    objective: Objective,
    image: Tensor,
    labels: Tensor,
    text: Tensor,
    *,
    frozen_text: Tensor,
    clusters: Tensor,
) -> dict[str, tuple[float, Tensor]]:
    """Weight and value of CPT's three losses, of features as for `npt_terms`.

    Args:
        frozen_text: (K, D) without prompts.
        clusters: (K,) of each class.
    """
    rows = _shared(text)
    tetf, centre, residual = objective.cpt_weights
    return {
        "tetf": (tetf, metrics.cpt_tetf(rows, clusters)),
        "cc": (centre, _by_image(image, labels, text, metrics.cpt_cc)),
        "rs": (residual, metrics.cpt_rs(rows, frozen_text)),
    }


def cluster_notes(clusters: Tensor, wanted: int) -> list[str]:
    """What to say of (K,) clusters that are one class: CPT's L_TETF has no pair in them.

    Raises:
        DataError: all are; says how many clusters leave a pair for certain.
    """
    sizes = clusters.unique(return_counts=True)[1]
    classes, found, alone = len(clusters), len(sizes), int((sizes == 1).sum())
    if alone == classes and wanted > 1:
        raise DataError(
            f"`cpt_clusters` is {wanted}, and each of the {classes} classes is a cluster of its "
            f"own: L_TETF would be 0 and train nothing; expected fewer clusters than classes, "
            f"{classes - 1} at most"
        )
    if not alone:
        return []
    return [
        f"{alone} of the {found} clusters of cpt_clusters are one class each, which L_TETF leaves "
        f"as they are"
    ]


def _lcd(objective: Objective, text: Tensor, reference: Reference) -> Tensor:
    """L_LC of (K, D) text features."""
    form, centred = objective.lcd_form, objective.centred
    if form == "cosine":
        return metrics.delta_lcd(text, power=2, centred=centred)
    if form == "frobenius":
        return metrics.delta_lcd(text, form="frobenius", centred=centred)
    if form == "dispersion":
        return -metrics.dispersion(text)
    if form == "orthogonal":
        return metrics.orthogonality(text)
    return metrics.anchored(text, reference.anchor)


def _cross(objective: Objective, text: Tensor, reference: Reference) -> Tensor:
    """`etf_distance/cross` of (K, D) text features and the class means there are."""
    center = "both" if objective.centred else "none"
    means = reference.shown(reference.class_means)
    return metrics.cross_etf_distance(image_means=means, text=reference.shown(text), center=center)


def _mid(objective: Objective, reference: Reference) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """L_MI of (B, D) image features, their labels and (K, D) text features."""
    mean = reference.centre if objective.centred else None
    form = objective.mid_form
    if form == "push_pull":
        return lambda i, y, t: metrics.push_pull(i, y, t, image_mean=mean)
    if form == "push_pull_linear":
        return lambda i, y, t: metrics.push_pull(i, y, t, pull="linear", image_mean=mean)
    if form == "align":
        return metrics.delta_mid_batch
    if form == "dot_regression":
        return lambda i, y, t: metrics.dot_regression(i, y, t, image_mean=mean)
    if form == "log":
        return lambda i, y, t: metrics.log_collapse(i, y, t, image_mean=mean)
    return lambda i, y, t: metrics.dot_regression(i, y, _frame(t, reference.anchor))


def _frame(text: Tensor, anchor: Tensor | None) -> Tensor:
    return metrics.nearest_etf(text.detach()) if anchor is None else anchor.to(text)


def _shared(text: Tensor) -> Tensor:
    """(K, D) unit rows of text features as for `npt_terms`."""
    return text if text.ndim == 2 else normalise_rows(text.mean(dim=0))


def _by_image(
    image: Tensor, labels: Tensor, text: Tensor, term: Callable[[Tensor, Tensor, Tensor], Tensor]
) -> Tensor:
    """A term of a batch; with text of every image's own, class-balanced over the images' terms."""
    if text.ndim == 2:
        return term(image, labels, text)
    each = [term(image[i : i + 1], labels[i : i + 1], text[i]) for i in range(len(text))]
    return metrics.class_balanced_mean(torch.stack(each), labels, text.shape[1])
