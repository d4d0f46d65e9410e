"""Every public measure takes lists and arrays for tensors, to the same number."""

# A tensor is what they are typed to take.
# pyright: reportArgumentType=false

import inspect

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from ncscope import metrics
from ncscope.errors import ShapeError
from tests.shapes import random_rows

LABELS = torch.arange(24) % 4
GIVEN = {
    "features": random_rows(24, 8, seed=1), "labels": LABELS, "text": random_rows(4, 8, seed=2),
    "image_means": random_rows(4, 8, seed=3), "rows": random_rows(4, 8, seed=4),
    "frozen": random_rows(4, 8, seed=5), "means": random_rows(4, 8, seed=6),
    "logits": random_rows(24, 4, seed=7), "matrix": random_rows(5, 5, seed=8),
    "gram": (lambda r: r @ r.T)(random_rows(4, 8, seed=9)), "like": random_rows(4, 8),
    "values": random_rows(24, 1, seed=10).flatten(), "num_classes": 4, "num_clusters": 2,
    "classifier": random_rows(4, 8, seed=12), "clusters": torch.tensor([0, 0, 1, 1]),
    "counts": torch.tensor([16, 8, 4, 1]), "confidence": torch.linspace(0.1, 0.9, 24).double(),
    "hits": (LABELS % 2).bool(), "index": torch.tensor([0, 2, 4]), "depth": 1,
    "draws": torch.tensor([[0, 2, 4], [1, 1, 3]]), "replicates": 2, "seed": 0,
}  # fmt: skip
FUNCTIONS = {
    name: inspect.unwrap(getattr(metrics, name))
    for name in metrics.__all__
    if inspect.isfunction(getattr(metrics, name))
}
TURNED = ("cosine_table", "cross_etf_distance", "unc3")  # by position still as they were
MEASURES = [
    name
    for name, bare in FUNCTIONS.items()
    if Tensor in [p.annotation for p in inspect.signature(bare).parameters.values()]
]


def arguments(name):
    """What the measure must be given, by name; and what of it are tensors."""
    needed = [
        p for p in inspect.signature(FUNCTIONS[name]).parameters.values() if p.default is p.empty
    ]
    given = {p.name: GIVEN.get(p.name) for p in needed}
    if name == "under_convention":
        given["name"] = next(iter(metrics.CONVENTIONS))
    if name == "recall_at":
        given["features"] = GIVEN["image_means"]
    if name == "binned_ece":
        keys = ("confidence", "hits", "labels", "num_classes")
        given["bins"] = metrics.confidence_bins(*(GIVEN[key] for key in keys))
    return given, [key for key, value in given.items() if isinstance(value, Tensor)]


def flat(found):
    return list(found) if hasattr(found, "__next__") else found


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize("kind", ["list", "array", "strided array", "by position"])
def test_takes_lists_and_arrays_for_tensors(name, kind):
    given, tensors = arguments(name)
    assert tensors
    expected = flat(FUNCTIONS[name](**given))
    forms = {
        "list": lambda value: value.tolist(),
        "array": lambda value: value.numpy(),
        "strided array": lambda value: np.flip(np.flip(value.numpy(), 0).copy(), 0),
        "by position": lambda value: value.tolist(),
    }
    asked = given | {key: forms[kind](given[key]) for key in tensors}
    call = getattr(metrics, name)
    positional = [
        p.name
        for p in inspect.signature(FUNCTIONS[name]).parameters.values()
        if p.kind is p.POSITIONAL_OR_KEYWORD and p.name in asked
    ]
    if kind == "by position" and len(positional) == len(asked) and name not in TURNED:
        found = call(*(asked[key] for key in positional))
    else:
        found = call(**asked)
    same(flat(found), expected)


def same(found, expected):
    if hasattr(expected, "__dataclass_fields__"):
        for field in expected.__dataclass_fields__:
            same(getattr(found, field), getattr(expected, field))
    elif isinstance(expected, dict):
        assert list(found) == list(expected)
        for key in expected:
            same(found[key], expected[key])
    elif isinstance(expected, list | tuple):
        for one, other in zip(found, expected, strict=True):
            same(one, other)
    elif isinstance(expected, Tensor):
        assert_close(found, expected, rtol=0, atol=0, equal_nan=True)
    else:
        assert found == expected


def test_whole_numbers_are_numbers_and_kinds_stay():
    eye = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert metrics.delta_lcd(eye).item() == pytest.approx(1 / 2)
    assert metrics.delta_lcd(np.eye(3, dtype=np.int8)).dtype == torch.float64
    assert metrics.delta_lcd(np.eye(3, dtype=np.float32)).dtype == torch.float32
    assert metrics.delta_lcd(np.eye(3, dtype=">f8")).item() == pytest.approx(1 / 2)
    assert metrics.delta_lcd(np.eye(3, dtype=np.longdouble)).item() == pytest.approx(1 / 2)
    assert metrics.delta_lcd([torch.eye(3)[k] for k in range(3)]).item() == pytest.approx(1 / 2)


def test_a_tensor_passes_untouched_and_nothing_is_written_into_an_array():
    rows = random_rows(4, 8).requires_grad_()
    assert metrics.delta_lcd(rows).requires_grad
    array = np.eye(3)
    array.flags.writeable = False
    assert metrics.normalise_rows(array).shape == (3, 3)


@pytest.mark.parametrize(
    "bad", [[["a", "b"]], [[1.0], [1.0, 2.0]], [[None]], np.eye(3, dtype=complex), [[10**400]]]
)
def test_what_holds_no_numbers_is_refused_by_name(bad):
    with pytest.raises(ShapeError, match="`text` must be a tensor, or an array or list of numbers"):
        metrics.delta_lcd(bad)


@pytest.mark.parametrize("name", MEASURES)
def test_images_come_before_text(name):
    order = list(inspect.signature(FUNCTIONS[name]).parameters)
    for image in ("features", "image_means"):
        if image in order and "text" in order and name != "anchored":  # whose images are optional
            assert order.index(image) < order.index("text")


@pytest.mark.parametrize("name", TURNED)
def test_sides_by_position_are_taken_as_they_were_and_warned_of(name):
    call, text, means = getattr(metrics, name), GIVEN["text"], GIVEN["image_means"]
    more = {"center": "image"} if name == "cross_etf_distance" else {}
    with pytest.warns(DeprecationWarning, match=rf"name them, {name}\(image_means=..., text=...\)"):
        found = call(text, means, **more)
    same(found, call(image_means=means, text=text, **more))
    turned = call(image_means=text, text=means, **more)
    assert repr(turned) != repr(found)  # the sides are told apart: the order matters


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize("value", ["text", None, object()], ids=["str", "None", "object"])
def test_what_is_no_array_is_refused_by_name(name, value):
    given, tensors = arguments(name)
    kinds = inspect.signature(FUNCTIONS[name]).parameters[tensors[0]].annotation
    if kinds is Tensor:
        with pytest.raises(ShapeError, match=f"`{tensors[0]}` must be a tensor, array or list"):
            getattr(metrics, name)(**given | {tensors[0]: value})
