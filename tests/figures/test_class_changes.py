"""Classes beside the reference: matched by name, the most changed, in one order and one colour."""

# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportOptionalSubscript=false, reportOptionalMemberAccess=false

from dataclasses import replace

import pytest

from ncscope.errors import DataError
from ncscope.figures.figures import class_changes
from ncscope.figures.order import common_ranks, few_of_all, in_ranks, shades
from ncscope.figures.points import points_of
from ncscope.figures.style import class_colour
from tests.made_features import noisy, permuted


def record(source, accuracies, **more):
    rows = [
        {"name": name, "accuracy": value, "delta_lcd": 0.1, "cosine_centred": 0.6}
        for name, value in accuracies.items()
    ]
    return {"source": source, "data": "d", "per_class": rows, **more}


BEFORE = record("zero-shot", {"a": 0.5, "b": 0.6, "c": 0.7, "d": 0.8})
AFTER = record("coop", {"d": 0.9, "c": 0.2, "b": 0.6, "a": 0.8})  # another order of classes


def dots(figure, name, axis="x"):
    trace = next(t for t in figure.data if t.name == name and t.xaxis == axis)
    return dict(zip(trace.text, trace.x, strict=True))


def test_classes_are_matched_by_name_and_the_largest_loss_comes_first():
    figure = class_changes([BEFORE, AFTER], most=3)
    assert list(figure.layout.yaxis.ticktext) == ["c", "d", "a"]
    assert dots(figure, "zero-shot") == {"c": 0.7, "d": 0.8, "a": 0.5}
    assert dots(figure, "coop") == {"c": 0.2, "d": 0.9, "a": 0.8}
    assert dots(figure, "coop", "x3") == {"c": 0.4, "d": 0.4, "a": 0.4}


def test_the_reference_is_zero_shot_wherever_it_stands():
    figure = class_changes([AFTER, BEFORE], most=3)
    assert figure.layout.meta["caption"][0][1].endswith("Rings: zero-shot.")
    rings = [t.name for t in figure.data if t.marker.symbol == "circle-open"]
    assert set(rings) == {"zero-shot"}
    filled = next(t for t in figure.data if t.name == "coop")
    assert filled.marker.color == class_colour(0)


def test_a_run_alone_stands_beside_what_it_was_compared_with():
    against = {"reference": "its frozen text", "per_class": BEFORE["per_class"]}
    figure = class_changes([{**AFTER, "against": against}])
    assert dots(figure, "its frozen text")["c"] == 0.7
    with pytest.raises(DataError, match="no reference; give another source"):
        class_changes([AFTER])


def test_runs_without_a_class_in_common_are_refused():
    with pytest.raises(DataError, match="a class in common"):
        class_changes([BEFORE, record("coop", {"x": 1.0, "y": 0.0})])


def test_order_and_colours_follow_the_names_whatever_the_list():
    features = noisy(6)
    one, other = points_of(features), points_of(permuted(features, [3, 1, 5, 0, 2, 4]))
    ranks = common_ranks([one, other])
    ordered = [[p.names[k] for k in in_ranks(p, ranks)] for p in (one, other)]
    assert ordered[0] == ordered[1]
    assert sorted(ordered[0]) == sorted(one.names)
    colours = [dict(zip(p.names, shades(p, range(6), ranks), strict=True)) for p in (one, other)]
    assert colours[0] == colours[1]
    assert sorted(colours[0].values()) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    drawn = few_of_all([one, other])
    assert [[p.names[k] for k in own] for p, own in zip((one, other), drawn, strict=True)] == [
        ["class 0", "class 2", "class 3", "class 5"]
    ] * 2


def test_four_classes_are_chosen_among_those_that_all_runs_have():
    one = points_of(noisy(6))
    features = noisy(4)
    other = points_of(replace(features, classnames=("x", "class 5", "class 1", "y")))
    drawn = few_of_all([one, other])
    names = [[p.names[k] for k in own] for p, own in zip((one, other), drawn, strict=True)]
    assert names == [["class 1", "class 5"]] * 2
