"""Gradients of a training step, against plain forward passes and by hand."""

import math
from dataclasses import replace

import pytest
import torch

from ncscope import metrics
from ncscope.clip.backbone import load_backbone
from ncscope.tuning.forms import Objective
from ncscope.tuning.losses import without_conflict
from ncscope.tuning.plan import compile_towers
from ncscope.tuning.step import batch_terms, begin_means, step_gradients
from ncscope.tuning.trainee import PUBLISHED
from tests.tiny_clip import save_folder
from tests.tuning import cases
from tests.zoo.learners import case, reference

ROWS = torch.tensor([0, 5, 7, 2, 1])


def plain_text(head, before, change=None):
    """(K, D): the first tokens of "`before` name." are replaced by `head`; 77 tokens a class."""
    texts = [f"{before} {text}" for text in case.sentences(cases.NAMES)]
    rows, eot = case.embedded(texts, dtype=torch.float32)
    heads = head.expand(len(rows), -1, -1)
    rows = torch.cat([rows[:, :1], heads, rows[:, 1 + head.shape[-2] :]], dim=1)
    return reference.text_forward(case.state(), rows, eot, heads=case.TEXT_HEADS, change=change)


def plain_image(pixels, appended=None, change=None):
    return reference.image_forward(
        case.state(), pixels, heads=case.IMAGE_HEADS, appended=appended, change=change
    )


def plain_coop(tensors, pixels):
    text = plain_text(tensors["ctx"], " ".join(["X"] * tensors["ctx"].shape[-2]))
    return plain_image(pixels), text


def rounded(prompts):
    """As CLIP's towers of MaPLe use them: in half precision, gradients as they are."""
    return prompts + (prompts.half().float() - prompts).detach()


def plain_maple(tensors, pixels):
    learner = {k.removeprefix("prompt_learner."): v for k, v in tensors.items()}
    deep = [v for k, v in learner.items() if k.startswith("compound_prompts_text")]
    images = [reference.linear(learner["ctx"], learner, "proj")] + [
        reference.linear(prompts, learner, f"compound_prompt_projections.{i}")
        for i, prompts in enumerate(deep)
    ]
    images = [rounded(prompts) for prompts in images]
    deep = [rounded(prompts) for prompts in deep]
    text = plain_text(learner["ctx"], "a photo of a", reference.replace_text(deep))
    return plain_image(pixels, images[0], reference.replace_image(images[1:])), text


def plain_cocoop(tensors, pixels):
    image = plain_image(pixels)
    inner = reference.linear(reference.normalise(image), tensors, "meta_net.linear1")
    shifts = reference.linear(inner.clamp(min=0), tensors, "meta_net.linear2")
    before = " ".join(["X"] * len(tensors["ctx"]))
    return image, torch.stack([plain_text(tensors["ctx"] + shift, before) for shift in shifts])


def plain_loss(image, text, labels):
    """Cross-entropy, collapse and isomorphism, row by row."""
    scale = case.state()["logit_scale"].exp()
    rows = reference.normalise(image)
    each = reference.normalise(text).expand(len(rows), -1, -1) if text.ndim == 2 else text
    each = reference.normalise(each)
    loss, pulls = torch.zeros(()), {}
    for row, texts, label in zip(rows, each, labels.tolist(), strict=True):
        cosines = texts @ row
        loss = loss - (scale * cosines).log_softmax(dim=0)[label] / len(rows)
        others = [cosines[k] for k in range(3) if k != label]
        push = sum((cosine + 0.5) ** 2 for cosine in others) / 4
        pulls.setdefault(label, []).append((cosines[label] - 1) ** 2 / 2 + push)
    mean = reference.normalise(each.mean(dim=0))
    lcd = sum((mean[i] @ mean[j] + 0.5) ** 2 / 6 for i, j in OFF)
    mid = sum(sum(v) / len(v) for v in pulls.values()) / len(pulls)
    return loss + 0.7 * lcd + 0.3 * mid


OFF = [(i, j) for i in range(3) for j in range(3) if i != j]
PLAIN = {"coop": plain_coop, "maple": plain_maple, "cocoop": plain_cocoop}


