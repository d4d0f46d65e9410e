"""Classes are matched by name: nothing that is measured depends on the order they came in."""

# Features made here have both sides, which their type leaves open.
# pyright: reportOptionalSubscript=false, reportOptionalMemberAccess=false
# pyright: reportArgumentType=false

from dataclasses import replace

import pytest
import torch

from ncscope.diagnosis.measure import measure
from ncscope.features.aligned import common_classes, in_order_of, only
from tests.made_features import noisy

ORDER = [3, 0, 5, 1, 4, 2]


def shuffled(features):
    back = torch.tensor(ORDER).argsort()
    frozen = features.text_frozen
    return replace(
        features, label=back[features.label], text=features.text[ORDER],
        text_frozen=None if frozen is None else frozen[ORDER],
        classnames=tuple(features.classnames[k] for k in ORDER),
    )  # fmt: skip


@pytest.fixture
def features():
    return replace(
        noisy(), text_frozen=torch.randn(6, 16, generator=torch.Generator().manual_seed(1))
    )


def test_a_shuffled_run_comes_back_as_it_was(features):
    found = in_order_of(shuffled(features), features.classnames)
    assert found is not None
    for name in ("text", "text_frozen", "label", "image"):
        assert torch.equal(getattr(found, name), getattr(features, name)), name
    assert found.classnames == features.classnames
    assert "order of the first source" in found.provenance["warnings"][0]
    assert (
        measure(found, bootstrap=0).record["summary"]
        == measure(features, bootstrap=0).record["summary"]
    )


def test_spelling_is_the_first_source_s_and_no_change_of_order(features):
    upper = replace(
        features, classnames=tuple(n.upper().replace(" ", "_") for n in features.classnames)
    )
    found = in_order_of(upper, features.classnames)
    assert found is not None
    assert found.classnames == features.classnames
    assert found.warnings == []


def test_other_classes_and_names_for_two_labels_are_not_brought_together(features):
    assert in_order_of(features, tuple("abcdef")) is None
    assert in_order_of(features, features.classnames[:5]) is None
    twice = replace(features, classnames=("a", "A", "b", "c", "d", "e"))
    assert in_order_of(twice, ("a", "A", "B", "c", "d", "e")) is None
    assert common_classes(twice.classnames, ("a", "b")) == []


def test_only_some_classes_keep_their_rows_and_images(features):
    names = ("class 4", "class 1")
    found = only(features, names)
    assert common_classes(names, features.classnames) == list(names)
    assert torch.equal(found.text, features.text[[4, 1]])
    assert torch.equal(found.image[found.label == 0], features.image[features.label == 4])
    assert found.num_samples == 24


def test_text_of_every_image_is_put_in_order_too(features):
    each = torch.randn(72, 6, 16)
    found = in_order_of(replace(
        features, text=each[:, ORDER], text_frozen=None,
        classnames=tuple(features.classnames[k] for k in ORDER),
        label=torch.tensor(ORDER).argsort()[features.label],
    ), features.classnames)  # fmt: skip
    assert found is not None
    assert torch.equal(found.text, each)


def test_names_that_only_their_spelling_tells_apart_are_matched_by_it():
    features = noisy(3)
    names = ("cardigan", "Cardigan", "dog")
    ours = replace(features, classnames=names)
    theirs = replace(features, classnames=("Cardigan", "dog", "cardigan"))
    assert common_classes(theirs.classnames, names) == list(theirs.classnames)
    found = in_order_of(theirs, ours.classnames)
    assert found is not None
    assert found.classnames == names
    assert torch.equal(found.text, theirs.text[[2, 0, 1]])
