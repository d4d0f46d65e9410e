import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from ncscope.errors import ShapeError
from ncscope.metrics import (
    alignment,
    centre_rows,
    cka_distance,
    cosine_table,
    cpt_cc,
    cross_etf_distance,
    delta_mid,
    delta_mid_batch,
    etf_distance,
    matched_cosines,
    modality_gap,
    modality_gap_samples,
    self_duality,
    unc3,
    uniformity,
)
from tests import reference
from tests.shapes import (
    ETF_SIZES,
    noisy_samples,
    random_rotation,
    random_rows,
    simplex_etf,
    unit_rows,
)

seeds = st.integers(0, 2**31 - 1)
FORMS = ("cosine", "frobenius", "self_duality", "cka")
every_form = pytest.mark.parametrize("form", FORMS)
sides = pytest.mark.parametrize("centred", [False, True])


def related_rows(num_classes=6, width=8, *, seed=0):
    """Text and image rows that agree in part."""
    text = random_rows(num_classes, width, seed=seed)
    return text, text + random_rows(num_classes, width, seed=seed + 1)


@sides
@every_form
@pytest.mark.parametrize(("num_classes", "width"), ETF_SIZES)
def test_a_shared_etf_is_fully_isomorphic(num_classes, width, form, centred):
    text = simplex_etf(num_classes, width)
    found = delta_mid(3 * text, text, form=form, centred=centred)
    assert found.item() == pytest.approx(0, abs=1e-12)


@sides
def test_the_same_rows_on_both_sides_are_at_no_distance(centred):
    rows = random_rows(5, 7)
    for form in ("cosine", "self_duality", "cka"):
        found = delta_mid(2 * rows, rows, form=form, centred=centred)
        assert found.item() == pytest.approx(0, abs=1e-12)
    crossed = delta_mid(rows, rows, form="frobenius", centred=centred)
    assert_close(crossed, etf_distance(rows, centred=centred))


@sides
def test_opposite_rows_are_the_farthest(centred):
    rows = random_rows(5, 7)
    assert delta_mid(-rows, rows, centred=centred).item() == pytest.approx(2)
    assert self_duality(-rows, rows, centred=centred).item() == pytest.approx(2)
    frame = simplex_etf(5, 7)
    assert cross_etf_distance(image_means=-frame, text=frame).item() == pytest.approx(2)


def test_two_unrelated_etfs_have_the_values_of_the_table():
    text, means = simplex_etf(50, 512), simplex_etf(50, 512, seed=1)
    assert cross_etf_distance(image_means=means, text=text).item() == pytest.approx(1.416, abs=0.04)
    assert self_duality(means, text).item() == pytest.approx(1.415, abs=0.04)
    assert cka_distance(means, text).item() == pytest.approx(0, abs=1e-12)


@sides
@given(seed=seeds, num_classes=st.integers(2, 9), width=st.integers(2, 9))
def test_every_form_is_its_formula(centred, seed, num_classes, width):
    text, means = related_rows(num_classes, width, seed=seed)
    left, right = text.numpy(), means.numpy()
    if centred:
        left, right = reference.centred(left), reference.centred(right)
    expected = {
        "cosine": reference.delta_mid(left, right),
        "frobenius": reference.cross_etf_distance(left, right),
        "self_duality": reference.self_duality(left, right),
    }
    for form, value in expected.items():
        found = delta_mid(means, text, form=form, centred=centred)  # pyright: ignore
        assert found.item() == pytest.approx(value, abs=1e-12)
    found = delta_mid(means, text, form="cka", centred=centred).item()
    assert found == pytest.approx(reference.cka_distance(left, right), abs=1e-6)


@given(seeds, st.integers(3, 9))
def test_distances_are_their_closed_forms(seed, num_classes):
    text, means = related_rows(num_classes, 7, seed=seed)
    g, h = text.numpy(), means.numpy()
    inner, k = np.sum(g * h), num_classes
    corrected = inner - k * g.mean(axis=0) @ h.mean(axis=0)
    square = 2 - 2 * corrected / (math.sqrt(k - 1) * np.linalg.norm(g @ h.T))
    assert cross_etf_distance(image_means=means, text=text).item() ** 2 == pytest.approx(square)
    square = 2 - 2 * inner / (np.linalg.norm(g) * np.linalg.norm(h))
    assert self_duality(means, text).item() ** 2 == pytest.approx(square)


