"""Values and gradients of every kind of text prompt against the plain 77-token pass.

The learners are made from tensors that require gradients, in single precision throughout.
"""

import dataclasses
import functools
import re

import pytest
import torch

from ncscope.zoo.learners import LEARNERS
from ncscope.zoo.settings import Settings
from tests import learner_states
from tests.learner_states import Sizes
from tests.zoo.learners import case, reference
from tests.zoo.learners.test_coop import reference_text as coop_text
from tests.zoo.learners.test_mmrl import reference_text as mmrl_text
from tests.zoo.learners.test_tcp import reference_text as tcp_text

FEATURE = torch.randn(32, generator=torch.Generator().manual_seed(2))
FOUR, TWO = Sizes(half=False), Sizes(half=False, context=2)


def ctx(state):
    return state.get("ctx", state.get("prompt_learner.ctx"))


def under(state, pattern):
    return [state[key] for key in sorted(state) if re.search(pattern, key)]


def deep(state, pattern, start=1):
    rounded = [value + (value.half().float() - value).detach() for value in under(state, pattern)]
    change = reference.replace_text(rounded, start=start)
    return case.reference_text(ctx(state), "X " * len(ctx(state)), change=change)


def conditioned(state):
    feature = reference.normalise(FEATURE)
    hidden = reference.linear(feature, state, "meta_net.linear1").clamp(min=0)
    return case.reference_text(
        ctx(state) + reference.linear(hidden, state, "meta_net.linear2"), "X X X X"
    )


def attributes(state):
    rows, _ = case.embedded(["X X color X X X X cat."])
    parts = [state["ctx_att1"], rows[0, 3:4], ctx(state)]
    return case.reference_text(torch.cat(parts), "X X color X X X X")


def pooled(state):
    return torch.stack([case.reference_text(own, "X X X X") for own in ctx(state)]).mean(0)


def coop_atp(sizes):
    prompts = ["X X color X X X X cat."] * sizes.classes
    rows, _ = case.embedded(prompts, dtype=torch.float32)
    return learner_states.coop_atp(sizes, words=1) | {"token_middle1": rows[:, 3:4]}


def mmrl(sizes):
    state = learner_states.mmrl(dataclasses.replace(sizes, depth=3))
    return {k: 5 * v if "representation" in k else v for k, v in state.items()}


def coop(position):
    return lambda state: coop_text(ctx(state), case.NAMES, position)


# method, its state, how the reference makes text features, the learned tensors, further settings
CASES = {
    "CoOp end": ("CoOp", learner_states.coop(FOUR), coop("end"), "ctx", {}),
    "CoOp middle": ("CoOp", learner_states.coop(FOUR), coop("middle"), "ctx", {}),
    "CoOp front": ("CoOp", learner_states.coop(FOUR), coop("front"), "ctx", {}),
    "CoOp class-specific": ("CoOp", learner_states.coop_csc(FOUR), coop("end"), "ctx", {}),
    "KgCoOp": ("KgCoOp", learner_states.kgcoop(FOUR), coop("end"), "ctx", {}),
    "CoCoOp": ("CoCoOp", learner_states.cocoop(FOUR), conditioned, "ctx|meta_net", {}),
    "CoOp_ATP": ("CoOp_ATP", coop_atp(FOUR), attributes, "ctx$|ctx_att1", {}),
    "PLOT": ("PLOT", learner_states.plot(FOUR), pooled, "ctx", {}),
    "MaPLe": (
        "MaPLe", learner_states.maple(TWO), functools.partial(deep, pattern="compound_prompts_t"),
        "ctx|compound_prompts_text", {},
    ),
    "IVLP": (
        "IVLP", learner_states.ivlp(TWO), functools.partial(deep, pattern="text_encoder.*VPT"),
        "ctx|text_encoder.*VPT", {},
    ),
    "PromptSRC": (
        "PromptSRC", learner_states.promptsrc(FOUR),
        functools.partial(deep, pattern="text_encoder.*VPT"), "ctx|text_encoder.*VPT", {},
    ),
    "TCP": (
        "TCP", learner_states.tcp(FOUR),
        lambda state: tcp_text(state, case.NAMES, "a photo of a {}.", "X X X X", "."),
        "ctx|meta_net", {"templates": ("a photo of a {}.",)},
    ),
    "MMRL": (
        "MMRL", mmrl(FOUR), lambda state: mmrl_text(state, case.NAMES, 1.0), "rep_tokens(_r2t|$)",
        {
            "words": "a photo of a", "after": ", a type of pet.",
            "logged": {"TRAINER.MMRL.REP_LAYERS": "[2, 3, 4]"},
        },
    ),
}  # fmt: skip


@pytest.fixture
def single(monkeypatch):
    """Names in the reference are embedded in single precision, as in the learners here."""
    monkeypatch.setattr(case, "embedded", functools.partial(case.embedded, dtype=torch.float32))


def learned_text(learner):
    if learner.by_feature is None:
        return learner.encode_names(list(case.NAMES))
    feature = reference.normalise(FEATURE)
    return learner.by_feature(list(case.NAMES), feature[None])[0]


@pytest.mark.usefixtures("single")
@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_are_those_of_the_plain_pass(name, backbone, deep_backbone):
    method, state, plain, learned, more = CASES[name]
    clip = deep_backbone if method == "TCP" else backbone
    keys = [k for k in state if re.search(learned, k) and "token_" not in k.split(".")[-1]]
    leaves = [state[key].detach().clone().requires_grad_() for key in keys]
    tensors = {**state, **dict(zip(keys, leaves, strict=True))}
    position = name.split()[-1] if name.split()[-1] in ("middle", "front") else "end"
    settings = Settings("here", method, class_token_position=position, classnames=case.NAMES)
    learner = LEARNERS[method](tensors, clip, dataclasses.replace(settings, **more))
    got, wanted = learned_text(learner), plain(tensors)
    assert case.relative(got, wanted) < 1e-5
    weights = torch.randn(wanted.shape, generator=torch.Generator().manual_seed(1))
    ours = torch.autograd.grad((got * weights).sum(), leaves)
    theirs = torch.autograd.grad((wanted * weights).sum(), leaves)
    for key, own, other in zip(keys, ours, theirs, strict=True):
        assert other.abs().max() > 0, key
        assert case.relative(own, other) < 1e-5, key
