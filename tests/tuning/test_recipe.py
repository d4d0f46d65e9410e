"""Recipes, and the learning rate of every epoch against Dassl's schedule."""

import warnings

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR

from ncscope.errors import DataError
from ncscope.tuning.initial import initial_tensors
from ncscope.tuning.published import PUBLISHED_RECIPES
from ncscope.tuning.recipe import (
    METHODS,
    ONLY_ON_FEATURES,
    RECIPES,
    TAKEN_BY,
    TOY,
    check_applies,
    learning_rate,
    recipe_of,
    taken,
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


PAIRS = [(method, name) for name, recipes in RECIPES.items() for method in recipes]


@pytest.mark.parametrize(("method", "name"), PAIRS)
def test_the_learning_rate_is_that_of_dassls_schedule_at_every_epoch(method, name):
    recipe = recipe_of(method, name)
    got = [learning_rate(recipe, epoch) for epoch in range(recipe.epochs)]
    with warnings.catch_warnings():  # of a schedule that is stepped before its optimiser
        warnings.simplefilter("ignore")
        wanted = dassl_rates(recipe.lr, recipe.epochs, recipe.warmup_epochs, recipe.warmup_lr)
    assert got == pytest.approx(wanted, rel=1e-6, abs=1e-12)


# lr, batch, epochs, optimiser, context, image context, depth, words; 16 shots of no known data set
PUBLISHED = {
    "coop-b2n": (0.002, 32, 200, "sgd", 4, 0, 1, True),
    "coop-fewshot": (0.002, 32, 200, "sgd", 16, 0, 1, False),
    "coop-cross": (0.002, 32, 50, "sgd", 4, 0, 1, True),
    "cocoop-b2n": (0.002, 1, 10, "sgd", 4, 0, 1, True),
    "kgcoop-b2n": (0.002, 128, 100, "sgd", 4, 0, 1, True),
    "kgcoop-fewshot": (0.002, 128, 100, "sgd", 4, 0, 1, True),
    "prograd-b2n": (0.002, 32, 100, "sgd", 16, 0, 1, True),
    "prograd-fewshot": (0.002, 32, 200, "sgd", 16, 0, 1, True),
    "prograd-cross": (0.002, 32, 50, "sgd", 16, 0, 1, True),
    "tcp-b2n": (0.002, 32, 50, "adam", 4, 0, 1, False),
    "maple-b2n": (0.0035, 4, 5, "sgd", 2, 0, 9, True),
    "maple-cross": (0.0026, 4, 2, "sgd", 2, 0, 3, True),
    "ivlp-maple": (0.0035, 4, 5, "sgd", 2, 2, 12, True),
    "ivlp-promptsrc": (0.0025, 4, 20, "sgd", 4, 4, 9, True),
    "vpt-b2n": (0.0025, 4, 5, "sgd", 0, 8, 12, False),
    "promptsrc-b2n": (0.0025, 4, 20, "sgd", 4, 4, 9, True),
    "promptsrc-fewshot": (0.0025, 4, 50, "sgd", 4, 4, 9, True),
    "promptsrc-cross": (0.0025, 4, 20, "sgd", 4, 4, 3, True),
    "taskres-fewshot": (0.002, 256, 200, "adam", 0, 0, 1, False),
    "clip-adapter-ours": (1e-5, 32, 200, "sgd", 0, 0, 1, False),
    "tip-adapter-f-fewshot": (0.001, 256, 20, "adamw", 0, 0, 1, False),
    "linear-probe-ours": (0.001, 256, 50, "adam", 0, 0, 1, False),
    "shared-text-ours": (0.001, 256, 50, "adam", 0, 0, 1, False),
}


def test_every_recipe_of_its_own_name_is_among_those_checked():
    assert set(PUBLISHED) == set(PUBLISHED_RECIPES)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_authors_values_are_the_published_ones(name):
    r = recipe_of(PUBLISHED_RECIPES[name].method, name)
    found = (r.lr, r.batch_size, r.epochs, r.optimizer, r.ctx, r.ctx_vision, r.depth)
    assert (*found, bool(r.words)) == PUBLISHED[name]
    tip = name == "tip-adapter-f-fewshot"  # of its own loop, and not Dassl's
    common = (0.9, 0.01, 0, 1e-5) if tip else (0.9, 5e-4, 1, 1e-5)
    assert (r.momentum, r.weight_decay, r.warmup_epochs, r.warmup_lr) == common
    on_pictures = PUBLISHED_RECIPES[name].method not in ONLY_ON_FEATURES
    assert (r.views, r.drop_last) == (("online", True) if on_pictures else (1, False))
    assert r.adam_eps == {"tcp-b2n": 1e-3, "tip-adapter-f-fewshot": 1e-4}.get(name, 1e-8)
    assert r.ctx_pad == name.startswith("prograd")


def values(name, data_name, shots, *wanted):
    recipe = recipe_of(PUBLISHED_RECIPES[name].method, name, data_name=data_name, shots=shots)
    return tuple(getattr(recipe, one) for one in wanted)


@pytest.mark.parametrize(
    ("name", "data", "shots", "wanted"),
    [
        ("coop-b2n", "ImageNet", 16, {"epochs": 50}),
        ("coop-b2n", "EuroSAT", 1, {"epochs": 200}),
        ("coop-fewshot", "EuroSAT", 8, {"epochs": 200}),
        ("coop-fewshot", "EuroSAT", 4, {"epochs": 100}),
        ("coop-fewshot", "EuroSAT", 2, {"epochs": 100}),
        ("coop-fewshot", None, 1, {"epochs": 50}),
        ("coop-fewshot", None, None, {"epochs": 200}),
        ("coop-fewshot", "ImageNet", 4, {"epochs": 50}),
        ("prograd-b2n", "ImageNet", 4, {"epochs": 50}),
        ("prograd-fewshot", "EuroSAT", 16, {"prograd_lambda": 0.8, "epochs": 200}),
        ("prograd-fewshot", "OxfordFlowers", 8, {"prograd_lambda": 0.8}),
        ("prograd-fewshot", "DescribableTextures", 4, {"prograd_lambda": 1.0, "epochs": 100}),
        ("prograd-fewshot", "Food101", 16, {"prograd_lambda": 1.0}),
        ("prograd-b2n", "EuroSAT", 16, {"prograd_lambda": 1.0}),
        ("tcp-b2n", "SUN397", 16, {"epochs": 25}),
        ("tcp-b2n", "Food101", 16, {"epochs": 50}),
        ("promptsrc-fewshot", "StanfordCars", 1, {"gpa": (45.0, 5.0)}),
        ("promptsrc-fewshot", "UCF101", 1, {"gpa": (30.0, 30.0)}),
        ("promptsrc-b2n", "StanfordCars", 16, {"gpa": (15.0, 1.0)}),
        ("promptsrc-cross", "ImageNet", 16, {"gpa": (6.0, 10.0)}),
        ("taskres-fewshot", "ImageNet", 16, {"lr": 0.0002, "residual_scale": 0.5}),
        ("taskres-fewshot", "OxfordFlowers", 8, {"residual_scale": 1.0, "epochs": 200}),
        ("taskres-fewshot", "EuroSAT", 4, {"epochs": 100, "lr": 0.002, "residual_scale": 0.5}),
    ],
)  # fmt: skip
def test_values_that_authors_change_by_data_set_or_shots_are_changed_there_only(
    name, data, shots, wanted
):
    assert values(name, data, shots, *wanted) == tuple(wanted.values())


def test_a_group_of_recipes_says_which_one_is_in_force_and_where_none_is_published():
    assert taken("coop").name == "coop-b2n"
    assert taken("coop", "authors-fewshot").name == "coop-fewshot"
    assert taken("coop", "authors-cross").name == "coop-cross"
    assert taken("coop").notes == ()
    found = taken("tcp", "authors-cross")
    assert found.name == "tcp-b2n"
    assert any("no recipe for cross-data-set is published" in note for note in found.notes)
    assert any("nothing is published" in note for note in taken("clip-adapter").notes)
    shots = taken("prograd", shots=16).notes
    assert "recipe prograd-b2n: published for 4 shots, and this run has 16 shots" in shots
    assert taken("promptsrc", depth_limit=3).notes == (
        "recipe promptsrc-b2n: prompts in 3 blocks, all that there are, and its authors have 9",
    )


def test_the_toys_recipes_keep_the_values_they_were_measured_with():
    assert all(recipe.views == 1 and not recipe.drop_last for recipe in TOY.values())
    toy = TOY["promptsrc"]  # as the authors' 15 and 1 of 20 epochs are, of 15
    assert toy.gpa == (15 * toy.epochs / 20, 1 * toy.epochs / 20)


def test_depth_is_cut_to_the_smaller_tower():
    assert recipe_of("vpt", depth_limit=4).depth == 4
    assert recipe_of("maple", depth_limit=12).depth == 9


def test_unknown_names_list_the_known_ones():
    with pytest.raises(DataError, match=r"`method` is 'cup'; expected one of coop, cocoop"):
        recipe_of("cup")
    known = (
        r"`recipe` is 'mine'; expected one of authors, authors-fewshot, authors-cross, toy, coop"
    )
    with pytest.raises(DataError, match=known):
        recipe_of("coop", "mine")
    own = (
        r"`recipe` is 'coop-b2n', of coop; expected one of maple: authors, .*toy, maple-b2n, maple-"
    )
    with pytest.raises(DataError, match=own):
        recipe_of("maple", "coop-b2n")


@pytest.mark.parametrize("method", METHODS)
def test_an_option_is_taken_where_it_changes_what_is_learned_and_refused_elsewhere(
    method, backbone
):
    recipe = cases.short_recipe(method, backbone)
    first = initial_tensors(method, backbone, num_classes=3, recipe=recipe, seed=1)
    changes = {"ctx": 9 if method == "prograd" else 1, "ctx_vision": 7, "depth": 2, "csc": True}
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
    check_applies("runs/coop", {"csc": False, "knowledge_weight": 2.0})  # when its method is known
    with pytest.raises(
        DataError, match="`knowledge_weight` has no effect on coop; it is for kgcoop"
    ):
        check_applies("coop", {"knowledge_weight": 0.0})
