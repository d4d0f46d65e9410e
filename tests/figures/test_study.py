"""Bars of pull and push at text features."""

# pyright: reportAttributeAccessIssue=false

import pytest
import torch

from ncscope import plots
from ncscope.errors import ShapeError
from ncscope.metrics import pull_push


def parts():
    features, text = torch.eye(6)[[0, 0, 0, 1, 2, 2]], torch.ones(3, 6)
    return pull_push(features, torch.tensor([0, 0, 0, 1, 2, 2]), text, logit_scale=1.0)


def test_bars_go_from_head_to_tail_with_the_lengths_of_both_parts():
    found = parts()
    figure = plots.gradient_bars(found, ["a", "b", "c"], [3, 1, 2])
    pull, push = figure.data
    assert list(pull.x) == ["a (3)", "c (2)", "b (1)"]
    assert list(pull.y) == pytest.approx(found.pull_strength[[0, 2, 1]].tolist())
    assert list(push.y) == pytest.approx(found.push_strength[[0, 2, 1]].tolist())


def test_counts_must_fit():
    with pytest.raises(ShapeError, match="K = 3"):
        plots.gradient_bars(parts(), ["a", "b", "c"], [3, 1])
