"""`ncscope.NPTLoss` in somebody's own loop; that it is the measure is `test_same_measure`'s."""

from itertools import pairwise

import pytest
import torch

import ncscope
from ncscope import metrics
from ncscope.errors import DataError, ShapeError
from ncscope.features.processes import Spread
from ncscope.metrics import class_balanced_mean, normalise_rows
from ncscope.tuning.exchange import gathered, summed
from tests.tuning import rows

IMAGE, TEXT = rows.tables("imbalanced")
LABELS = rows.labels_of("imbalanced")


def test_it_is_the_weighted_sum_of_its_terms_by_name_and_without_cross_entropy():
    npt = ncscope.NPTLoss(lcd_weight=0.3, mid_weight=0.2)
    found = npt(IMAGE, LABELS, TEXT)
    lcd = metrics.delta_lcd(TEXT, power=2)
    mid = metrics.push_pull(IMAGE, LABELS, TEXT)
    assert found.shape == ()
    assert set(npt.terms) == {"lcd", "mid"}
    torch.testing.assert_close(npt.terms["lcd"], lcd)
    torch.testing.assert_close(npt.terms["mid"], mid)
    torch.testing.assert_close(found, 0.3 * lcd + 0.2 * mid)
    assert not any(value.requires_grad for value in npt.terms.values())


def test_without_weights_it_is_zero_and_cross_entropy_alone_is_trained():
    npt, logits = ncscope.NPTLoss(), torch.zeros(4, requires_grad=True)
    (logits.sum() + npt(IMAGE, LABELS, TEXT)).backward()
    assert npt.terms == {}
    assert logits.grad is not None
    assert logits.grad.tolist() == [1] * 4


def test_descent_on_text_alone_brings_the_reported_measures_down():
    text = torch.nn.Parameter(TEXT.clone())
    npt = ncscope.NPTLoss(lcd_weight=1.0, mid_weight=1.0, centred=True, num_classes=4)
    unit = normalise_rows(IMAGE)
    means = torch.stack([unit[LABELS == k].mean(dim=0) for k in range(4)])
    reported = []
    for _ in range(3):
        with torch.no_grad():
            of = normalise_rows(text)
            reported.append(
                float(metrics.delta_lcd(of, centred=True))
                + float(metrics.delta_mid(means, of, centred=True))
            )
        for _ in range(40):
            (gradient,) = torch.autograd.grad(npt(IMAGE, LABELS, text), [text])
            with torch.no_grad():
                text -= 20 * gradient
    assert all(after < before - 0.01 for before, after in pairwise(reported))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_under_autocast_and_of_half_precision_features_terms_are_computed_in_single(dtype):
    npt = ncscope.NPTLoss(lcd_weight=1.0, mid_weight=1.0, centred=True)
    half = [side.to(dtype) for side in (IMAGE, TEXT)]
    wanted = npt(half[0].float(), LABELS, half[1].float())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = ncscope.NPTLoss(lcd_weight=1.0, mid_weight=1.0, centred=True)(
            half[0], LABELS, half[1]
        )
        single = npt.eval()(half[0].float(), LABELS, half[1].float())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)
    torch.testing.assert_close(single, wanted, rtol=0, atol=1e-6)


def test_a_plain_loop_under_autocast_trains_with_it_and_goes_on_from_a_state(tmp_path):
    def begun():
        torch.manual_seed(0)
        model = torch.nn.ModuleDict({"tower": torch.nn.Linear(7, 7), "text": torch.nn.Linear(7, 4)})
        npt = ncscope.NPTLoss(lcd_weight=0.5, mid_weight=0.5, mid_form="frobenius", centred=True)
        return model, npt, torch.optim.SGD(model.parameters(), lr=0.5)

    def steps(model, npt, optimiser, numbers):
        for number in numbers:
            shown = torch.arange(number % 3, 12, 3)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                image, text = model["tower"](IMAGE[shown].float() / 9), model["text"].weight
                logits = torch.nn.functional.linear(image, text)
                loss = torch.nn.functional.cross_entropy(logits, LABELS[shown])
                loss = loss + npt(image, LABELS[shown], text)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        return npt.terms["lcd"], npt.terms["mid"]

    def whole(model, npt):
        with torch.no_grad():
            npt.eval()(model["tower"](IMAGE.float() / 9), LABELS, model["text"].weight)
        npt.train()
        return float(npt.terms["lcd"] + npt.terms["mid"])

    model, npt, optimiser = begun()
    before = whole(model, npt)
    steps(model, npt, optimiser, range(10))
    parts = (model, npt, optimiser)
    torch.save([part.state_dict() for part in parts], tmp_path / "state")
    last = steps(model, npt, optimiser, range(10, 20))
    assert whole(model, npt) < 0.8 * before
    again = begun()
    states = torch.load(tmp_path / "state", weights_only=True)
    for part, state in zip(again, states, strict=True):
        part.load_state_dict(state)
    assert steps(*again, range(10, 20)) == last


