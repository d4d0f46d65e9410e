import pytest
import torch
from torch.testing import assert_close

from ncscope.metrics import decisions, nc4, ncc_mismatch, ncc_predictions
from tests import reference
from tests.shapes import noisy_samples, normal, simplex_etf, unit_rows


def samples(num_classes=6, width=9, noise=0.5, seed=0):
    return noisy_samples(unit_rows(num_classes, width, seed=seed), 25, noise, seed=seed)


@pytest.mark.parametrize(("num_classes", "width"), [(6, 9), (10, 9), (20, 5)])
@pytest.mark.parametrize("biased", [False, True])
def test_agreement_is_the_share_of_samples_decided_alike(num_classes, width, biased):
    features, labels = samples(num_classes, width)
    text = unit_rows(num_classes, width, seed=4)
    bias = 0.5 * normal(num_classes) if biased else None
    scores = features @ text.T + (bias if bias is not None else 0)
    centres = reference.class_means(features.numpy(), labels.numpy(), num_classes)
    nearest = torch.tensor(reference.nearest_centres(features.numpy(), centres))
    expected = (scores.argmax(dim=1) == nearest).double().mean()
    assert_close(nc4(features, labels, text, bias=bias), expected)
    assert_close(ncc_mismatch(features, labels, text, bias=bias), 1 - expected)
    assert torch.equal(ncc_predictions(features, torch.tensor(centres)), nearest)


def test_a_bias_decides():
    features, labels = noisy_samples(simplex_etf(5, 8), 20, 0.05)
    text = simplex_etf(5, 8)
    assert nc4(features, labels, text) == 1
    strong = torch.tensor([10.0, 0, 0, 0, 0])
    assert nc4(features, labels, text, bias=strong).item() == pytest.approx(1 / 5)


def test_a_collapsed_model_agrees_and_an_opposite_one_never_does():
    features, labels = noisy_samples(simplex_etf(5, 8), 20, 0.01)
    assert nc4(features, labels, simplex_etf(5, 8)) == 1
    assert nc4(features, labels, -simplex_etf(5, 8)) == 0


def test_an_empty_class_is_chosen_by_neither_side():
    features, labels = samples()
    text = unit_rows(6, 9)
    spread_out = torch.tensor([0, 2, 3, 4, 6, 7])[labels]
    among = normal(8, 9)
    among[[0, 2, 3, 4, 6, 7]] = text
    among[1] = 100 * features.mean(dim=0)  # would win often
    assert_close(nc4(features, spread_out, among), nc4(features, labels, text))
    means = torch.full((8, 9), torch.nan, dtype=torch.float64)
    means[[0, 2, 3, 4, 6, 7]] = unit_rows(6, 9)
    assert set(ncc_predictions(features, means).tolist()) <= {0, 2, 3, 4, 6, 7}


def test_ignored_labels_are_left_out():
    features, labels = samples()
    text = unit_rows(6, 9, seed=4)
    more = torch.cat([features, normal(7, 9)]), torch.cat([labels, torch.full((7,), -1)])
    assert_close(nc4(*more, text), nc4(features, labels, text))


@pytest.mark.parametrize("shift", [0.0, 1e3])
def test_nearest_centres_survive_a_large_common_mean_in_float32(shift):
    features, labels = samples()
    stored = (features + shift).float()
    centres = torch.stack([stored[labels == k].mean(dim=0) for k in range(6)])
    expected = reference.nearest_centres(stored.double().numpy(), centres.double().numpy())
    found = ncc_predictions(stored, centres)
    assert (found.numpy() == expected).mean() > 0.99


def test_per_class_parts_are_kept():
    features, labels = samples()
    text = unit_rows(6, 9)
    found = decisions(features, labels, text)
    by_text = (features @ text.T).argmax(dim=1)
    assert found.correct is not None
    for k in range(6):
        own = (by_text == labels)[labels == k].double().mean()
        assert_close(found.correct[k], own)


def test_no_gradient_flows_and_none_is_needed():
    features, labels = samples()
    found = nc4(features.requires_grad_(), labels, unit_rows(6, 9).requires_grad_())
    assert not found.requires_grad
