"""Every measure that calls itself differentiable has the gradient that finite differences have."""

import inspect

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

import ncscope.metrics
from ncscope.metrics import (
    alignment,
    anchored,
    cdnv,
    centre_rows,
    cka_distance,
    class_moments,
    cosine_summary,
    cosine_table,
    cpt_cc,
    cpt_rs,
    cpt_tetf,
    cross_etf_distance,
    delta_lcd,
    delta_mid,
    delta_mid_batch,
    dispersion,
    dot_regression,
    effective_rank,
    equiangular,
    equinorm,
    etf_distance,
    gnc2,
    gram_distance,
    hierarchy_retention,
    log_collapse,
    matched_cosines,
    max_angle,
    modality_gap,
    modality_gap_samples,
    nc1,
    normalise_rows,
    orthogonality,
    pairwise_cosines,
    participation_ratio,
    push_pull,
    self_duality,
    spread_ratio,
    unc3,
    uniformity,
)
from tests.shapes import noisy_samples, random_rows, simplex_etf, unit_rows

LABELS = torch.tensor([0, 0, 0, 1, 2, 2, 3, 3, 3, -1])
CLUSTERS = torch.tensor([0, 1, 0, 1])
ANCHOR = simplex_etf(4, 5, seed=2)
MEAN = random_rows(1, 5, seed=8)[0]

OF_ROWS = {
    "normalise_rows": normalise_rows,
    "centre_rows": centre_rows,
    "pairwise_cosines": lambda g: pairwise_cosines(g, centred=True),
    "gram_distance": lambda g: gram_distance(g @ g.T),
    "delta_lcd rms": lambda g: delta_lcd(g, form="cosine_rms"),
    "delta_lcd 2": lambda g: delta_lcd(g, power=2),
    "delta_lcd 2 centred": lambda g: delta_lcd(g, power=2, centred=True),
    "delta_lcd 3": lambda g: delta_lcd(g, power=3),
    "cosine_summary": lambda g: tuple(cosine_summary(g).values()),
    "participation_ratio": participation_ratio,
    "participation_ratio raw": lambda g: participation_ratio(g, centred=False),
    "effective_rank": effective_rank,
    "effective_rank raw": lambda g: effective_rank(g, centred=False),
    "uniformity": uniformity,
    "dispersion": dispersion,
    "orthogonality": orthogonality,
    "cpt_tetf": lambda g: cpt_tetf(g, CLUSTERS),
    "anchored": lambda g: anchored(g, ANCHOR),
    "equinorm log": lambda g: equinorm(g, log=True),
    **{
        f"{measure.__name__} {centred=}": lambda g, f=measure, c=centred: f(g, centred=c)
        for measure in (etf_distance, delta_lcd, max_angle, equinorm, equiangular)
        for centred in (False, True)
    },
    **{
        f"gnc2 {kernel}": lambda g, kernel=kernel: gnc2(g, kernel=kernel)  # pyright: ignore
        for kernel in ("log", "dist", "riesz")
    },
}
OF_BOTH = {
    "matched_cosines": matched_cosines,
    "unc3": lambda g, h: unc3(image_means=h, text=g),
    "unc3 variance": lambda g, h: unc3(image_means=h, text=g, variance=True),
    "modality_gap": modality_gap,
    "modality_gap_samples": modality_gap_samples,
    "cpt_rs": cpt_rs,
    "hierarchy_retention": hierarchy_retention,
    "hierarchy_retention centred": lambda g, h: hierarchy_retention(g, h, centred=True),
    "cosine_table": lambda g, h: tuple(
        v for row in cosine_table(image_means=h, text=g).values() for v in row.values()
    ),
    **{
        f"cross_etf_distance {center}": lambda g, h, c=center: cross_etf_distance(
            image_means=h,
            text=g,
            center=c,  # pyright: ignore
        )
        for center in ("none", "image", "both")
    },
    **{
        f"{measure.__name__} {centred=}": lambda g, h, f=measure, c=centred: f(g, h, centred=c)
        for measure in (self_duality, cka_distance, delta_mid)
        for centred in (False, True)
    },
}
OF_SAMPLES = {
    "delta_mid_batch": delta_mid_batch,
    "alignment": alignment,
    "alignment 1": lambda f, y, g: alignment(f, y, g, alpha=1),
    "cpt_cc": cpt_cc,
    "push_pull": push_pull,
    "push_pull linear": lambda f, y, g: push_pull(f, y, g, pull="linear"),
    "push_pull centred": lambda f, y, g: push_pull(f, y, g, image_mean=MEAN),
    "dot_regression": dot_regression,
    "dot_regression centred": lambda f, y, g: dot_regression(f, y, g, image_mean=MEAN),
    "log_collapse": log_collapse,
    "log_collapse centred": lambda f, y, g: log_collapse(f, y, g, image_mean=MEAN),
    "anchored with features": lambda f, y, g: anchored(g, ANCHOR, features=f, labels=y),
}


