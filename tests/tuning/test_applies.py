import pytest

from ncscope.errors import DataError
from ncscope.tuning.initial import initial_tensors
from ncscope.tuning.recipe import METHODS, TAKEN_BY, check_applies
from tests.tuning import cases


@pytest.mark.parametrize("method", METHODS)
def test_an_option_is_taken_where_it_changes_what_is_learned_and_refused_elsewhere(
    method, backbone
):
    recipe = cases.short_recipe(method, backbone)
    first = initial_tensors(method, backbone, num_classes=3, recipe=recipe, seed=1)
    changes = {"ctx": 1, "ctx_vision": 7, "depth": 2, "csc": True}
    for name, value in changes.items():
        other = cases.changed(recipe, name, value)
        second = initial_tensors(method, backbone, num_classes=3, recipe=other, seed=1)
        shapes = [{k: v.shape for k, v in found.items()} for found in (first, second)]
        assert (shapes[0] != shapes[1]) == (method in TAKEN_BY[name]), name


def test_refusals_name_the_methods_that_have_the_option():
    with pytest.raises(DataError, match="`depth` has no effect on coop; it is for vpt, ivlp, map"):
        check_applies("coop", {"depth": 3})
    with pytest.raises(DataError, match=r"`csc` has no effect on 'runs/coop'.* a checkpoint's"):
        check_applies("runs/coop", {"csc": True})
    check_applies("coop", {"depth": None, "csc": True, "ctx": 4})
    check_applies("runs/coop", {"csc": False})