@pytest.mark.parametrize("method", PLAIN)
def test_the_gradient_is_that_of_plain_passes_over_all_77_tokens(method, backbone):
    setting = cases.setting(method, backbone, objective=Objective(lcd_weight=0.7, mid_weight=0.3))
    got, _, _ = step_gradients(setting, ROWS, 0, cases.fresh(setting))
    images = cases.painted()
    pixels = torch.stack([backbone.preprocess(images.load(int(i))) for i in ROWS])
    leaves = {k: v.detach().clone().requires_grad_() for k, v in setting.trainee.trained.items()}
    loss = plain_loss(*PLAIN[method](leaves, pixels), torch.tensor(images.labels)[ROWS])
    wanted = torch.autograd.grad(loss, list(leaves.values()))
    for name, a, b in zip(leaves, got, wanted, strict=True):
        assert case.relative(a, b) < 2e-5, name


def test_terms_taken_apart_add_up_to_the_same_gradient(backbone):
    setting = cases.setting("coop", backbone, objective=Objective(lcd_weight=0.7, mid_weight=0.3))
    whole, values, none = step_gradients(setting, ROWS, 0, cases.fresh(setting))
    apart, same, norms = step_gradients(setting, ROWS, 0, cases.fresh(setting), by_term=True)
    assert not none
    assert set(norms) == set(values) == {"ce", "lcd", "mid"}
    torch.testing.assert_close(whole, apart)
    torch.testing.assert_close(values, same)


def own_gradients(setting, name):
    value = batch_terms(setting, ROWS, 0, cases.fresh(setting))[name][1]
    return torch.autograd.grad(value, setting.leaves, allow_unused=True, materialize_grads=True)


def length(gradients):
    return math.sqrt(sum(float(g.square().sum()) for g in gradients))


@pytest.mark.parametrize("method", ["coop", "maple", "cocoop"])
def test_logged_norms_are_those_of_each_terms_own_gradient(method, backbone):
    setting = cases.setting(method, backbone, objective=Objective(lcd_weight=0.7, mid_weight=0.3))
    _, _, norms = step_gradients(setting, ROWS, 0, cases.fresh(setting), by_term=True)
    for name, norm in norms.items():
        assert float(norm) == pytest.approx(length(own_gradients(setting, name)), rel=1e-5)


def test_relative_weights_are_shares_of_the_cross_entropys_gradient_norm(backbone):
    objective = Objective(lcd_weight=0.25, mid_weight=0.5, relative_weights=True)
    setting = cases.setting("coop", backbone, objective=objective)
    got, _, _ = step_gradients(setting, ROWS, 0, cases.fresh(setting))
    ce, lcd, mid = (own_gradients(setting, name) for name in ("ce", "lcd", "mid"))
    added = [g - c for g, c in zip(got, ce, strict=True)]
    wanted = [
        0.25 * length(ce) / length(lcd) * a + 0.5 * length(ce) / length(mid) * b
        for a, b in zip(lcd, mid, strict=True)
    ]
    torch.testing.assert_close(added, wanted, rtol=1e-4, atol=1e-6)


def test_cpts_weights_can_be_relative_too(backbone):
    objective = Objective(regulariser="cpt", cpt_weights=(0.3, 0.0, 0.0), relative_weights=True)
    setting = cases.setting("coop", backbone, objective=objective)
    text = setting.trainee.learner().text_features(setting.classnames).clone()
    frozen = replace(setting.frozen, text=text.flip(0), clusters=torch.zeros(3, dtype=torch.int64))
    setting = replace(setting, frozen=frozen)
    got, _, _ = step_gradients(setting, ROWS, 0, cases.fresh(setting))
    ce = own_gradients(setting, "ce")
    added = [g - c for g, c in zip(got, ce, strict=True)]
    assert length(added) == pytest.approx(0.3 * length(ce), rel=1e-4)


@pytest.mark.parametrize("method", sorted({*PUBLISHED} - {"tcp"}))  # which needs eight blocks
def test_a_batch_in_three_parts_gives_the_gradient_of_the_whole(method, backbone):
    objective = Objective(lcd_weight=0.7, mid_weight=0.3, centred=True)
    one = cases.setting(method, backbone, objective=objective)
    three = replace(one, accumulate=3)
    whole, values, _ = step_gradients(one, ROWS, 0, cases.fresh(one))
    parts, sums, _ = step_gradients(three, ROWS, 0, cases.fresh(one))
    for a, b in zip(parts, whole, strict=True):
        assert float((a - b).norm()) <= 2e-6 * length(whole)
    torch.testing.assert_close(sums, values)


