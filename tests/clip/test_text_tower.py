import copy
import functools
from typing import Any

import open_clip
import pytest
import torch
from torch.testing import assert_close

from ncscope.clip.text_tower import (
    Prompts,
    class_specific,
    deep_prompts,
    encode_prompts,
    inserted,
    on_shared,
    text_tower,
)
from ncscope.errors import BackboneError, ShapeError
from tests.tiny_clip import VIT, tiny_model
from tests.zoo.learners import reference

TEXT = {**VIT["text_cfg"], "heads": 4, "layers": 4}
CONFIG = {**VIT, "text_cfg": TEXT}
LENGTHS = [3, 6, 2, 4]
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}


@functools.cache
def model_of(dtype, *, quick=True):
    return copy.deepcopy(tiny_model(CONFIG, quick_gelu=quick)).to(dtype)


def drawn(*shape, seed=0, dtype=torch.float32):
    values = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (0.3 * values).to(dtype)


def full_pass(model, shared, own, *, change=None, quick=True):
    """The 77-token pass over one prompt a class; tokens after end-of-text are noise."""
    rows, eot = [], []
    for k, length in enumerate(LENGTHS):
        row = drawn(77, 64, seed=99 + k, dtype=own.dtype)
        row = torch.cat([shared, own[k, :length], row[len(shared) + length :]])
        rows.append(row)
        eot.append(len(shared) + length - 1)
    state = dict(model.state_dict())
    prompts = torch.stack(rows)
    return reference.text_forward(state, prompts, eot, heads=4, change=change, quick=quick)


def relative(got, wanted):
    return ((got - wanted).norm() / wanted.norm()).item()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("quick", [True, False], ids=["QuickGELU", "GELU"])
def test_values_and_gradients_are_those_of_the_77_token_pass(dtype, quick):
    model = model_of(dtype, quick=quick)
    own = drawn(4, 7, 64, seed=1, dtype=dtype)
    learned = [drawn(n, 64, seed=n, dtype=dtype).requires_grad_() for n in (5, 3, 2)]
    start = drawn(1, 64, seed=7, dtype=dtype)

    shared = torch.cat([start, learned[0]])
    prompts = Prompts(shared, own, torch.tensor(LENGTHS))
    got = encode_prompts(text_tower(model), prompts, before=deep_prompts(learned[1:]))
    change = reference.replace_text(learned[1:])
    wanted = full_pass(model, shared, own, change=change, quick=quick)
    assert relative(got, wanted) < TOLERANCE[dtype]

    weights = drawn(*got.shape, seed=3, dtype=dtype)
    ours = torch.autograd.grad((got * weights).sum(), learned)
    theirs = torch.autograd.grad((wanted * weights).sum(), learned)
    for a, b in zip(ours, theirs, strict=True):
        assert relative(a, b) < TOLERANCE[dtype]


@pytest.mark.parametrize("num_shared", [1, 4])
def test_own_tokens_may_be_learned_and_get_their_gradients(num_shared):
    model = model_of(torch.float64)
    own = drawn(4, 6, 64, seed=1, dtype=torch.float64).requires_grad_()
    shared = drawn(num_shared, 64, seed=2, dtype=torch.float64)
    got = encode_prompts(text_tower(model), Prompts(shared, own, torch.tensor(LENGTHS)))
    wanted = full_pass(model, shared, own)
    assert_close(got, wanted)
    ours, theirs = (torch.autograd.grad(f.square().sum(), own)[0] for f in (got, wanted))
    assert_close(ours, theirs)
    assert ours[2, 2:].eq(0).all()  # padding


def test_contexts_by_image_are_as_many_full_passes():
    model = model_of(torch.float64)
    own = drawn(4, 6, 64, seed=1, dtype=torch.float64)
    shared = drawn(3, 5, 64, seed=2, dtype=torch.float64).requires_grad_()
    deep = drawn(3, 2, 64, seed=4, dtype=torch.float64)
    prompts = Prompts(shared, own, torch.tensor(LENGTHS))
    got = encode_prompts(text_tower(model), prompts, before=deep_prompts([deep]))
    wanted = torch.stack(
        [
            full_pass(model, shared[b], own, change=reference.replace_text([deep[b]]))
            for b in range(3)
        ]
    )
    assert_close(got, wanted)
    ours, theirs = (torch.autograd.grad(f.square().sum(), shared)[0] for f in (got, wanted))
    assert_close(ours, theirs)


