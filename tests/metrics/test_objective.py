"""Terms of objectives: sample losses, anchors, CPT's losses, pull and push of cross-entropy."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score
from torch.testing import assert_close

from ncscope.errors import ShapeError
from ncscope.metrics import (
    anchored,
    cpt_cc,
    cpt_clusters,
    cpt_rs,
    cpt_tetf,
    cross_etf_distance,
    delta_lcd,
    delta_mid_batch,
    dispersion,
    dot_regression,
    etf_distance,
    log_collapse,
    nearest_etf,
    orthogonality,
    pull_push,
    push_pull,
)
from tests import reference
from tests.metrics.descent import descend
from tests.shapes import ETF_SIZES, noisy_samples, normal, random_rows, simplex_etf, unit_rows

seeds = st.integers(0, 2**31 - 1)
SAMPLE_LOSSES = {
    "push_pull": push_pull,
    "push_pull linear": lambda f, y, g, **more: push_pull(f, y, g, pull="linear", **more),
    "dot_regression": dot_regression,
    "log_collapse": log_collapse,
}
every_loss = pytest.mark.parametrize("loss", SAMPLE_LOSSES.values(), ids=SAMPLE_LOSSES.keys())


def batch(num_classes=4, width=6, counts=(5, 1, 0, 9), seed=0):
    """Features of three of four classes, unbalanced, and text rows for all four."""
    features, labels = noisy_samples(unit_rows(num_classes, width), list(counts), 0.3, seed=seed)
    return features, labels, random_rows(num_classes, width, seed=seed + 7)


@given(seed=seeds)
def test_sample_losses_are_their_loops(seed):
    features, labels, text = batch(seed=seed % 1000)
    f, y, g = features.numpy(), labels.numpy(), text.numpy()
    own = np.array([reference.cosine(row, g[label]) for row, label in zip(f, y, strict=True)])
    expected = {
        "push_pull": reference.push_pull(f, y, g),
        "push_pull linear": reference.push_pull(f, y, g, linear=True),
        "dot_regression": reference.class_balanced(0.5 * (own - 1) ** 2, y),
        "log_collapse": reference.log_collapse(f, y, g),
    }
    for name, loss in SAMPLE_LOSSES.items():
        assert loss(features, labels, text).item() == pytest.approx(expected[name])


@every_loss
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("num_classes", "width"), ETF_SIZES)
def test_a_shared_etf_is_the_minimum(num_classes, width, dtype, loss):
    text = simplex_etf(num_classes, width).to(dtype)
    labels = torch.arange(num_classes)
    features = (2 * text[labels]).requires_grad_()
    value = loss(features, labels, text)
    assert value.item() == pytest.approx(0, abs=1e-12 if dtype == torch.float64 else 1e-6)
    value.backward()
    assert features.grad is not None
    assert features.grad.isfinite().all()
    if loss is not log_collapse:  # which has a kink there
        assert features.grad.abs().max() < (1e-9 if dtype == torch.float64 else 1e-4)


@every_loss
@given(seed=seeds)
def test_sample_losses_are_not_negative(loss, seed):
    features, labels, text = batch(seed=seed % 1000)
    assert loss(features, labels, text) >= 0
    assert loss(text[labels].float(), labels, text.float()) >= 0


def test_linear_pull_is_the_batch_degree_plus_the_same_push():
    features, labels, text = batch()
    push = push_pull(features, labels, text) - dot_regression(features, labels, text)
    expected = delta_mid_batch(features, labels, text) + push
    assert_close(push_pull(features, labels, text, pull="linear"), expected)


@every_loss
def test_centring_takes_the_modality_gap_out(loss):
    features, labels, text = batch()
    mean = features.mean(dim=0)
    expected = loss(features - mean, labels, text - text.mean(dim=0))
    assert_close(loss(features, labels, text, image_mean=mean), expected)
    shifted = loss(features + 5, labels, text - 3, image_mean=mean + 5)
    assert_close(shifted, expected)


@every_loss
def test_a_head_class_weighs_no_more_than_a_tail_class(loss):
    features, labels, text = batch()
    doubled = torch.cat([features, features[labels == 3]]), torch.cat([labels, labels[labels == 3]])
    assert_close(loss(*doubled, text), loss(features, labels, text))


@every_loss
def test_scale_order_and_ignored_labels_change_nothing(loss):
    features, labels, text = batch()
    expected = loss(features, labels, text)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    assert_close(loss(7 * features[order], labels[order], 0.1 * text), expected)
    more = torch.cat([features, normal(3, 6)]), torch.cat([labels, torch.full((3,), -1)])
    assert_close(loss(*more, text), expected)
    assert_close(loss(features, labels.to(torch.uint8), text), expected)
    assert loss(features, labels * 0 - 1, text).isnan()


@every_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(loss, dtype):
    features, labels, text = batch()
    rows, half_text = features.to(dtype), text.to(dtype)
    mean = rows.float().mean(dim=0).to(dtype)
    for options in ({}, {"image_mean": mean}):
        wide = {name: value.float() for name, value in options.items()}
        found = loss(rows, labels, half_text, **options)
        assert found.dtype == torch.float32
        expected = loss(rows.float(), labels, half_text.float(), **wide)
        assert_close(found, expected, rtol=0, atol=0)


@every_loss
def test_a_batch_of_one_works(loss):
    features, labels, text = batch()
    assert loss(features[:1], labels[:1], text).isfinite()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("width", [3, 6, 33, 512])
def test_log_form_is_infinite_at_its_poles_and_nowhere_nan(dtype, width):
    text = random_rows(40, width).to(dtype)
    labels = torch.arange(40)
    assert log_collapse(-text, labels, text) > 0.3
    assert log_collapse(text, labels.roll(1), text) > 0.3
    axes = torch.eye(3, dtype=dtype)
    assert log_collapse(-axes, torch.arange(3), axes).item() == math.inf
    assert log_collapse(axes, torch.tensor([1, 2, 0]), axes).item() == math.inf


def test_refusals_name_the_argument():
    features, labels, text = batch()
    with pytest.raises(ShapeError, match=r"unknown pull 'cubed'; known: squared, linear"):
        push_pull(features, labels, text, pull="cubed")  # pyright: ignore
    with pytest.raises(ShapeError, match=r"`labels` must lie in 0..3, or be -1 .* got 0..4"):
        push_pull(features, labels + (labels == 3), text)
    with pytest.raises(ShapeError, match=r"`text` is \(4, 5\); expected \(K, 6\)"):
        log_collapse(features, labels, text[:, :5])
    with pytest.raises(ShapeError, match=r"K = 8 classes exists in D = 6"):
        anchored(random_rows(8, 6))
    with pytest.raises(ShapeError, match=r"`text` and `anchor` must have one shape"):
        anchored(text, text[:, :5])
    for half in ({"features": features}, {"labels": labels}):
        with pytest.raises(ShapeError, match=r"`features` and `labels` go together"):
            anchored(text, **half)


def test_anchored_is_the_loop_and_zero_on_the_anchor():
    features, labels, text = batch()
    anchor = simplex_etf(4, 6, seed=3)
    own = [reference.cosine(g, m) for g, m in zip(text.numpy(), anchor.numpy(), strict=True)]
    expected = float(np.mean([0.5 * (c - 1) ** 2 for c in own]))
    assert anchored(text, anchor).item() == pytest.approx(expected)
    both = anchored(text, 5 * anchor, features=features, labels=labels)
    expected += dot_regression(features, labels, anchor).item()
    assert both.item() == pytest.approx(expected)
    at_anchor = anchored(anchor, anchor, features=anchor[labels], labels=labels)
    assert at_anchor.item() == pytest.approx(0, abs=1e-12)


def test_anchor_is_by_default_the_nearest_etf():
    text = random_rows(4, 6)
    assert_close(anchored(text), anchored(text, nearest_etf(text)))
    frame = simplex_etf(4, 6)
    assert anchored(frame).item() == pytest.approx(0, abs=1e-12)
    for seed in range(10):
        assert anchored(text) < anchored(text, simplex_etf(4, 6, seed=seed))


def test_dispersion_is_the_mean_distance_from_the_mean():
    text = random_rows(5, 7)
    expected = np.linalg.norm(reference.centred(text.numpy()), axis=1).mean()
    assert dispersion(text).item() == pytest.approx(expected)
    assert_close(dispersion(text + 9), dispersion(text))
    assert dispersion(simplex_etf(5, 7)).item() == pytest.approx(1)
    assert dispersion(torch.ones(3, 4)).item() == 0


def test_orthogonality_is_the_mean_squared_cosine():
    text = random_rows(5, 7)
    expected = np.mean(reference.pair_cosines(text.numpy()) ** 2)
    assert orthogonality(text).item() == pytest.approx(expected)
    assert orthogonality(3 * torch.eye(5)).item() == 0
    assert orthogonality(torch.ones(5, 7)).item() == pytest.approx(1)


@pytest.mark.parametrize("pull", ["squared", "linear"])
def test_descent_on_push_pull_reaches_one_etf_for_both_sides(pull):
    labels = torch.tensor([0, 0, 0, 0, 1, 2, 2, 3])
    text, features = random_rows(4, 6).requires_grad_(), random_rows(8, 6, seed=1).requires_grad_()
    descend(lambda: push_pull(features, labels, text, pull=pull), text, features, steps=100)
    unit = torch.nn.functional.normalize(features.detach())
    means = torch.stack([unit[labels == k].mean(dim=0) for k in range(4)])
    frame = torch.nn.functional.normalize(text.detach())
    for distance in (
        cross_etf_distance(image_means=means, text=frame),
        etf_distance(frame),
        etf_distance(means),
    ):
        assert distance < 1e-2


LOSSES = {
    **{name: lambda g, loss=loss: loss(*batch()[:2], g) for name, loss in SAMPLE_LOSSES.items()},
    "delta_lcd": lambda g: delta_lcd(g, power=2),
    "delta_lcd centred": lambda g: delta_lcd(g, power=2, centred=True),
    "frobenius": etf_distance,
    "anchored": anchored,
    "dispersion": lambda g: -dispersion(g),
    "orthogonality": orthogonality,
}
every_objective = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())


@every_objective
def test_a_step_of_descent_lowers_it(loss):
    text = batch()[2].requires_grad_()
    before = loss(text)
    (gradient,) = torch.autograd.grad(before, text)
    assert loss(text.detach() - 1e-3 * gradient) < before


@every_objective
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("num_classes", "width"), [(2, 6), (4, 6), (4, 3)])
def test_gradients_are_finite_at_the_exact_etf(loss, dtype, num_classes, width):
    # Two antipodal axes, and the canonical frame, give cosines without any rounding.
    text = simplex_etf(num_classes, width)
    if (num_classes, width) == (2, 6):
        text = torch.tensor([[1.0, 0, 0, 0, 0, 0], [-1.0, 0, 0, 0, 0, 0]])
    text = text.to(dtype).requires_grad_()
    if loss in list(LOSSES.values())[: len(SAMPLE_LOSSES)]:
        name = next(name for name, value in LOSSES.items() if value is loss)
        value = SAMPLE_LOSSES[name](text.detach(), torch.arange(num_classes), text)
    else:
        value = loss(text)
    (gradient,) = torch.autograd.grad(value, text)
    assert value.isfinite()
    assert gradient.isfinite().all()


def test_one_cluster_is_the_degree_as_a_sum():
    text = random_rows(7, 9)
    clusters = torch.zeros(7).long()
    expected = 7 * 6 * delta_lcd(text, power=2)
    assert_close(cpt_tetf(text, clusters), expected)
    assert_close(cpt_tetf(text, clusters, printed=True), 7 + expected)


@pytest.mark.parametrize(("num_classes", "width"), [(2, 2), (10, 9), (10, 512)])
def test_simplex_etf_gives_zero_and_k_as_printed(num_classes, width):
    frame, clusters = simplex_etf(num_classes, width), torch.zeros(num_classes).long()
    assert cpt_tetf(frame, clusters).item() == pytest.approx(0, abs=1e-12)
    assert cpt_tetf(frame, clusters, printed=True).item() == pytest.approx(num_classes)


def test_clusters_are_each_a_frame_of_their_own_and_single_classes_are_skipped():
    text = random_rows(8, 9)
    clusters = torch.tensor([3, 0, 3, 0, 3, 1, 0, 3])
    terms = []
    for members in ([1, 3, 6], [0, 2, 4, 7]):
        rows, size = text.numpy()[members], len(members)
        units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        ones = np.ones((size, size))
        terms.append(np.linalg.norm(units @ units.T + (ones - np.eye(size)) / (size - 1)) ** 2)
    found = cpt_tetf(text, clusters, printed=True)
    assert found.item() == pytest.approx(np.mean(terms))
    assert cpt_tetf(text, clusters).item() == pytest.approx(np.mean(terms) - 3.5)
    assert cpt_tetf(text, torch.arange(8)).isnan()


def test_centre_loss_is_the_class_balanced_squared_distance():
    features, labels = noisy_samples(unit_rows(4, 6), [5, 1, 9, 2], 0.4)
    text = random_rows(4, 6, seed=5)
    units = features.numpy() / np.linalg.norm(features.numpy(), axis=1, keepdims=True)
    targets = text.numpy() / np.linalg.norm(text.numpy(), axis=1, keepdims=True)
    squared = ((units - targets[labels.numpy()]) ** 2).sum(axis=1)
    expected = reference.class_balanced(squared, labels.numpy())
    assert cpt_cc(features, labels, text).item() == pytest.approx(expected)


def test_residual_is_the_mean_l1_distance_of_unit_rows():
    text, frozen = random_rows(5, 6), random_rows(5, 6, seed=1)
    difference = text / text.norm(dim=1, keepdim=True) - frozen / frozen.norm(dim=1, keepdim=True)
    assert cpt_rs(text, frozen).item() == pytest.approx(np.abs(difference.numpy()).sum() / 5)
    assert cpt_rs(text, 3 * text).item() == pytest.approx(0, abs=1e-12)


def test_kmeans_finds_clusters_that_are_there_and_numbers_them_by_first_class():
    truth = torch.tensor([2, 0, 1, 2, 0, 1, 1, 2, 0, 0, 1, 2])
    rows = unit_rows(3, 16)[truth] + 0.05 * random_rows(12, 16, seed=2)
    found = cpt_clusters(rows * torch.linspace(0.1, 9, 12).unsqueeze(1), 3)
    assert adjusted_rand_score(truth, found) == 1
    assert found.tolist() == [0, 1, 2, 0, 1, 2, 2, 0, 1, 1, 2, 0]
    assert_close(cpt_clusters(rows, 3, seed=0), cpt_clusters(rows, 3, seed=0))
    assert cpt_clusters(rows, 1).count_nonzero() == 0
    assert cpt_clusters(rows.float(), 12).tolist() == list(range(12))


def test_refusals_of_cpt_name_the_argument():
    rows = random_rows(5, 6)
    for wrong in (0, 6):
        with pytest.raises(ShapeError, match=rf"`num_clusters` must lie in 1..K = 5; got {wrong}"):
            cpt_clusters(rows, wrong)
    with pytest.raises(ShapeError, match=r"`clusters` must be \(K,\) with K = 5; got \(4,\)"):
        cpt_tetf(rows, torch.zeros(4).long())
    rows[1] = torch.nan
    with pytest.raises(ShapeError, match=r"`frozen` has NaN or inf in 1 of 5 rows: 1"):
        cpt_clusters(rows, 2)


def sample(n=60, k=5, d=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(n, d, generator=generator, dtype=torch.float64)
    labels = torch.randint(k, (n,), generator=generator)
    return features, labels, torch.randn(k, d, generator=generator, dtype=torch.float64)


def test_pull_and_push_add_up_to_the_negative_gradient_of_cross_entropy():
    features, labels, text = sample()
    rows = F.normalize(text, dim=1).requires_grad_()
    loss = F.cross_entropy(7.0 * F.normalize(features, dim=1) @ rows.T, labels)
    (gradient,) = torch.autograd.grad(loss, [rows])
    parts = pull_push(features, labels, text, logit_scale=7.0)
    torch.testing.assert_close(parts.pull + parts.push, -gradient)


def test_each_part_is_the_sum_over_its_images():
    features, labels, text = sample(n=12, k=3)
    parts = pull_push(features, labels, text, logit_scale=2.0)
    f, g = F.normalize(features, dim=1), F.normalize(text, dim=1)
    for k in range(3):
        pull, push = torch.zeros(8).double(), torch.zeros(8).double()
        for i in range(12):
            p = torch.softmax(2.0 * g @ f[i], dim=0)
            if labels[i] == k:
                pull += 2.0 / 12 * (1 - p[k]) * f[i]
            else:
                push -= 2.0 / 12 * p[k] * f[i]
        torch.testing.assert_close(parts.pull[k], pull)
        torch.testing.assert_close(parts.push[k], push)


def test_under_imbalance_tail_classes_are_pulled_less_and_pushed_alike():
    generator = torch.Generator().manual_seed(1)
    centre = F.normalize(torch.randn(6, 16, generator=generator), dim=1)
    counts = (64, 1, 1, 1, 1, 1)
    labels = torch.repeat_interleave(torch.arange(6), torch.tensor(counts))
    features = centre[labels] + 0.05 * torch.randn(len(labels), 16, generator=generator)
    parts = pull_push(features, labels, F.normalize(torch.ones(6, 16), dim=1), logit_scale=10.0)
    assert (parts.pull_strength[1:] < parts.pull_strength[0]).all()
    assert parts.push_alignment(torch.arange(1, 6)) > 0.99


def test_unlabelled_images_do_not_count_and_labels_must_fit():
    features, labels, text = sample()
    whole = pull_push(features[:50], labels[:50], text)
    masked = labels.clone()
    masked[50:] = -1
    torch.testing.assert_close(pull_push(features, masked, text).pull, whole.pull)
    with pytest.raises(ShapeError):
        pull_push(features, labels[:3], text)