def test_unlabelled_images_are_ignored_with_their_text():
    npt = ncscope.NPTLoss(lcd_weight=1.0, mid_weight=1.0, centred=True)
    every = rows.texts_of(IMAGE, TEXT)
    known = LABELS != 2
    for texts, of_known in ((TEXT, TEXT), (every, every[known])):
        found = npt.eval()(IMAGE, torch.where(known, LABELS, -1), texts)
        torch.testing.assert_close(found, npt(IMAGE[known], LABELS[known], of_known))


def test_running_means_are_buffers_that_a_state_dict_brings_to_a_new_loss():
    npt = ncscope.NPTLoss(mid_weight=1.0, centred=True)
    npt(IMAGE, LABELS, TEXT)
    state = npt.state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == {
        "running.classes": (4, 7),
        "running.seen": (4,),
    }
    other = ncscope.NPTLoss(mid_weight=1.0, centred=True)
    other.load_state_dict(state)
    batch = (IMAGE[:5].flip(1), LABELS[:5], TEXT)
    assert float(other(*batch)) == float(npt(*batch))
    assert float(other(*batch)) != float(ncscope.NPTLoss(mid_weight=1.0).eval()(*batch))
    assert list(npt.parameters()) == []


def test_small_batches_are_centred_about_classes_and_not_about_images():
    npt = ncscope.NPTLoss(mid_weight=1.0, centred=True)
    npt.begin(IMAGE, LABELS, 4)
    unit = normalise_rows(IMAGE)
    centre = class_balanced_mean(unit, LABELS, 4)
    one = slice(0, 1)
    means = torch.stack([unit[LABELS == k].mean(dim=0) for k in range(4)])
    means[0] = 0.9 * means[0] + 0.1 * unit[0]
    wanted = metrics.push_pull(
        unit[one], LABELS[one], normalise_rows(TEXT), image_mean=means.mean(dim=0)
    )
    torch.testing.assert_close(npt(IMAGE[one], LABELS[one], TEXT), wanted)
    assert float((unit.mean(dim=0) - centre).norm()) > 0.05  # the two means are far apart here


def test_images_of_known_counts_weigh_alike_and_so_end_at_the_mean_of_all():
    counts = torch.bincount(LABELS)
    npt = ncscope.NPTLoss(mid_weight=1.0, mid_form="frobenius", class_counts=counts)
    npt.begin(0 * IMAGE + 1, LABELS, 4)
    npt(IMAGE, LABELS, TEXT)
    unit = normalise_rows(IMAGE)
    means = torch.stack([unit[LABELS == k].mean(dim=0) for k in range(4)])
    torch.testing.assert_close(npt.running.classes, means)


def test_relative_weights_are_shares_of_the_cross_entropys_gradient_norm():
    prompt = torch.nn.Parameter(TEXT.clone())
    frozen = torch.nn.Parameter(torch.ones(3))  # has no part in anything

    def gradient(value):
        return torch.autograd.grad(value, [prompt], retain_graph=True)[0]

    ce = torch.nn.functional.cross_entropy(IMAGE @ prompt.T, LABELS)
    npt = ncscope.NPTLoss(lcd_weight=0.25, mid_weight=0.5, relative=True)
    found = gradient(npt(IMAGE, LABELS, prompt, cross_entropy=ce, parameters=[prompt, frozen]))
    lcd = gradient(metrics.delta_lcd(prompt, power=2))
    mid = gradient(metrics.push_pull(IMAGE, LABELS, prompt))
    long = gradient(ce).norm()
    wanted = 0.25 * long / lcd.norm() * lcd + 0.5 * long / mid.norm() * mid
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(npt.terms["lcd"], metrics.delta_lcd(prompt.detach(), power=2))
    with pytest.raises(ShapeError, match="give the loss `cross_entropy` and `parameters`"):
        npt(IMAGE, LABELS, prompt)


