"""The objective L = CE + w1 L_LC + w2 L_MI by named forms; every term is a function of the metrics.

B images of a batch, K classes, D embedding width. After arXiv:2306.15955, whose formulas are not
available to this project; `ncscope.metrics.objective` says what each term is.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

import ncscope.metrics as metrics
from ncscope.errors import DataError

LCD_FORMS = ("cosine", "frobenius", "anchored", "dispersion", "orthogonal")
MID_FORMS = (
    "push_pull",
    "push_pull_linear",
    "align",
    "dot_regression",
    "frobenius",
    "log",
    "anchored",
)
REGULARISERS = ("lcd", "mid", "tetf", "cc", "rs")  # names of the terms below
_CENTRED_LCD = ("cosine", "frobenius")
_CENTRED_MID = ("push_pull", "push_pull_linear", "dot_regression", "frobenius", "log")


@dataclass(frozen=True)
class Objective:
    """What is minimised beside the method's own loss.

    `regulariser` npt adds `lcd_weight` times the language-modality collapse and `mid_weight` times
    the multi-modality isomorphism, in the forms named; cpt adds CPT's three losses times
    `cpt_weights`; none adds nothing. `centred` takes both of NPT's terms between centred features.
    `relative` states the weights as shares of the cross-entropy's gradient norm.
    """

    regulariser: str = "npt"
    lcd_weight: float = 0.0
    lcd_form: str = "cosine"
    mid_weight: float = 0.0
    mid_form: str = "push_pull"
    centred: bool = False
    relative: bool = False
    cpt_weights: tuple[float, float, float] = (0.25, 0.15, 0.10)
    cpt_clusters: int = 1
    anchor: str = "nearest"  # or fixed: a random frame, for comparison only

    def __post_init__(self) -> None:
        _one_of("regulariser", self.regulariser, ("npt", "cpt", "none"))
        _one_of("lcd_form", self.lcd_form, LCD_FORMS)
        _one_of("mid_form", self.mid_form, MID_FORMS)
        _one_of("anchor", self.anchor, ("nearest", "fixed"))
        for name in ("lcd_weight", "mid_weight"):
            value = getattr(self, name)
            if not 0 <= value < float("inf"):
                raise DataError(f"`{name}` is {value}; expected a number of 0 or more")
        for name, known in (("lcd_form", _CENTRED_LCD), ("mid_form", _CENTRED_MID)):
            weight = getattr(self, name.replace("form", "weight"))
            if self.centred and weight and getattr(self, name) not in known:
                raise DataError(
                    f"`{name}` {getattr(self, name)!r} has no centred form; centred ones: "
                    f"{', '.join(known)}"
                )

    @property
    def active(self) -> bool:
        """Whether anything is added to the method's own loss."""
        return self.regulariser == "cpt" or (
            self.regulariser == "npt" and (self.lcd_weight > 0 or self.mid_weight > 0)
        )


@dataclass(frozen=True, eq=False)
class Reference:
    """What terms refer to beside the batch; each None where no term asks for it."""

    image_mean: Tensor | None = None  # (D,), running, of all images: `centred`
    class_means: Tensor | None = None  # (K, D), running: `frobenius`
    frozen_text: Tensor | None = None  # (K, D), without prompts: CPT
    clusters: Tensor | None = None  # (K,): CPT
    anchor: Tensor | None = None  # (K, D), a fixed frame


def regularisers(
    objective: Objective, image: Tensor, labels: Tensor, text: Tensor, reference: Reference
) -> dict[str, tuple[float, Tensor]]:
    """Weight and value of each term that is switched on, by name.

    Args:
        image: (B, D) features as the tower gives them.
        labels: (B,) in 0..K-1.
        text: (K, D), or (B, K, D) where text features depend on the image: L_LC is then averaged
            over the images.
    """
    if objective.regulariser == "cpt":
        return _cpt(objective, image, labels, text, reference)
    terms: dict[str, tuple[float, Tensor]] = {}
    if objective.regulariser == "npt" and objective.lcd_weight:
        terms["lcd"] = (objective.lcd_weight, _over_images(text, _lcd(objective, reference)))
    if objective.regulariser == "npt" and objective.mid_weight:
        terms["mid"] = (objective.mid_weight, _mid(objective, image, labels, text, reference))
    return terms


def _lcd(objective: Objective, reference: Reference) -> Callable[[Tensor], Tensor]:
    """L_LC of (K, D) text features."""
    form, centred = objective.lcd_form, objective.centred
    if form == "cosine":
        return lambda text: metrics.delta_lcd(text, power=2, centred=centred)
    if form == "frobenius":
        return lambda text: metrics.delta_lcd(text, form="frobenius", centred=centred)
    if form == "dispersion":
        return lambda text: -metrics.dispersion(text)
    if form == "orthogonal":
        return metrics.orthogonality
    return lambda text: metrics.anchored(text, reference.anchor)


def _mid(
    objective: Objective, image: Tensor, labels: Tensor, text: Tensor, reference: Reference
) -> Tensor:
    """L_MI; with text features of every image's own, class-balanced over the images' terms."""
    if text.ndim == 2:
        return _mid_of(objective, image, labels, text, reference)
    if objective.mid_form == "frobenius":
        return _mid_of(objective, image, labels, text.mean(dim=0), reference)
    rows = [
        _mid_of(objective, image[i : i + 1], labels[i : i + 1], text[i], reference)
        for i in range(len(text))
    ]
    return metrics.class_balanced_mean(torch.stack(rows), labels, text.shape[1])


def _mid_of(
    objective: Objective, image: Tensor, labels: Tensor, text: Tensor, reference: Reference
) -> Tensor:
    mean = reference.image_mean if objective.centred else None
    form = objective.mid_form
    if form == "push_pull":
        return metrics.push_pull(image, labels, text, image_mean=mean)
    if form == "push_pull_linear":
        return metrics.push_pull(image, labels, text, pull="linear", image_mean=mean)
    if form == "align":
        return metrics.delta_mid_batch(image, labels, text)
    if form == "dot_regression":
        return metrics.dot_regression(image, labels, text, image_mean=mean)
    if form == "log":
        return metrics.log_collapse(image, labels, text, image_mean=mean)
    if form == "frobenius":
        assert reference.class_means is not None
        centre = "both" if objective.centred else "none"
        return metrics.cross_etf_distance(text, reference.class_means, center=centre)
    frame = metrics.nearest_etf(text.detach()) if reference.anchor is None else reference.anchor
    return metrics.dot_regression(image, labels, frame.to(text))


def _cpt(
    objective: Objective, image: Tensor, labels: Tensor, text: Tensor, reference: Reference
) -> dict[str, tuple[float, Tensor]]:
    frozen, clusters = reference.frozen_text, reference.clusters
    assert frozen is not None
    assert clusters is not None
    mean_text = text if text.ndim == 2 else text.mean(dim=0)
    tetf, centre, residual = objective.cpt_weights
    return {
        "tetf": (tetf, _over_images(text, lambda rows: metrics.cpt_tetf(rows, clusters))),
        "cc": (centre, metrics.cpt_cc(image, labels, mean_text)),
        "rs": (residual, metrics.cpt_rs(mean_text, frozen)),
    }


def _over_images(text: Tensor, term: Callable[[Tensor], Tensor]) -> Tensor:
    """A term of (K, D) text features, averaged over images that have their own."""
    return term(text) if text.ndim == 2 else torch.stack([term(rows) for rows in text]).mean()


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise DataError(f"`{name}` is {value!r}; expected one of {', '.join(known)}")
