import random
from collections import Counter, defaultdict
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ncscope.data.draw import (
    draw_training,
    draw_validation,
    few_shot_rows,
    imbalanced_counts,
    rank_classes,
)
from ncscope.data.lists import list_split
from ncscope.errors import DataError
from tests.data.coop_trees import SPLITS, needs_splits
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


def dassl_draw(parts, shots, seed):
    """What Dassl's `generate_fewshot_dataset` does to (item, label) pairs: independent of ours."""
    random.seed(seed)
    drawn = []
    for part, number in zip(parts, shots, strict=True):
        tracker = defaultdict(list)
        for item, label in part:
            tracker[label].append((item, label))
        chosen = []
        for items in tracker.values():
            chosen.extend(random.sample(items, number) if len(items) >= number else items)
        drawn.append(chosen)
    return drawn


@given(
    sizes=st.lists(st.integers(1, 12), min_size=2, max_size=9),
    shots=st.integers(1, 8),
    seed=st.integers(0, 5),
)
def test_shots_are_the_ones_that_dassl_draws(sizes, shots, seed):
    train = image_set(shuffled_labels(sizes))
    val = image_set(shuffled_labels(sizes, seed=1))
    ours = draw_training(train, shots=shots, seed=seed)
    ours_val = draw_validation(train, val, shots=shots, seed=seed)
    expected, expected_val = dassl_draw([pairs(train), pairs(val)], [shots, min(shots, 4)], seed)
    assert pairs(ours.images) == expected
    assert pairs(ours_val) == expected_val
    assert ours.counts == tuple(min(size, shots) for size in sizes)


@needs_splits
def test_a_published_index_is_the_draw_of_its_seed():
    """Rows of linzhiqiu/cross_modal_adaptation's indices/eurosat/shot_1-seed_1.json."""
    path = SPLITS / "split_zhou_EuroSAT.json"
    stream = random.Random(1)
    drawn = []
    for part in ("train", "val"):
        labels = list_split(path, Path("x"), part=part).labels
        rows = few_shot_rows(labels, shots=1, stream=stream)
        drawn.append([row for rows_of_class in rows.values() for row in rows_of_class])
    assert drawn[0] == [275, 2665, 3129, 5022, 5991, 7507, 8920, 10217, 11527, 12429]
    assert drawn[1] == [96, 1099, 1229, 2257, 2727, 2999, 3421, 3702, 4656, 5256]


@pytest.mark.parametrize("split", ["base", "new"])
def test_the_half_is_cut_after_the_shots_are_drawn(split):
    train = image_set(shuffled_labels([9, 8, 7, 6, 5]))
    draw = draw_training(train, shots=4, seed=3, split=split)
    (expected,) = dassl_draw([pairs(train)], [4], 3)
    low, high = (0, 3) if split == "base" else (3, 5)
    assert pairs(draw.images) == [(i, label - low) for i, label in expected if low <= label < high]
    assert draw.images.classnames == train.classnames[low:high]
    assert draw.counts == (4,) * (high - low)


def test_images_of_unknown_class_are_not_drawn_and_change_nothing():
    labels = shuffled_labels([9, 9])
    plain = draw_training(image_set(labels), shots=3)
    mixed = draw_training(image_set([-1] * 7 + labels), shots=3)
    assert [int(item[:-4]) - 7 for item in mixed.images.items] == [
        int(item[:-4]) for item in plain.images.items
    ]


def test_the_head_is_the_first_the_largest_or_a_random_class():
    assert rank_classes("index", [1, 5, 5], seed=0) == (0, 1, 2)
    assert rank_classes("frequency", [1, 5, 5, 7], seed=0) == (3, 1, 2, 0)
    orders = {rank_classes("random", [1] * 6, seed=seed) for seed in range(20)}
    assert len(orders) > 10
    assert all(sorted(order) == list(range(6)) for order in orders)
    with pytest.raises(DataError, match="`class_order` is 'size'; expected one of index, freq"):
        rank_classes("size", [1, 1], seed=0)


@pytest.mark.parametrize(
    ("tau", "total", "of_one"),
    [(1, 800, 0), (0.25, 412, 0), (0.06, 252, 13), (0.05, 239, 15), (0.01, 175, 27)],
)
def test_fifty_classes_of_sixteen_shots_have_the_known_totals(tau, total, of_one):
    counts = imbalanced_counts(50, most=16, tau=tau)
    assert (sum(counts), counts.count(1)) == (total, of_one)


@given(
    num_classes=st.integers(2, 12),
    most=st.integers(1, 500),
    tau=st.sampled_from([1.0, 0.5, 0.25, 0.2, 0.1, 0.06, 0.05, 0.04, 0.02, 0.01, 0.001]),
)
def test_the_profile_is_the_exact_floor(num_classes, most, tau):
    share = Fraction(str(tau))
    for k, count in enumerate(imbalanced_counts(num_classes, most=most, tau=tau)):
        power = num_classes - 1  # compare powers: no root, no rounding
        value = Fraction(most) ** power * share**k
        assert count**power <= value or count == 1
        assert value < Fraction(count + 1) ** power


def test_rounding_does_not_lose_an_image():
    assert imbalanced_counts(6, most=32, tau=1 / 32) == [32, 16, 8, 4, 2, 1]  # floats: 7.999…
    assert imbalanced_counts(4, most=1000, tau=0.001) == [1000, 100, 10, 1]
    assert imbalanced_counts(1, most=16, tau=0.1) == [16]
    assert imbalanced_counts(1000, most=16, tau=1) == [16] * 1000
