from collections import Counter
from itertools import pairwise

import pytest

from ncscope.data.draw import draw_training
from ncscope.errors import DataError
from tests.data.label_sets import image_set, pairs, shuffled_labels


def test_the_profile_runs_over_the_classes_that_are_left():
    draw = draw_training(image_set(shuffled_labels([20] * 10)), tau=0.25, split="base")
    assert draw.counts == (16, 11, 8, 5, 4)
    assert Counter(draw.images.labels) == dict(enumerate(draw.counts))
    assert (draw.nominal_tau, draw.realised_tau, draw.class_order) == (0.25, 0.25, (0, 1, 2, 3, 4))


@pytest.mark.parametrize("shots", [16, None])
@pytest.mark.parametrize("class_order", ["index", "frequency", "random"])
def test_a_smaller_tau_trains_on_a_part_of_what_a_larger_one_does(shots, class_order):
    train = image_set(shuffled_labels([30, 17, 16, 40, 9]))
    draws = [
        draw_training(train, shots=shots, tau=tau, seed=7, class_order=class_order).images
        for tau in (1.0, 0.5, 0.25, 0.06, 0.01)
    ]
    assert all(set(b.items) <= set(a.items) for a, b in pairwise(draws))
    assert len(draws[-1]) < len(draws[2]) < len(draws[0])


def test_all_images_keep_the_order_of_the_data():
    train = image_set([*shuffled_labels([5, 3]), -1])
    draw = draw_training(train, shots=None)
    assert pairs(draw.images) == pairs(train)[:-1]
    assert (draw.counts, draw.realised_tau, draw.shots) == ((5, 3), 0.6, None)
    long_tail = draw_training(image_set(shuffled_labels([50, 50])), shots=None, tau=0.1)
    assert long_tail.counts == (50, 5)
    assert list(long_tail.images.items) == sorted(long_tail.images.items, key=lambda n: int(n[:-4]))


@pytest.mark.parametrize("split", ["all", "base", "new"])
@pytest.mark.parametrize(("tau", "class_order"), [(1.0, "index"), (0.25, "random")])
def test_a_list_of_drawn_images_is_cut_as_the_draw_it_was_written_of(split, tau, class_order):
    train = image_set(shuffled_labels([20, 9, 30, 8, 12]))
    options = {"tau": tau, "split": split, "class_order": class_order, "seed": 5}
    listed = draw_training(train, shots=8, seed=5).images
    drawn = draw_training(train, shots=8, **options)
    read = draw_training(listed, listed=True, **options)
    assert pairs(read.images) == pairs(drawn.images)
    assert (read.counts, read.class_order, read.shots) == (drawn.counts, drawn.class_order, 8)


def test_classes_with_fewer_images_than_shots_are_a_warning():
    draw = draw_training(image_set(shuffled_labels([20, 5, 16])))
    assert draw.images.warnings == ("1 class(es) have fewer than 16 training images: c1",)
    assert draw_training(image_set([0, 1]), shots=None).images.warnings == ()


def test_another_seed_draws_other_images():
    train = image_set(shuffled_labels([30, 30]))
    draws = [draw_training(train, shots=8, seed=seed) for seed in (0, 1)]
    assert draws[0].images.items != draws[1].images.items
    assert draws[0].images.digest != draws[1].images.digest
    assert draw_training(train, shots=8, seed=1).images.digest == draws[1].images.digest


def test_the_class_order_does_not_change_which_images_are_drawn():
    train = image_set(shuffled_labels([20] * 4))
    draws = [
        draw_training(train, class_order=order, seed=2).images.items
        for order in ("index", "random")
    ]
    assert draws[0] == draws[1]


def test_counts_can_be_given_by_name():
    train = image_set(shuffled_labels([9, 9, 9]), names=["Cat", "sea_lion", "dog"])
    draw = draw_training(train, shots=8, counts={"sea lion": 8, "dog": 2, "cat": 4})
    assert (draw.counts, draw.class_order) == ((4, 8, 2), (1, 0, 2))
    assert (draw.nominal_tau, draw.realised_tau) == (0.25, 0.25)
    whole = draw_training(train, shots=8)
    assert set(draw.images.items) < set(whole.images.items)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"counts": {"c0": 1}}, r"1 wanted but not in the data \(c1\)"),
        ({"counts": {"c0": 5, "c1": 1}}, "set: 5 images of class 'c0' wanted; expected 1 to 4"),
        ({"counts": {"c0": 0, "c1": 1}}, "0 images of class 'c0' wanted"),
        ({"counts": {"c0": 1, "c1": 1}, "tau": 0.5}, "`tau` is 0.5 and `counts` are given"),
        ({"tau": 0.0}, "`tau` is 0.0; expected 0 < tau <= 1"),
        ({"tau": 1.5}, "`tau` is 1.5"),
        ({"tau": float("nan")}, "`tau` is nan"),
        ({"shots": 0}, "`shots` is 0; expected at least 1, or None"),
        ({"split": "old"}, "`split` is 'old'; expected base, new or all"),
        ({"class_order": "size"}, "`class_order` is 'size'"),
    ],
)
def test_arguments_that_fit_nothing_are_refused(options, message):
    with pytest.raises(DataError, match=message):
        draw_training(image_set([0] * 6 + [1] * 6), **{"shots": 4, **options})


def test_a_class_without_training_images_is_named():
    train = image_set([0, 0, 2], names=["cat", "dog", "eel"])
    with pytest.raises(DataError, match="1 of 2 classes have no training image: dog"):
        draw_training(train, split="base")
    assert draw_training(train, split="new").counts == (1,)
    with pytest.raises(DataError, match="it has no half of new classes"):
        draw_training(image_set([0, 0]), split="new")
