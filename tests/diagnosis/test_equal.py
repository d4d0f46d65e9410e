"""Runs on one scale: numbers at equally many images a class, and what differs said by name."""

import re

import pytest
import torch

from ncscope.diagnosis.equal import first_of_each
from ncscope.features.bundle import Features
from ncscope.page.analyze import analyze
from tests.shapes import random_rows


def features_of(counts, *, seed=0, names=None, source="a"):
    """Images around random centres, as many of each class as said, in mixed order."""
    generator = torch.Generator().manual_seed(seed)
    label = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    label = label[torch.randperm(len(label), generator=generator)]
    image = 2 * random_rows(len(counts), 12)[label]
    image = image + torch.randn(len(label), 12, generator=generator).double()
    names = names or tuple(f"c{k}" for k in range(len(counts)))
    return Features(
        text=None, image=image.float(), label=label, classnames=names, provenance={"source": source}
    )


def only(features, rows):
    return Features(
        text=None,
        image=features.image[rows],
        label=features.label[rows],
        classnames=features.classnames,
    )


def test_the_first_images_of_each_class_are_kept_and_small_classes_are_not():
    label = torch.tensor([1, 0, -1, 1, 0, 2, 1, 0, 1])
    assert first_of_each(label, 2).tolist() == [1, 0, -1, 1, 0, -1, -1, -1, -1]


def test_equal_n_is_the_measure_of_the_first_images_of_each_class():
    large, small = features_of([30, 40, 9]), features_of([5, 5, 6], seed=1, source="b")
    report = analyze(large, small, bootstrap=0)
    first = [(large.label == k).nonzero().flatten()[:5] for k in range(3)]
    expected = analyze(only(large, torch.cat(first)), bootstrap=0).records[0]["measures"]
    found = report.records[0]["measures"]
    assert found["nc1/equal_n"] == pytest.approx(expected["nc1/default"], rel=1e-6)
    assert found["cdnv/equal_n"] == pytest.approx(expected["cdnv"], rel=1e-6)
    assert found["nc1/equal_n"] != pytest.approx(found["nc1/default"], rel=0.01)
    assert report.records[0]["conventions"]["equal_n"].startswith("the first 5 images of each")


def test_of_equally_many_images_equal_n_is_the_measure_itself():
    measures = analyze(features_of([7, 7, 7]), bootstrap=0).records[0]["measures"]
    assert measures["nc1/equal_n"] == measures["nc1/default"]
    assert measures["cdnv/equal_n"] == measures["cdnv"]


def test_one_image_a_class_has_no_equal_n():
    measures = analyze(features_of([1, 1, 1]), bootstrap=0).records[0]["measures"]
    assert "nc1/equal_n" not in measures


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (dict(counts=[9, 9]), r"number of classes \(a: 3, b: 2\)"),
        (dict(counts=[9, 9, 9], names=("c0", "c1", "x")), r"other classes \(2 are not .*: c2, x"),
        (dict(counts=[2, 4, 4]), r"images a class \(a: 9, b: 2 to 4\).*compare nc1/equal_n"),
    ],
)
def test_what_puts_sources_on_other_scales_is_said(other, said):
    report = analyze(features_of([9, 9, 9]), features_of(**other, source="b"), bootstrap=0)
    for record in report.records:
        assert any(re.search(said, warning) for warning in record["warnings"])


def test_alike_sources_are_not_warned_about():
    report = analyze(features_of([9, 9]), features_of([9, 9], seed=1, source="b"), bootstrap=0)
    assert not any(w.startswith("the sources") for w in report.records[0]["warnings"])
