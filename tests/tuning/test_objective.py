"""The objective is cross-entropy plus weighted functions of `ncscope.metrics`, and lowers them."""

import pytest
import torch

from ncscope import metrics
from ncscope.errors import DataError
from ncscope.metrics.rows import normalise_rows, unit_text
from ncscope.tuning.forms import LCD_FORMS, MID_FORMS, Objective
from ncscope.tuning.objective import (
    Reference,
    cpt_terms,
    npt_terms,
)

B, K, D = 9, 4, 7
GENERATOR = torch.Generator().manual_seed(6)


def rows(*shape):
    return normalise_rows(torch.randn(shape, generator=GENERATOR, dtype=torch.float64))


IMAGE, TEXT, OTHER = rows(B, D), rows(K, D), rows(K, D)
LABELS = torch.tensor([0, 0, 0, 0, 1, 1, 2, 2, 3])
CLUSTERS = torch.tensor([0, 0, 1, 1])
FRAME = metrics.simplex_etf(K, D, seed=0).double()
REFERENCE = Reference(OTHER, torch.ones(K, dtype=torch.bool), None)
CENTRE = OTHER.mean(dim=0)

LCD = {
    "cosine": lambda text: metrics.delta_lcd(text, power=2),
    "frobenius": lambda text: metrics.delta_lcd(text, form="frobenius"),
    "anchored": lambda text: metrics.anchored(text),
    "dispersion": lambda text: -metrics.dispersion(text),
    "orthogonal": metrics.orthogonality,
}
MID = {
    "push_pull": lambda i, t: metrics.push_pull(i, LABELS, t),
    "push_pull_linear": lambda i, t: metrics.push_pull(i, LABELS, t, pull="linear"),
    "align": lambda i, t: metrics.delta_mid_batch(i, LABELS, t),
    "dot_regression": lambda i, t: metrics.dot_regression(i, LABELS, t),
    "frobenius": lambda _, t: metrics.cross_etf_distance(image_means=OTHER, text=t),
    "log": lambda i, t: metrics.log_collapse(i, LABELS, t),
    "anchored": lambda i, t: metrics.dot_regression(i, LABELS, metrics.nearest_etf(t)),
}
# the measure of a report that a step along the term's own gradient must lower
REPORTED = {
    "cosine": lambda _, t: metrics.delta_lcd(t),
    "push_pull": lambda i, t: metrics.delta_mid(class_means(i), t),
    "align": lambda i, t: metrics.delta_mid(class_means(i), t),
}


def class_means(image):
    unit = torch.nn.functional.normalize(image, dim=1)
    return torch.stack([unit[LABELS == k].mean(dim=0) for k in range(K)])


def found(objective, image=IMAGE, text=TEXT, reference=REFERENCE):
    return npt_terms(objective, image, LABELS, text, reference)


def cpt(text=TEXT):
    of = Objective(regulariser="cpt")
    return cpt_terms(of, IMAGE, LABELS, text, frozen_text=OTHER, clusters=CLUSTERS)


def test_every_form_is_a_call_of_the_metrics_on_the_same_features():
    assert set(LCD) == set(LCD_FORMS)
    assert set(MID) == set(MID_FORMS)
    for form, measure in LCD.items():
        weight, value = found(Objective(lcd_weight=0.3, lcd_form=form))["lcd"]
        assert (weight, float(value)) == (0.3, float(measure(TEXT))), form
    for form, measure in MID.items():
        weight, value = found(Objective(mid_weight=0.2, mid_form=form))["mid"]
        assert (weight, float(value)) == (0.2, float(measure(IMAGE, TEXT))), form


def test_centred_forms_are_the_metrics_between_centred_features():
    terms = found(Objective(lcd_weight=1, mid_weight=1, centred=True))
    assert float(terms["lcd"][1]) == float(metrics.delta_lcd(TEXT, power=2, centred=True))
    wanted = metrics.push_pull(IMAGE, LABELS, TEXT, image_mean=CENTRE)
    assert float(terms["mid"][1]) == float(wanted)
    cross = found(Objective(mid_weight=1, mid_form="frobenius", centred=True))["mid"][1]
    assert float(cross) == float(
        metrics.cross_etf_distance(image_means=OTHER, text=TEXT, center="both")
    )


def test_a_fixed_frame_is_the_anchor_of_both_terms():
    reference = Reference(anchor=FRAME)
    forms = Objective(
        lcd_weight=1, mid_weight=1, lcd_form="anchored", mid_form="anchored", anchor="fixed"
    )
    terms = found(forms, reference=reference)
    assert float(terms["lcd"][1]) == float(metrics.anchored(TEXT, FRAME))
    assert float(terms["mid"][1]) == float(metrics.dot_regression(IMAGE, LABELS, FRAME))