def moments_of(rows: Tensor) -> ncscope.metrics.ClassMoments:
    return class_moments(rows, LABELS, 4)


OF_FEATURES = {
    "class_moments": lambda f: (moments_of(f).means, moments_of(f).spreads),
    "global_mean": lambda f: (moments_of(f).global_mean, moments_of(f).sample_mean),
    "cdnv": lambda f: cdnv(moments_of(f)),
    "cdnv exponent": lambda f: cdnv(moments_of(f), dist_exp=0.7),
    "spread_ratio": lambda f: spread_ratio(moments_of(f)),
    "spread_ratio weak": lambda f: spread_ratio(moments_of(f), weak=True),
    "text of image means": lambda f: delta_mid(moments_of(f).means, ANCHOR),
    **{
        f"nc1 {variant}": lambda f, v=variant: nc1(f, LABELS, 4, variant=v)  # pyright: ignore
        for variant in ("default", "papyan", "svd", "quotient", "weak")
    },
    "nc1 of more classes than dimensions": lambda f: nc1(f[:, :2], LABELS, 4),
}


def table(measures):
    return pytest.mark.parametrize("measure", measures.values(), ids=measures.keys())


@table(OF_ROWS)
def test_gradient_by_class_rows(measure):
    assert gradcheck(measure, random_rows(4, 5).requires_grad_())


@table(OF_BOTH)
def test_gradient_by_text_and_image_means(measure):
    sides = random_rows(4, 5).requires_grad_(), random_rows(4, 5, seed=1).requires_grad_()
    assert gradcheck(measure, sides)


@table(OF_SAMPLES)
def test_gradient_by_features_and_text(measure):
    features, text = random_rows(10, 5, seed=1), random_rows(4, 5)
    sides = features.requires_grad_(), text.requires_grad_()
    assert gradcheck(lambda f, g: measure(f, LABELS, g), sides)


@table(OF_FEATURES)
def test_gradient_through_class_means(measure):
    assert gradcheck(measure, random_rows(10, 5).requires_grad_())


@pytest.mark.parametrize("num_classes", [3, 6])
def test_gradient_of_nc1_is_finite_at_and_near_collapse(num_classes):
    for noise in (0, 1e-9):
        features, labels = noisy_samples(unit_rows(num_classes, 5), 3, noise)
        value = nc1(features.requires_grad_(), labels, num_classes)
        value.backward()
        assert features.grad is not None
        assert features.grad.isfinite().all()


def test_the_tables_hold_every_measure_that_says_it_is_differentiable():
    tested = " ".join([*OF_ROWS, *OF_BOTH, *OF_SAMPLES, *OF_FEATURES]).split()
    for name in ncscope.metrics.__all__:
        value = getattr(ncscope.metrics, name)
        if inspect.isfunction(value) and "Differentiable" in (value.__doc__ or ""):
            assert name in tested, f"{name} says it is differentiable; no test here checks it"
