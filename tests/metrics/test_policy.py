"""What every measure does alike: dtype, device, undefined input, few classes, no normalising."""

import math
import re

import pytest
import torch
from torch.testing import assert_close

from ncscope.errors import ShapeError
from ncscope.metrics import (
    MomentsAccumulator,
    SampleAccumulator,
    alignment,
    anchored,
    cdnv,
    cka_distance,
    class_moments,
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
    hierarchy_retention,
    log_collapse,
    max_angle,
    modality_gap,
    nc1,
    nc4,
    normalise_rows,
    one_vs_rest_distance,
    orthogonality,
    participation_ratio,
    push_pull,
    self_duality,
    top1,
    unc3,
    uniformity,
    whitening,
)
from tests.shapes import noisy_samples, random_rows, unit_rows

OF_ROWS = {
    "etf_distance": etf_distance,
    "delta_lcd": delta_lcd,
    "max_angle": max_angle,
    "equinorm": equinorm,
    "equiangular": equiangular,
    "gnc2": lambda g: gnc2(g)[0],
    "participation_ratio": participation_ratio,
    "effective_rank": effective_rank,
    "uniformity": uniformity,
    "dispersion": dispersion,
    "orthogonality": orthogonality,
    "anchored": anchored,
    "cpt_tetf": lambda g: cpt_tetf(g, torch.zeros(len(g)).long()),
    "one_vs_rest_distance": one_vs_rest_distance,
}
OF_BOTH = {
    "delta_mid": delta_mid,
    "cross_etf_distance": lambda h, g: cross_etf_distance(image_means=h, text=g),
    "self_duality": self_duality,
    "cka_distance": cka_distance,
    "unc3": lambda h, g: unc3(image_means=h, text=g),
    "modality_gap": modality_gap,
    "hierarchy_retention": hierarchy_retention,
    "cpt_rs": cpt_rs,
}
OF_SAMPLES = {
    "delta_mid_batch": delta_mid_batch,
    "alignment": alignment,
    "push_pull": push_pull,
    "dot_regression": dot_regression,
    "log_collapse": log_collapse,
    "cpt_cc": cpt_cc,
}
OF_FEATURES = {
    "nc1": lambda f, y: nc1(f, y, 4),
    "cdnv": lambda f, y: cdnv(class_moments(f, y, 4)),
    "nc4": lambda f, y: nc4(f, y, unit_rows(4, 6).to(f.dtype)),
    "top1": lambda f, y: top1(f, y),
}
SEES_LENGTH = {"equinorm", "etf_distance", "dispersion", "uniformity", "participation_ratio",
               "effective_rank", "alignment", "modality_gap", "unc3", "cka_distance",
               "cross_etf_distance", "self_duality", "hierarchy_retention"}  # fmt: skip


def every():
    """(name, call) with all arguments but the dtype bound."""
    rows, others = random_rows(4, 6), random_rows(4, 6, seed=1)
    features, labels = noisy_samples(unit_rows(4, 6), [3, 5, 2, 4], 0.3)
    for name, f in OF_ROWS.items():
        yield name, lambda change, f=f: f(change(rows))
    for name, f in OF_BOTH.items():
        yield name, lambda change, f=f: f(change(rows), change(others))
    for name, f in OF_SAMPLES.items():
        yield name, lambda change, f=f: f(change(features), labels, change(rows))
    for name, f in OF_FEATURES.items():
        yield name, lambda change, f=f: f(change(features), labels)


CALLS = dict(every())
every_measure = pytest.mark.parametrize("name", list(CALLS))


@every_measure
def test_float64_stays_float64(name):
    assert CALLS[name](lambda rows: rows).dtype == torch.float64


@every_measure
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32_or_better(name, dtype):
    found = CALLS[name](lambda rows: rows.to(dtype))
    assert found.dtype in (torch.float32, torch.float64)
    expected = CALLS[name](lambda rows: rows.to(dtype).float())
    # A pseudo-inverse is cut at the rounding level of the stored dtype, which cuts nothing here.
    assert_close(found, expected, rtol=0, atol=0)


@every_measure
def test_float32_is_close_to_float64(name):
    found = CALLS[name](lambda rows: rows.float())
    expected = CALLS[name](lambda rows: rows.float().double())
    assert_close(found.double(), expected.double(), rtol=2e-5, atol=2e-6)


@every_measure
def test_results_are_on_the_device_of_the_input(name):
    assert CALLS[name](lambda rows: rows).device == torch.device("cpu")


@every_measure
def test_vectors_are_used_as_given(name):
    """Rows of other lengths give another value, except where only directions enter."""
    lengths = torch.tensor([0.5, 1.0, 2.0, 3.0]).double()

    def stretch(rows):
        return rows * lengths[torch.arange(len(rows)) % 4].unsqueeze(1)

    before, after = CALLS[name](lambda rows: rows), CALLS[name](stretch)
    if name in SEES_LENGTH | {"nc1", "cdnv", "nc4", "gnc2"}:
        assert abs(after - before) > 1e-3
    elif name != "anchored":  # whose default frame is nearest to the rows as given
        assert_close(after, before)


@every_measure
def test_nan_is_never_read_as_a_number(name):
    def spoil(rows):
        rows = rows.clone()
        rows[1, 1] = math.nan
        return rows

    refusal = None
    try:
        found = CALLS[name](spoil)
    except ShapeError as error:
        refusal = str(error)
    else:
        assert found.isnan().any()
    if refusal is not None:
        assert re.search("NaN or inf in 1 of .* rows: 1", refusal)


@pytest.mark.parametrize("name", [*OF_ROWS, *OF_BOTH])
def test_one_class_is_refused(name):
    with pytest.raises(ShapeError, match="K >= 2"):
        CALLS[name](lambda rows: rows[:1])


@pytest.mark.parametrize("name", [*OF_ROWS, *OF_BOTH])
def test_two_classes_have_a_value(name):
    found = CALLS[name](lambda rows: rows[:2])
    if name == "hierarchy_retention":  # of one pair
        assert found.isnan()
    else:
        assert found.isfinite().all()


def test_a_normalised_zero_row_makes_its_cosines_undefined():
    rows = random_rows(4, 6)
    rows[2] = 0
    directions = normalise_rows(rows)
    assert directions.isnan().any(dim=1).tolist() == [False, False, True, False]
    assert delta_lcd(rows).isnan()
    assert delta_mid(random_rows(4, 6, seed=1), rows).isnan()
    features, labels = noisy_samples(unit_rows(4, 6), 3, 0.1)
    for loss in (push_pull, delta_mid_batch, log_collapse):
        assert loss(features, labels, rows).isnan()


def test_the_sweeps_give_what_the_functions_give():
    features, labels = noisy_samples(unit_rows(4, 6), [3, 5, 2, 40], 0.3)
    text = unit_rows(4, 6, seed=3)
    first = MomentsAccumulator(4, 6, normalise=False)
    for start in range(0, 50, 7):
        first.update(features[start : start + 7], labels[start : start + 7])
    moments = first.compute()
    second = SampleAccumulator(moments, text=text, normalise=False)
    for start in range(0, 50, 9):
        second.update(features[start : start + 9], labels[start : start + 9])
    found = second.compute()
    assert_close(found.nc1, nc1(features, labels, 4))
    assert_close(cdnv(moments), cdnv(class_moments(features, labels, 4)))
    assert found.nc4 is not None
    assert_close(found.nc4, nc4(features, labels, text))
    assert whitening(moments).rank == 3