def test_image_centring_is_zhus_literal_form():
    text, means = related_rows()
    expected = reference.cross_etf_distance(text.numpy(), reference.centred(means.numpy()))
    assert cross_etf_distance(image_means=means, text=text, center="image").item() == pytest.approx(
        expected
    )


@pytest.mark.parametrize("seed", range(5))
def test_every_form_stays_in_its_range(seed):
    text, means = random_rows(6, 4, seed=seed), random_rows(6, 4, seed=seed + 50)
    for centred in (False, True):
        ceilings = dict(zip(FORMS, (2, 2, 2, math.sqrt(2)), strict=True))
        for form, ceiling in ceilings.items():
            found = delta_mid(means, text, form=form, centred=centred)  # pyright: ignore
            assert 0 <= found <= ceiling


@sides
@every_form
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda g, h: (g @ random_rotation(8), h @ random_rotation(8)), id="rotation"),
        pytest.param(lambda g, h: (g * 100, h * 0.01), id="scales"),
        pytest.param(lambda g, h: (g.flip(0), h.flip(0)), id="class order"),
    ],
)
def test_does_not_see_joint_rotation_scales_or_class_order(change, form, centred):
    text, means = related_rows()
    expected = delta_mid(means, text, form=form, centred=centred)
    assert_close(delta_mid(*change(text, means), form=form, centred=centred), expected)


@every_form
def test_only_the_raw_version_sees_the_gap(form):
    text, means = related_rows()
    shifted = delta_mid(means + 5, text, form=form, centred=True)
    assert_close(shifted, delta_mid(means, text, form=form, centred=True))
    moved = delta_mid(means + 5, text, form=form) - delta_mid(means, text, form=form)
    assert abs(moved) > 1e-3


@sides
def test_a_rotation_of_one_side_is_seen_by_all_but_cka(centred):
    text, means = related_rows()
    for form in FORMS:
        before = delta_mid(means, text, form=form, centred=centred)
        after = delta_mid(means, text @ random_rotation(8), form=form, centred=centred)
        if form == "cka":
            assert_close(after, before)
        else:
            assert after > before + 0.05


@sides
@every_form
def test_shuffled_classes_are_seen(form, centred):
    text, means = related_rows()
    before = delta_mid(means, text, form=form, centred=centred)
    assert delta_mid(means.roll(1, 0), text, form=form, centred=centred) > before + 0.05


@every_form
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(form, dtype):
    text, means = (rows.to(dtype) for rows in related_rows())
    found = delta_mid(means, text, form=form)
    assert found.dtype == torch.float32
    assert_close(found, delta_mid(means.float(), text.float(), form=form), rtol=0, atol=0)


@every_form
def test_float32_text_meets_float64_means(form):
    text, means = related_rows()
    expected = delta_mid(means, text.float().double(), form=form)
    assert_close(delta_mid(means, text.float(), form=form).double(), expected, rtol=1e-6, atol=0)


@every_form
def test_a_zero_or_undefined_row_is_never_read_as_a_number(form):
    text, means = related_rows()
    text[2] = 0
    if form == "cosine":
        assert delta_mid(means, text).isnan()
    text[2] = math.nan
    for centred in (False, True):
        assert delta_mid(means, text, form=form, centred=centred).isnan()
        assert delta_mid(text, means, form=form, centred=centred).isnan()


def test_refusals_name_the_argument():
    text, means = related_rows()
    with pytest.raises(ShapeError, match=r"`image_means` and `text` must have one shape \(K, D\)"):
        delta_mid(means[:, :5], text)
    with pytest.raises(ShapeError, match=r"unknown form 'x' of delta_mid; known: cosine, frob"):
        delta_mid(means, text, form="x")  # pyright: ignore
    with pytest.raises(ShapeError, match=r"unknown center 'text'; known: none, image, both"):
        cross_etf_distance(image_means=means, text=text, center="text")  # pyright: ignore


def test_matched_cosines_are_one_a_class():
    text, means = related_rows()
    expected = [reference.cosine(g, h) for g, h in zip(text.numpy(), means.numpy(), strict=True)]
    assert matched_cosines(means, text).tolist() == pytest.approx(expected)


