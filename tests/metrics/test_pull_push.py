"""Pull and push of cross-entropy at text features."""

import pytest
import torch
import torch.nn.functional as F

from ncscope.errors import ShapeError
from ncscope.metrics import pull_push


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
