"""Small feature sets whose measures are known."""

from dataclasses import replace

import torch
from torch import Tensor

from ncscope.features.bundle import Features
from tests.shapes import simplex_etf


def named(count: int) -> tuple[str, ...]:
    return tuple(f"class {k}" for k in range(count))


def noisy(
    num_classes: int = 6,
    width: int = 16,
    *,
    each: int = 12,
    noise: float = 0.5,
    seed: int = 0,
    counts: list[int] | None = None,
) -> Features:
    """Classes around random means, text near them, nothing normalised."""
    generator = torch.Generator().manual_seed(seed)
    means = torch.randn(num_classes, width, generator=generator)
    sizes = torch.tensor([each] * num_classes if counts is None else counts)
    label = torch.arange(num_classes).repeat_interleave(sizes)
    image = means[label] + noise * torch.randn(len(label), width, generator=generator)
    text = 3 * means + noise * torch.randn(num_classes, width, generator=generator) + 1
    return Features(
        image=image,
        label=label,
        text=text,
        classnames=named(num_classes),
        logit_scale=torch.tensor(20.0),
        provenance={"source": "noisy", "data": "made here"},
    )


def permuted(features: Features, order: list[int]) -> Features:
    """The same classes listed in another order."""
    assert features.text is not None
    assert features.label is not None
    places = torch.tensor([order.index(k) for k in range(len(order))])
    return replace(
        features, text=features.text[order], label=places[features.label],
        classnames=tuple(features.classnames[k] for k in order),
    )  # fmt: skip


def collapsed(num_classes: int = 5, width: int = 8, *, each: int = 4) -> Features:
    """Text and every image on one simplex ETF."""
    frame: Tensor = simplex_etf(num_classes, width)
    label = torch.arange(num_classes).repeat_interleave(each)
    return Features(
        image=frame[label],
        label=label,
        text=7 * frame,
        classnames=named(num_classes),
        logit_scale=torch.tensor(100.0),
    )
