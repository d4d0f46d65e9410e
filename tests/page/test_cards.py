"""What the page says of single classes, against slow loops."""

# pyright: reportOptionalMemberAccess=false, reportArgumentType=false, reportCallIssue=false

from dataclasses import replace

import numpy as np
import pytest

from ncscope.diagnosis.measure import measure
from ncscope.figures.points import points_of
from ncscope.page import cards as module
from ncscope.page.cards import class_cards, confusions, looked_at, worst_rows
from tests.made_features import named, noisy

FEATURES = noisy(5, noise=2.5, each=9)
WHERE = {name: 10 + place for place, name in enumerate(named(5))}


@pytest.fixture(scope="module")
def run():
    return measure(FEATURES, bootstrap=0)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


TEXT, IMAGE = unit(FEATURES.text.double().numpy()), unit(FEATURES.image.double().numpy())
LABEL = FEATURES.label.numpy()


def decided():
    return (IMAGE @ TEXT.T).argmax(axis=1)


def test_neighbours_are_those_of_a_loop(run):
    cards = class_cards(looked_at(run, points_of(FEATURES)), run, WHERE)
    assert set(cards) == set(WHERE.values())
    means = unit(np.stack([IMAGE[LABEL == k].mean(axis=0) for k in range(5)]))
    for k in range(5):
        card = cards[10 + k]
        order = sorted((j for j in range(5) if j != k), key=lambda j: -float(TEXT[k] @ TEXT[j]))[:3]
        assert [place - 10 for place, _ in card["texts"]] == order
        assert [v for _, v in card["texts"]] == pytest.approx([TEXT[k] @ TEXT[j] for j in order],
                                                              abs=6e-4)  # fmt: skip
        order = sorted(range(5), key=lambda j: -float(TEXT[k] @ means[j]))[:3]
        assert [place - 10 for place, _ in card["means"]] == order
        assert card["own"] == pytest.approx(TEXT[k] @ means[k], abs=6e-4)
        assert card["images"] == 9


def test_worst_images_have_the_least_margin(run):
    cards = class_cards(looked_at(run, points_of(FEATURES)), run, WHERE)
    cosines = IMAGE @ TEXT.T
    for k in range(5):
        margins = {
            i: cosines[i, k] - max(cosines[i, j] for j in range(5) if j != k)
            for i in np.flatnonzero(LABEL == k)
        }
        worst = sorted(margins, key=margins.get)[:3]
        found = cards[10 + k]["worst"]
        assert [row for row, _, _ in found] == worst
        assert [margin for _, _, margin in found] == pytest.approx([margins[i] for i in worst],
                                                                   abs=6e-4)  # fmt: skip
        assert [taken - 10 for _, taken, _ in found] == [decided()[i] for i in worst]
    assert len(worst_rows(cards)) == 15


def test_confusions_count_images_and_name_the_cosines_behind_them(run):
    pairs = confusions(looked_at(run, points_of(FEATURES)), most=99)
    taken = decided()
    assert sum(one.images for one in pairs) == int((taken != LABEL).sum()) > 3
    shares = [one.images / one.of for one in pairs]
    assert shares == sorted(shares, reverse=True)
    mean = unit(np.stack([IMAGE[LABEL == k].mean(axis=0) for k in range(5)]))
    for one in pairs:
        assert one.images == int(((LABEL == one.true) & (taken == one.taken)).sum())
        assert one.texts == pytest.approx(TEXT[one.true] @ TEXT[one.taken], abs=1e-6)
        assert one.own == pytest.approx(mean[one.true] @ TEXT[one.true], abs=1e-6)
        assert one.other == pytest.approx(mean[one.true] @ TEXT[one.taken], abs=1e-6)


def test_what_cannot_be_looked_at_is_left_out(run, monkeypatch):
    no_images = replace(FEATURES, image=None, label=None)
    alone = measure(no_images, bootstrap=0)
    cards = class_cards(looked_at(alone, points_of(no_images)), alone, WHERE)
    assert not {"means", "worst", "taken"} & set(cards[10])
    assert len(cards[10]["texts"]) == 3
    monkeypatch.setattr(module, "MOST_PAIRED", 4)
    assert looked_at(run, points_of(FEATURES)) is None


def test_of_many_images_a_part_of_every_class_is_looked_at(run, monkeypatch):
    monkeypatch.setattr(module, "MOST_IMAGES", 10)
    found = looked_at(run, points_of(FEATURES))
    assert len(found.rows) <= 10
    assert set(found.label.tolist()) == set(range(5))
