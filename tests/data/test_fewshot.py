import random
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ncscope.data.draw import draw_training, draw_validation, few_shot_rows
from ncscope.data.lists import list_split
from tests.data.label_sets import image_set, pairs, shuffled_labels

SPLITS = Path(__file__).parents[2].parent / "shared" / "data" / "coop_splits"


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


@pytest.mark.skipif(not SPLITS.is_dir(), reason="shared/data/coop_splits is absent")
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
