import pytest
import torch
from torch.testing import assert_close

from ncscope.metrics import SampleAccumulator, class_moments
from tests import reference
from tests.shapes import noisy_samples, unit_rows


def sweep(features, labels, means, **options):
    """The second sweep over all samples at once, features used as given."""
    moments = class_moments(features, labels, len(means))
    accumulator = SampleAccumulator(moments, normalise=False, **options)
    accumulator.update(features, labels)
    return accumulator.compute()


@pytest.mark.parametrize(("num_classes", "width"), [(6, 10), (11, 10), (12, 5), (30, 8), (2, 4)])
def test_nearest_centre_is_the_one_the_loop_finds(num_classes, width):
    # Below, at and above K = D + 1: the sweep takes another way to the distances in each.
    means = unit_rows(num_classes, width)
    features, labels = noisy_samples(means, 20, 0.5)
    found = sweep(features, labels, means).ncc_correct
    centres = reference.class_means(features.numpy(), labels.numpy(), num_classes)
    hits = reference.nearest_centres(features.numpy(), centres) == labels.numpy()
    expected = [hits[labels.numpy() == k].mean() for k in range(num_classes)]
    assert_close(found, torch.tensor(expected))
