"""A step of training reads nothing back: it is taken on a device that has no numbers to read.

On torch's `meta` device tensors have a shape and no values, so whatever would make the host wait
for a GPU (`.item()`, `bool(tensor)`, boolean indexing, a copy to the CPU) raises. What is sent to
the device at every step is counted, and must not wait for it either.
"""

import contextlib
import copy
from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ncscope.tuning.forms import LCD_FORMS, MID_FORMS, Objective
from ncscope.tuning.inputs import FeatureInputs
from ncscope.tuning.optimiser import Optimiser
from ncscope.tuning.step import begin_means, step_gradients
from ncscope.tuning.trainee import PUBLISHED
from ncscope.tuning.values import LOSSES, OPTIMIZERS
from tests.tuning import cases

META = torch.device("meta")
ROWS = torch.tensor([0, 5, 7, 2, 1])
NPT = Objective(lcd_weight=0.1, mid_weight=1.0, centred=True)
SENT = {"vpt": 2, "ivlp": 2, "maple": 2, "promptsrc": 3}  # others 2: image numbers for rows, labels


class Sent(TorchDispatchMode):
    """Counts tensors of the CPU that become the device's, and which of them wait."""

    def __init__(self):
        super().__init__()
        self.count, self.waiting = 0, []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        given = {x.device.type for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)}
        if isinstance(found, torch.Tensor) and found.device == META and "cpu" in given:
            self.count += 1
            if not (kwargs or {}).get("non_blocking"):
                self.waiting.append(func.name())
        return found


def moved(setting):
    """The same setting without numbers."""

    def away(value):
        return value if value is None else value.to(META)

    def inputs(given):
        if isinstance(given, FeatureInputs):
            return replace(given, table=away(given.table), labels=away(given.labels))
        return given and replace(given, labels=away(given.labels))

    trainee = setting.trainee
    backbone = trainee.backbone
    backbone = replace(backbone, model=copy.deepcopy(backbone.model).to(META), device=META)
    trainee = replace(
        trainee,
        backbone=backbone,
        trained={k: v.detach().to(META).requires_grad_() for k, v in trainee.trained.items()},
        fixed={k: away(v) for k, v in trainee.fixed.items()},
        settings=replace(trainee.settings, memo={}),
    )
    of = setting.frozen
    frozen = replace(
        of, text=away(of.text), images=inputs(of.images), clusters=away(of.clusters),
        anchor=away(of.anchor),
    )  # fmt: skip
    return replace(
        setting, trainee=trainee, inputs=inputs(setting.inputs), counts=away(setting.counts),
        frozen=frozen,
    )  # fmt: skip


def one_step(setting, *, by_term=False, optimizer="sgd"):
    """A first step, which makes index plans, and what a second one sends."""
    npt = cases.fresh(setting)
    begin_means(setting, npt, len(ROWS))
    npt.to(META)
    setting = moved(setting)
    optimiser = Optimiser(replace(setting.trainee.recipe, optimizer=optimizer), setting.leaves)
    step_gradients(setting, ROWS, 0, npt)
    with Sent() as sent:
        gradients, _, _ = step_gradients(setting, ROWS, 1, npt, by_term=by_term)
        optimiser.step(gradients, 0.1)
    return sent


@pytest.fixture(autouse=True)
def without_autocast(monkeypatch):
    """Which `meta` does not know; it is switched off for NPT's terms."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())


@pytest.mark.parametrize("method", list(PUBLISHED))
def test_a_step_of_every_method_reads_nothing_and_sends_image_numbers_alone(
    method, backbone, deep_backbone
):
    own = deep_backbone if method == "tcp" else backbone
    sent = one_step(cases.setting(method, own, objective=NPT))
    assert sent.count == SENT.get(method, 2)
    assert not sent.waiting


@pytest.mark.parametrize("form", [f for f in LCD_FORMS if f != "anchored"])
def test_no_form_of_the_text_term_reads(form, backbone):
    centred = form in ("cosine", "frobenius")
    asked = Objective(lcd_weight=0.1, lcd_form=form, centred=centred)
    assert not one_step(cases.setting("coop", backbone, objective=asked)).waiting


@pytest.mark.parametrize("form", [f for f in MID_FORMS if f != "anchored"])
def test_no_form_of_the_image_term_reads(form, backbone):
    asked = Objective(mid_weight=0.1, mid_form=form)
    assert not one_step(cases.setting("coop", backbone, objective=asked)).waiting


@pytest.mark.parametrize("loss", LOSSES[1:])
def test_no_loss_reads(loss, backbone):
    assert not one_step(cases.setting("coop", backbone, loss=loss)).waiting


def test_gradients_term_by_term_are_not_read(backbone):
    setting = cases.setting("coop", backbone, objective=replace(NPT, relative_weights=True))
    assert not one_step(setting, by_term=True).waiting


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_no_optimiser_reads(optimizer, backbone):
    assert not one_step(cases.setting("kgcoop", backbone), optimizer=optimizer).waiting


def test_cpts_losses_do_not_read(backbone):
    setting = cases.setting("coop", backbone, objective=Objective(regulariser="cpt"))
    text = setting.frozen.text
    text = torch.randn(3, backbone.width) if text is None else text
    frozen = replace(setting.frozen, text=text, clusters=torch.tensor([0, 0, 1]))
    assert not one_step(replace(setting, frozen=frozen)).waiting


@pytest.mark.parametrize("change", [{"csc": True}, {"class_token_position": "middle"}])
def test_other_prompts_of_coop_do_not_read(change, backbone):
    recipe = replace(cases.short_recipe("coop", backbone), **change)
    assert not one_step(cases.setting("coop", backbone, recipe=recipe)).waiting


def test_a_read_in_a_step_would_be_seen(backbone, monkeypatch):
    """The proof of the method: one `.item()` put back is an error here."""
    setting = cases.setting("coop", backbone, objective=NPT)
    monkeypatch.setattr(type(setting), "leaves", property(_leaves_read))
    with pytest.raises(RuntimeError, match="meta"):
        one_step(setting)


def _leaves_read(setting):
    found = list(setting.trainee.trained.values())
    assert float(found[0].detach().sum()) < 1e9
    return found
