"""Recipes, and the learning rate of every epoch against Dassl's schedule."""

import warnings

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR

from ncscope.errors import DataError
from ncscope.tuning.initial import initial_tensors
from ncscope.tuning.recipe import (
    AUTHORS,
    METHODS,
    RECIPES,
    TAKEN_BY,
    check_applies,
    learning_rate,
    recipe_of,
)
from tests.tuning import cases


def dassl_rates(lr, epochs, warmup_epochs, warmup_lr):
    """ConstantWarmupScheduler around CosineAnnealingLR, stepped after every epoch, as Dassl does.

    The successor is stepped once `last_epoch` has reached the warm-up's length.
    """
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    successor = CosineAnnealingLR(optimiser, epochs)
    last_epoch, rates = 0, []
    if warmup_epochs:
        optimiser.param_groups[0]["lr"] = warmup_lr
    for _ in range(epochs):
        rates.append(optimiser.param_groups[0]["lr"])
        if last_epoch >= warmup_epochs:
            successor.step()
        else:
            last_epoch += 1
            warm = last_epoch < warmup_epochs
            optimiser.param_groups[0]["lr"] = warmup_lr if warm else successor.get_last_lr()[0]
    return rates


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", RECIPES)
def test_the_learning_rate_is_that_of_dassls_schedule_at_every_epoch(method, name):
    recipe = recipe_of(method, name)
    got = [learning_rate(recipe, epoch) for epoch in range(recipe.epochs)]
    with warnings.catch_warnings():  # of a schedule that is stepped before its optimiser
        warnings.simplefilter("ignore")
        wanted = dassl_rates(recipe.lr, recipe.epochs, recipe.warmup_epochs, recipe.warmup_lr)
    assert got == pytest.approx(wanted, rel=1e-6, abs=1e-12)


# protocols: lr, batch, epochs, optimizer, context, image context, depth
PUBLISHED = {
    "coop": (0.002, 32, 50, "sgd", 16, 0, 1),
    "cocoop": (0.002, 1, 10, "sgd", 4, 0, 1),
    "kgcoop": (0.002, 128, 100, "sgd", 4, 0, 1),
    "prograd": (0.002, 32, 100, "sgd", 16, 0, 1),
    "tcp": (0.002, 32, 50, "adam", 4, 0, 1),
    "maple": (0.0035, 4, 5, "sgd", 2, 0, 9),
    "ivlp": (0.0025, 4, 5, "sgd", 2, 2, 9),
    "vpt": (0.0025, 4, 5, "sgd", 0, 8, 12),
    "promptsrc": (0.0025, 4, 20, "sgd", 4, 4, 9),
}


@pytest.mark.parametrize("method", PUBLISHED)
def test_the_authors_values_are_the_published_ones(method):
    r = AUTHORS[method]
    found = (r.lr, r.batch_size, r.epochs, r.optimizer, r.ctx, r.ctx_vision, r.depth)
    assert found == PUBLISHED[method]
    assert (r.momentum, r.weight_decay, r.warmup_epochs, r.warmup_lr) == (0.9, 5e-4, 1, 1e-5)


def test_for_other_data_sets_maples_and_promptsrcs_authors_say_other_values():
    cross = RECIPES["authors-cross"]
    assert (cross["maple"].lr, cross["maple"].epochs, cross["maple"].depth) == (0.0026, 2, 3)
    assert (cross["promptsrc"].depth, cross["promptsrc"].gpa) == (3, (6.0, 10.0))
    assert AUTHORS["promptsrc"].gpa == (15.0, 1.0)
    assert {name for name in AUTHORS if cross[name] != AUTHORS[name]} == {"maple", "promptsrc"}


def test_depth_is_cut_to_the_smaller_tower():
    assert recipe_of("vpt", depth_limit=4).depth == 4
    assert recipe_of("maple", depth_limit=12).depth == 9


def test_unknown_names_list_the_known_ones():
    with pytest.raises(DataError, match=r"`method` is 'cup'; expected one of coop, cocoop"):
        recipe_of("cup")
    with pytest.raises(
        DataError, match=r"`recipe` is 'mine'; expected one of authors, authors-cross, toy"
    ):
        recipe_of("coop", "mine")


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