def test_uniform_duality_is_the_variation_of_the_products():
    text, means = related_rows()
    products = (text.numpy() * reference.centred(means.numpy())).sum(axis=1)
    assert unc3(image_means=means, text=text).item() == pytest.approx(
        products.std() / abs(products.mean())
    )
    assert unc3(image_means=means, text=text, variance=True).item() == pytest.approx(products.var())
    frame = simplex_etf(6, 8)
    assert unc3(image_means=2 * frame + 1, text=frame).item() == pytest.approx(0, abs=1e-12)


@sides
def test_cosine_table_is_the_loops(centred):
    text, means = related_rows()
    g, h = text.numpy(), means.numpy()
    if centred:
        g, h = reference.centred(g), reference.centred(h)
    matrix = np.array([[reference.cosine(a, b) for b in g] for a in h])
    off = matrix[~np.eye(len(g), dtype=bool)]
    expected = {
        "text_text": reference.pair_cosines(g),
        "image_image": reference.pair_cosines(h),
        "image_text": off,
    }
    table = cosine_table(image_means=means, text=text, centred=centred)
    for name, cosines in expected.items():
        assert table[name]["off_diagonal_mean"].item() == pytest.approx(cosines.mean())
        assert table[name]["off_diagonal_std"].item() == pytest.approx(cosines.std())
    on = matrix.diagonal()
    assert table["image_text"]["diagonal_mean"].item() == pytest.approx(on.mean())
    assert table["image_text"]["diagonal_std"].item() == pytest.approx(on.std())


def unit_samples(counts=(7, 1, 3, 20), noise=0.2):
    features, labels = noisy_samples(unit_rows(len(counts), 6), list(counts), noise)
    return features / features.norm(dim=1, keepdim=True), labels


def test_batch_form_is_class_balanced_over_the_classes_present():
    features, labels = unit_samples()
    text = unit_rows(6, 6, seed=3)  # classes 4 and 5 have no samples
    values = [
        1 - reference.cosine(f, text[y].numpy())
        for f, y in zip(features.numpy(), labels, strict=True)
    ]
    expected = reference.class_balanced(np.array(values), labels.numpy())
    found = delta_mid_batch(features, labels, text)
    assert found.item() == pytest.approx(expected)
    assert_close(cpt_cc(features, labels, text), 2 * found)
    assert_close(alignment(features, labels, text), 2 * found)


def test_batch_form_equals_the_degree_on_collapsed_classes():
    means = unit_rows(4, 6)
    features, labels = noisy_samples(means, [7, 1, 3, 20], 0)
    text = unit_rows(4, 6, seed=3)
    assert_close(delta_mid_batch(features, labels, text), delta_mid(means, text))


def test_batch_form_exceeds_the_degree_by_what_spread_shortens():
    features, labels = unit_samples()
    text = unit_rows(4, 6, seed=3)
    means = torch.stack([features[labels == k].mean(dim=0) for k in range(4)])
    lengths = means.norm(dim=1)
    shortened = (lengths * matched_cosines(means, text)).mean()
    assert_close(delta_mid_batch(features, labels, text), 1 - shortened)
    spreads = torch.tensor(reference.spreads(features.numpy(), labels.numpy(), 4))
    assert_close(lengths.square(), 1 - spreads)


def test_ignored_labels_change_nothing_and_no_labels_give_nan():
    features, labels = unit_samples()
    text = unit_rows(4, 6, seed=3)
    more = torch.cat([features, random_rows(5, 6)])
    marked = torch.cat([labels, torch.full((5,), -1)])
    assert_close(delta_mid_batch(more, marked, text), delta_mid_batch(features, labels, text))
    assert delta_mid_batch(features, labels * 0 - 1, text).isnan()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32])
def test_labels_may_be_any_integers(dtype):
    features, labels = unit_samples()
    text = unit_rows(4, 6, seed=3)
    expected = delta_mid_batch(features, labels, text)
    assert_close(delta_mid_batch(features, labels.to(dtype), text), expected)


def test_sample_measures_refuse_text_of_another_width():
    features, labels = unit_samples()
    for measure in (delta_mid_batch, alignment, cpt_cc):
        with pytest.raises(ShapeError, match=r"`text` is \(4, 5\); expected \(K, 6\)"):
            measure(features, labels, torch.ones(4, 5))