def test_in_a_trainer_of_ones_own_nothing_is_exchanged_but_tensors_on_their_device(monkeypatch):
    """Its group may be NCCL's alone, which knows no others; `tune`'s processes tell refusals."""
    exchanged = []
    monkeypatch.setattr("ncscope.tuning.npt.processes_of_torch", lambda: Spread(0, 2))
    monkeypatch.setattr("ncscope.tuning.exchange.exchanged", lambda *_: exchanged.append("told"))
    monkeypatch.setattr("ncscope.tuning.exchange.everyones", lambda one, _: [one, one])
    monkeypatch.setattr("ncscope.features.processes.added", lambda one, _: 2 * one)
    prompt = torch.nn.Parameter(TEXT.clone())
    loss = ncscope.NPTLoss(lcd_weight=0.5, relative=True)
    loss(IMAGE, LABELS, prompt, cross_entropy=prompt.square().sum(), parameters=[prompt])
    assert not exchanged
    gathered(IMAGE, [len(IMAGE)] * 2, Spread(0, 2))
    summed([IMAGE], Spread(0, 2))
    assert exchanged == ["told", "told"]


def test_a_frame_of_ones_own_is_the_anchor_of_both_terms():
    frame = metrics.simplex_etf(4, 7, seed=3)
    npt = ncscope.NPTLoss(
        lcd_weight=1, lcd_form="anchored", mid_weight=1, mid_form="anchored", anchor=frame
    )
    found = npt(IMAGE, LABELS, TEXT)
    wanted = metrics.anchored(TEXT, frame) + metrics.dot_regression(IMAGE, LABELS, frame)
    torch.testing.assert_close(found, wanted)


def test_it_says_what_it_minimises():
    npt = ncscope.NPTLoss(0.5, "frobenius", mid_weight=2, centred=True, relative=True)
    assert "lcd: 0.5 frobenius, mid: 2 push_pull, centred, relative" in repr(npt)


REFUSED = {
    "another K": (
        {"num_classes": 5},
        (IMAGE, LABELS, TEXT),
        r"`num_classes` is 5, the text features are of 4 classes; expected a row of text a class",
    ),
    "width": ({}, (IMAGE[:, :6], LABELS, TEXT), r"expected image features \(B, D\) and text .*7\)"),
    "images of texts": (
        {},
        (IMAGE, LABELS, TEXT.expand(3, 4, 7)),
        r"\(K, D\) or \(B, K, D\); got \(12, 7\) and \(3, 4, 7\)",
    ),
    "label": (
        {},
        (IMAGE, LABELS + 1, TEXT),
        r"labels of a batch must lie in 0\.\.3, .*; got 1\.\.4",
    ),
    "below": ({}, (IMAGE, LABELS - 2, TEXT), r"must lie in 0\.\.3, .*; got -2\.\.1"),
    "no images": ({}, (IMAGE[:0], LABELS[:0], TEXT), r"must lie in 0\.\.3, .*; got none"),
    "no label": ({}, (IMAGE, 0 * LABELS - 1, TEXT), r"not all of them -1 .*; got -1\.\.-1"),
    "float": ({}, (IMAGE, LABELS.double(), TEXT), r"`label` must be an integer \(B,\) tensor"),
    "one class": (
        {},
        (IMAGE[:3], LABELS[:3], TEXT),
        r"need images of at least 2 classes; seen so far: 1; call `begin` with all training",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refusals_say_what_was_expected(case):
    options, batch, message = REFUSED[case]
    with pytest.raises(ShapeError, match=message):
        ncscope.NPTLoss(mid_weight=1.0, centred=True, **options)(*batch)


def test_unknown_forms_are_refused_as_tune_refuses_them():
    with pytest.raises(DataError, match=r"`mid_form` is 'pull'; expected one of push_pull"):
        ncscope.NPTLoss(mid_form="pull")
    with pytest.raises(DataError, match=r"`mid_form` 'align' has no centred form"):
        ncscope.NPTLoss(mid_weight=1.0, mid_form="align", centred=True)