def test_classes_not_seen_are_no_part_of_the_class_mean_form():
    seen = torch.tensor([True, False, True, True])
    empty = torch.where(seen[:, None], OTHER, 0)
    for centred, center in ((False, "none"), (True, "both")):
        term = found(
            Objective(mid_weight=1, mid_form="frobenius", centred=centred),
            reference=Reference(empty, seen, None),
        )["mid"][1]
        wanted = metrics.cross_etf_distance(image_means=OTHER[seen], text=TEXT[seen], center=center)  # pyright: ignore
        assert float(term) == float(wanted)
    assert torch.equal(Reference(empty, seen, None).centre, OTHER[seen].mean(dim=0))


def test_cpts_three_losses_are_the_metrics_with_its_weights():
    wanted = {
        "tetf": (0.25, float(metrics.cpt_tetf(TEXT, CLUSTERS))),
        "cc": (0.15, float(metrics.cpt_cc(IMAGE, LABELS, TEXT))),
        "rs": (0.10, float(metrics.cpt_rs(TEXT, OTHER))),
    }
    assert {name: (w, float(v)) for name, (w, v) in cpt().items()} == wanted


def test_text_features_of_every_image_have_the_geometry_of_their_mean_and_each_its_own_pull():
    each = normalise_rows(TEXT + 0.1 * rows(B, K, D))
    terms = found(Objective(lcd_weight=1, mid_weight=1), text=each)
    mean = unit_text(each)
    assert float(terms["lcd"][1]) == pytest.approx(float(metrics.delta_lcd(mean, power=2)))
    alone = [
        float(metrics.push_pull(IMAGE[i : i + 1], LABELS[i : i + 1], each[i])) for i in range(B)
    ]
    by_class = [
        [v for v, k in zip(alone, LABELS.tolist(), strict=True) if k == c] for c in range(K)
    ]
    wanted = sum(sum(values) / len(values) for values in by_class) / K
    assert float(terms["mid"][1]) == pytest.approx(wanted)
    same = TEXT.expand(B, -1, -1)
    for shared, expanded in (
        (
            found(Objective(lcd_weight=1, mid_weight=1)),
            found(Objective(lcd_weight=1, mid_weight=1), text=same),
        ),
        (cpt(), cpt(same)),
    ):
        for name, (_, value) in expanded.items():
            assert float(value) == pytest.approx(float(shared[name][1])), name


@pytest.mark.parametrize(("name", "form"), [*(("lcd", f) for f in LCD), *(("mid", f) for f in MID)])
def test_a_step_of_descent_lowers_the_term_and_the_reported_measure(name, form):
    image, text = IMAGE.clone().requires_grad_(), TEXT.clone().requires_grad_()
    options = {f"{name}_weight": 1.0, f"{name}_form": form}
    before = found(Objective(**options), image, text)[name][1]
    gradients = torch.autograd.grad(before, [image, text], materialize_grads=True)
    with torch.no_grad():
        moved = [v - 1e-3 * g for v, g in zip((image, text), gradients, strict=True)]
        after = found(Objective(**options), moved[0], moved[1])[name][1]
        assert float(after) < float(before.detach())
        if form in REPORTED:
            assert float(REPORTED[form](moved[0], moved[1])) < float(REPORTED[form](image, text))


def test_nothing_is_added_without_weights_or_by_regulariser_none():
    assert found(Objective()) == {}
    assert not Objective().active
    assert not Objective(regulariser="none", lcd_weight=1).active
    assert Objective(mid_weight=0.1).active
    assert Objective(regulariser="cpt").active


def test_only_centred_and_class_mean_forms_of_isomorphism_ask_for_more_images_than_a_batch_has():
    asking = {
        (form, centred)
        for form in MID_FORMS
        for centred in (False, True)
        if not (centred and form in ("align", "anchored"))
        and Objective(mid_weight=1, mid_form=form, centred=centred).remembers
    }
    assert asking == {("frobenius", False)} | {
        (form, True) for form in MID_FORMS if form not in ("align", "anchored")
    }
    assert not Objective(lcd_weight=1, centred=True).remembers
    assert not Objective(mid_weight=1, centred=True, regulariser="none").remembers


BAD = {
    "regulariser": (
        {"regulariser": "nc"},
        r"`regulariser` is 'nc'; expected one of npt, cpt, none",
    ),
    "form": ({"lcd_form": "cos"}, r"`lcd_form` is 'cos'; expected one of cosine, frobenius"),
    "other form": ({"mid_form": "pull"}, r"`mid_form` is 'pull'; expected one of push_pull"),
    "anchor": ({"anchor": "far"}, r"`anchor` is 'far'; expected one of nearest, fixed"),
    "negative": ({"lcd_weight": -1.0}, r"`lcd_weight` is -1.0; expected a number of 0 or more"),
    "nan": ({"mid_weight": float("nan")}, r"`mid_weight` is nan; expected a number"),
    "centred": (
        {"mid_weight": 1.0, "mid_form": "align", "centred": True},
        r"`mid_form` 'align' has no centred form; centred ones: push_pull",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_refusals_name_the_option(case):
    options, message = BAD[case]
    with pytest.raises(DataError, match=message):
        Objective(**options)