def test_centring_is_what_the_forms_do():
    text, means = related_rows()
    centred = delta_mid(centre_rows(means), centre_rows(text))
    assert_close(delta_mid(means, text, centred=True), centred)


def test_gap_is_the_distance_of_the_centres():
    text, means = random_rows(5, 7), random_rows(5, 7, seed=1)
    expected = np.linalg.norm(text.numpy().mean(axis=0) - means.numpy().mean(axis=0))
    assert modality_gap(means, text).item() == pytest.approx(expected)
    assert_close(modality_gap(text + 3.0, text), torch.tensor(3 * math.sqrt(7)).double())
    assert modality_gap(text.flip(0), text).item() == pytest.approx(0, abs=1e-12)
    rotation = random_rotation(7)
    assert modality_gap(means @ rotation, text @ rotation).item() == pytest.approx(expected)


def test_gap_of_opposite_points_is_two():
    text = unit_rows(1, 4).repeat(3, 1)
    assert modality_gap(-text, text).item() == pytest.approx(2)


def test_only_the_gap_over_samples_is_pulled_to_head_classes():
    means, text = unit_rows(3, 6), unit_rows(3, 6, seed=1)
    features, _ = noisy_samples(means, [90, 9, 1], 0)
    weighted = (90 * means[0] + 9 * means[1] + means[2]) / 100
    expected = (weighted - text.mean(dim=0)).norm()
    assert_close(modality_gap_samples(features, text), expected)
    assert abs(expected - modality_gap(means, text)) > 0.1


@pytest.mark.parametrize("alpha", [1.0, 2.0, 3.0])
def test_alignment_is_the_class_balanced_loop(alpha):
    features, labels = noisy_samples(unit_rows(4, 6), [5, 1, 9, 30], 0.3)
    text = unit_rows(4, 6, seed=2)
    distances = np.linalg.norm(features.numpy() - text.numpy()[labels.numpy()], axis=1)
    expected = reference.class_balanced(distances**alpha, labels.numpy())
    assert alignment(features, labels, text, alpha=alpha).item() == pytest.approx(expected)


@pytest.mark.parametrize("t", [0.5, 2.0])
def test_uniformity_is_the_loop_over_pairs(t):
    rows = unit_rows(40, 6)
    expected = reference.uniformity(rows.numpy(), t)
    assert uniformity(rows, t=t).item() == pytest.approx(expected)
    assert -4 * t <= expected <= 0


def test_uniformity_does_not_see_its_blocks():
    rows = unit_rows(3000, 4).float()  # three blocks
    squared = torch.cdist(rows.double(), rows.double()).square()
    total = (-2 * squared).exp().sum() - 3000
    expected = math.log(total.item() / (3000 * 2999))
    assert uniformity(rows).item() == pytest.approx(expected, rel=1e-5)


def test_uniformity_of_equal_rows_is_its_largest_value():
    rows = unit_rows(1, 9).repeat(5, 1)
    assert uniformity(rows).item() == pytest.approx(0, abs=1e-12)
    assert uniformity(torch.cat([rows[:1], -rows[:1]])).item() == pytest.approx(-8)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_of_gap_and_alignment_is_computed_in_float32(dtype):
    features, labels = noisy_samples(unit_rows(4, 6), 5, 0.3)
    half, text = features.to(dtype), unit_rows(4, 6, seed=2).to(dtype)
    found, expected = (
        [
            uniformity(rows),
            alignment(rows, labels, others),
            modality_gap(others, rows[:4]),
            modality_gap_samples(rows, others),
        ]
        for rows, others in ((half, text), (half.float(), text.float()))
    )
    assert all(value.dtype == torch.float32 for value in found)
    assert_close(found, expected, rtol=0, atol=0)


def test_undefined_rows_are_never_read_as_numbers():
    rows = unit_rows(5, 6)
    rows[1, 2] = math.nan
    labels = torch.arange(5)
    assert uniformity(rows).isnan()
    assert modality_gap(unit_rows(5, 6), rows).isnan()
    assert alignment(rows, labels, unit_rows(5, 6)).isnan()