def test_relative_weights_of_a_batch_in_parts_are_those_of_the_whole(backbone):
    one = cases.setting(
        "coop", backbone, objective=Objective(lcd_weight=0.5, relative_weights=True)
    )
    whole, _, norms = step_gradients(one, ROWS, 0, cases.fresh(one))
    parts, _, same = step_gradients(replace(one, accumulate=3), ROWS, 0, cases.fresh(one))
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(same, norms, rtol=1e-4, atol=1e-6)


def test_more_parts_than_images_are_as_many_as_images(backbone):
    setting = cases.setting("coop", backbone, accumulate=9)
    whole, _, _ = step_gradients(replace(setting, accumulate=1), ROWS, 0, cases.fresh(setting))
    parts, _, _ = step_gradients(setting, ROWS, 0, cases.fresh(setting))
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-6)


def test_prograd_takes_general_knowledge_into_the_gradient_and_not_the_loss(backbone):
    setting = cases.setting("prograd", backbone, objective=Objective(lcd_weight=0.5))
    got, values, _ = step_gradients(setting, ROWS, 0, cases.fresh(setting))
    ce, general, lcd = (own_gradients(setting, name) for name in ("ce", "general", "lcd"))
    wanted = [a + 0.5 * b for a, b in zip(without_conflict(ce, general), lcd, strict=True)]
    torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-6)
    assert set(values) == {"ce", "general", "lcd"}


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("method", ["coop", "maple"])
def test_running_means_begin_with_the_class_means_of_all_training_images(
    method, accumulate, backbone
):
    asked = Objective(mid_weight=1.0, mid_form="frobenius")
    setting = cases.setting(method, backbone, objective=asked, accumulate=accumulate)
    npt = cases.fresh(setting)
    begin_means(setting, npt, 3)
    images, learner = cases.painted(), setting.trainee.learner()
    pixels = torch.stack([backbone.preprocess(images.load(i)) for i in range(len(images))])
    unit = torch.nn.functional.normalize(learner.image_features(pixels), dim=1)
    labels = torch.tensor(images.labels)
    means = torch.stack([unit[labels == k].mean(dim=0) for k in range(3)])
    torch.testing.assert_close(npt.running.classes, means, rtol=0, atol=1e-5)
    assert npt.running.seen.all()
    value = batch_terms(setting, ROWS[:1], 0, npt)["mid"][1]  # one image, and yet all classes
    means[0] = 0.75 * means[0] + 0.25 * unit[ROWS[0]]  # one of four comes in anew
    text = learner.text_features(setting.classnames)
    wanted = metrics.cross_etf_distance(
        image_means=means, text=text / text.norm(dim=1, keepdim=True)
    )
    assert float(value.detach()) == pytest.approx(float(wanted), abs=1e-4)


def test_no_pass_is_made_for_terms_that_ask_for_none_or_where_a_step_shows_all(backbone):
    for options, size in (({"lcd_weight": 1.0}, 3), ({"mid_weight": 1.0, "centred": True}, 8)):
        objective = Objective(**options)  # pyright: ignore[reportArgumentType]
        setting = cases.setting("coop", backbone, objective=objective)
        begin_means(setting, npt := cases.fresh(setting), size)
        assert not len(npt.running.seen)


@pytest.mark.filterwarnings("ignore")  # the compiler's own
def test_a_step_of_compiled_towers_has_the_same_gradients_term_by_term(
    backbone, monkeypatch, tmp_path
):
    """With the compiler's capture and its autograd, without the minutes of its code generation."""
    plain = cases.setting("maple", backbone, objective=Objective(lcd_weight=0.1))
    own = load_backbone(save_folder(tmp_path, config=case.CONFIG))
    compiled = cases.setting("maple", own, objective=Objective(lcd_weight=0.1))
    compile = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda m: compile(m, backend="aot_eager"))
    compile_towers(own)
    for by_term in (False, True):
        got, wanted = (
            step_gradients(one, ROWS, 0, cases.fresh(one), by_term=by_term)[0]
            for one in (compiled, plain)
        )
        for a, b in zip(got, wanted, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)