@pytest.mark.parametrize("num_shared", [3, 6])
def test_prompts_may_become_class_specific_between_blocks(num_shared):
    model = model_of(torch.float64)
    own = drawn(4, 6, 64, seed=1, dtype=torch.float64)
    shared = drawn(num_shared, 64, seed=2, dtype=torch.float64).requires_grad_()
    context = drawn(4, 2, 64, seed=5, dtype=torch.float64).requires_grad_()

    def change(when, i, x, _x_in):
        if when == "before" and i == 2:
            x = x.clone()
            for k in range(4):
                x[1:3, k] = context[k]
        return x

    prompts = Prompts(shared, own, torch.tensor(LENGTHS))
    got = encode_prompts(text_tower(model), prompts, before={2: class_specific(context)})
    wanted = full_pass(model, shared, own, change=change)
    assert_close(got, wanted)
    for learned in (shared, context):
        ours, theirs = (
            torch.autograd.grad(f.square().sum(), learned, retain_graph=True)[0]
            for f in (got, wanted)
        )
        assert_close(ours, theirs)


def test_tokens_inserted_between_blocks_lengthen_every_prompt():
    model = model_of(torch.float64)
    own = drawn(4, 6, 64, seed=1, dtype=torch.float64)
    shared = drawn(4, 64, seed=2, dtype=torch.float64)
    new = drawn(3, 64, seed=5, dtype=torch.float64)

    def change(when, i, x, _x_in):
        if when == "before" and i == 1:
            x = torch.cat([x[:1], new[:, None].expand(-1, x.shape[1], -1), x[1:]])
        return x

    edit = on_shared(lambda tokens: inserted(tokens, new, start=1))
    prompts = Prompts(shared, own, torch.tensor(LENGTHS))
    got = encode_prompts(text_tower(model), prompts, before={1: edit})
    rows, eot = [], []
    for k, length in enumerate(LENGTHS):
        padding = drawn(77 - 4 - length, 64, dtype=torch.float64)
        rows.append(torch.cat([shared, own[k, :length], padding]))
        eot.append(4 + length - 1 + 3)
    state = dict(model.state_dict())
    wanted = reference.text_forward(state, torch.stack(rows), eot, heads=4, change=change)
    assert_close(got, wanted)


def test_adapters_beside_blocks_see_the_normalised_input():
    model = model_of(torch.float64)
    own = drawn(4, 6, 64, seed=1, dtype=torch.float64)
    shared = drawn(4, 64, seed=2, dtype=torch.float64)
    matrix = drawn(64, 64, seed=5, dtype=torch.float64)
    state = dict(model.state_dict())

    def change(when, i, x, x_in):
        name = f"transformer.resblocks.{i}.ln_1"
        return x + reference.norm(x_in, state, name) @ matrix if when == "after" and i else x

    beside = {i: lambda tokens: tokens @ matrix for i in (1, 2, 3)}
    prompts = Prompts(shared, own, torch.tensor(LENGTHS))
    got = encode_prompts(text_tower(model), prompts, beside=beside)
    assert_close(got, full_pass(model, shared, own, change=change))


def test_it_is_open_clips_own_text_tower():
    model: Any = tiny_model(CONFIG)
    ids = open_clip.SimpleTokenizer()(["a photo of a cat.", "a photo of a grey seal."])
    rows = model.token_embedding(ids)
    got = encode_prompts(text_tower(model), Prompts(rows[0, :5], rows[:, 5:], ids.argmax(-1) - 4))
    assert_close(got, model.encode_text(ids), atol=1e-6, rtol=1e-5)


def test_prompts_of_another_width_or_too_long_are_refused():
    tower = text_tower(tiny_model(CONFIG))
    lengths = torch.tensor(LENGTHS)
    with pytest.raises(ShapeError, match=r"\(P, 64\).*got \(5, 32\).*Another backbone"):
        encode_prompts(tower, Prompts(torch.zeros(5, 32), torch.zeros(4, 6, 64), lengths))
    with pytest.raises(ShapeError, match=r"74 \+ 6 tokens; expected at most 77"):
        encode_prompts(tower, Prompts(torch.zeros(74, 64), torch.zeros(4, 6, 64), lengths))
    prompts = Prompts(torch.zeros(3, 64), torch.zeros(4, 6, 64), lengths)
    with pytest.raises(ShapeError, match=r"deep prompts are \(3, 64\)"):
        encode_prompts(tower, prompts, before=deep_prompts([torch.zeros(3, 64)]))
    with pytest.raises(ShapeError, match=r"class-specific prompts are \(2, 1, 64\)"):
        encode_prompts(tower, prompts, before={1: class_specific(torch.zeros(2, 1, 64))})


@pytest.mark.parametrize(
    "change", [{"no_causal_mask": True}, {"pool_type": "last"}, {"qk_norm": True}]
)
def test_a_text_tower_that_is_not_causal_clip_is_refused(change):
    model = tiny_model({**CONFIG, "text_cfg": {**TEXT, **change}})
    with pytest.raises(BackboneError, match="not CLIP's causal transformer"):
        text_tower(model)
