"""A learner that is a table: image i and class k have the rows that are trained. And its measures.

The measures are taken by `ncscope.metrics` alone, of rows normalised and centred here, by loops.
"""

from dataclasses import dataclass
from itertools import product
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from ncscope import metrics
from ncscope.features.processes import ALONE, Spread
from ncscope.tuning.forms import LCD_FORMS, MID_FORMS, Objective
from ncscope.tuning.inputs import FeatureInputs
from ncscope.tuning.step import Frozen, Setting
from tests.shapes import simplex_etf

WIDTH = 7
COUNTS = {"balanced": (3, 3, 3, 3), "imbalanced": (8, 1, 2, 1)}
CENTRED = {
    "lcd": ("cosine", "frobenius"),
    "mid": ("push_pull", "push_pull_linear", "dot_regression", "frobenius", "log"),
}
FORMS = [("lcd", form) for form in LCD_FORMS] + [("mid", form) for form in MID_FORMS]


@dataclass(frozen=True)
class Case:
    """One term on one set of images."""

    term: str
    form: str
    centred: bool
    counts: str
    by_image: bool = False  # text features of every image's own

    @property
    def objective(self) -> Objective:
        options: dict[str, Any] = {f"{self.term}_weight": 0.7, f"{self.term}_form": self.form}
        return Objective(centred=self.centred, **options)


CASES = [
    Case(term, form, centred, counts, by_image)
    for (term, form), centred, counts, by_image in product(
        FORMS, (False, True), COUNTS, (False, True)
    )
    if (not centred or form in CENTRED[term]) and not (by_image and counts == "balanced")
]


@dataclass(frozen=True)
class Table:
    """What training wants of a trainee."""

    trained: dict[str, Tensor]
    by_image: bool = False
    method: str = "coop"
    recipe: None = None  # which gives nothing that CoOp's loss takes

    def learner(self) -> Any:
        image, text = self.trained.values()
        return SimpleNamespace(
            from_backbone=lambda shown: shown @ image,
            encode_names=lambda _: text,
            by_feature=(lambda _, rows: texts_of(rows, text)) if self.by_image else None,
            logit_scale=torch.ones(()),
            extra_logits=None,
        )


def texts_of(image: Tensor, text: Tensor) -> Tensor:
    """(B, K, D) text features that depend on (B, D) images."""
    return text + 0.3 * image.roll(1, dims=1).unsqueeze(1)


def labels_of(counts: str) -> Tensor:
    return torch.repeat_interleave(torch.arange(4), torch.tensor(COUNTS[counts]))


def tables(counts: str, *, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """(N, D) image and (K, D) text rows: of lengths between 2 and 20, each side with a cone."""
    generator = torch.Generator().manual_seed(len(counts))
    image, text, cones = (
        torch.randn(n, WIDTH, generator=generator, dtype=torch.float64)
        for n in (len(labels_of(counts)), 4, 2)
    )
    image = image + 2 * cones[0] + 0.5 * simplex_etf(4, WIDTH)[labels_of(counts)]
    lengths = torch.linspace(2, 20, len(image), dtype=torch.float64).unsqueeze(1)
    image = lengths * metrics.normalise_rows(image)
    text = torch.tensor([[9.0], [4.0], [12.0], [7.0]]) * metrics.normalise_rows(text + cones[1])
    return image.to(dtype), text.to(dtype)


def setting_of(
    case: Case,
    image: Tensor,
    text: Tensor,
    *,
    objective: Objective | None = None,
    accumulate: int = 1,
    spread: Spread = ALONE,
) -> Setting:
    """A step's setting in which image i is shown as the i-th unit vector."""
    leaves = [side.detach().clone().requires_grad_() for side in (image, text)]
    labels = labels_of(case.counts)
    trainee: Any = Table(dict(zip(("image", "text"), leaves, strict=True)), case.by_image)
    return Setting(
        trainee=trainee,
        inputs=FeatureInputs(torch.eye(len(labels), dtype=image.dtype)[None], labels, seed=0),
        objective=objective or case.objective,
        counts=torch.bincount(labels),
        classnames=("ash", "birch", "cedar", "elm"),
        frozen=Frozen(),
        accumulate=accumulate,
        spread=spread,
    )


def balanced(values: list[Tensor], labels: Tensor) -> Tensor:
    """Mean over classes of the mean over each class's own."""
    each = [
        torch.stack([v for v, y in zip(values, labels.tolist(), strict=True) if y == k]).mean(0)
        for k in sorted(set(labels.tolist()))
    ]
    return torch.stack(each).mean(0)


def measure(case: Case, image: Tensor, text: Tensor) -> Tensor:
    """The case's measure of all images, of tower features."""
    labels, centred = labels_of(case.counts), case.centred
    rows = image / image.norm(dim=1, keepdim=True)
    each = texts_of(image, text) if case.by_image else text.expand(len(image), -1, -1)
    each = each / each.norm(dim=2, keepdim=True)
    mean = each.mean(dim=0)
    mean = mean / mean.norm(dim=1, keepdim=True)
    if case.term == "lcd":
        return {
            "cosine": lambda: metrics.delta_lcd(mean, power=2, centred=centred),
            "frobenius": lambda: metrics.delta_lcd(mean, form="frobenius", centred=centred),
            "anchored": lambda: metrics.anchored(mean),
            "dispersion": lambda: -metrics.dispersion(mean),
            "orthogonal": lambda: metrics.orthogonality(mean),
        }[case.form]()
    if case.form == "frobenius":
        means = torch.stack([rows[labels == k].mean(dim=0) for k in range(4)])
        return metrics.delta_mid(means, mean, form="frobenius", centred=centred)
    centre = balanced(list(rows), labels) if centred else None
    found = [
        _sample_term(case.form, rows[i : i + 1], labels[i : i + 1], each[i], centre)
        for i in range(len(rows))
    ]
    return balanced(found, labels)


def _sample_term(
    form: str, row: Tensor, label: Tensor, text: Tensor, centre: Tensor | None
) -> Tensor:
    return {
        "push_pull": lambda: metrics.push_pull(row, label, text, image_mean=centre),
        "push_pull_linear": lambda: metrics.push_pull(
            row, label, text, pull="linear", image_mean=centre
        ),
        "align": lambda: metrics.delta_mid_batch(row, label, text),
        "dot_regression": lambda: metrics.dot_regression(row, label, text, image_mean=centre),
        "log": lambda: metrics.log_collapse(row, label, text, image_mean=centre),
        "anchored": lambda: metrics.dot_regression(row, label, metrics.nearest_etf(text)),
    }[form]()
