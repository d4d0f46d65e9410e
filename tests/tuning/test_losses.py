"""What methods add to cross-entropy, against loops over images and classes."""

import math

import pytest
import torch
import torch.nn.functional as F

from ncscope.errors import DataError
from ncscope.tuning.losses import (
    classification_loss,
    epoch_weights,
    logits_of,
    own_terms,
    without_conflict,
)
from ncscope.tuning.values import LOSSES, Recipe

GENERATOR = torch.Generator().manual_seed(4)
IMAGE, NEAR = torch.randn(2, 5, 8, generator=GENERATOR, dtype=torch.float64)
TEXT, WRITTEN = torch.randn(2, 3, 8, generator=GENERATOR, dtype=torch.float64)
SCALE = torch.tensor(20.0, dtype=torch.float64)


def terms(method, text=TEXT):
    return own_terms(method, IMAGE, text, scale=SCALE, frozen_text=WRITTEN, frozen_image=NEAR)


def unit(row):
    return row / math.sqrt(float(row @ row))


def distribution(image, text):
    scores = [math.exp(20 * float(unit(image) @ unit(row))) for row in text]
    return [score / sum(scores) for score in scores]


def divergence(images, learned_images, text):
    """Sum over images of KL(frozen || learned)."""
    total = 0.0
    for image, learned in zip(images, learned_images, strict=True):
        pairs = zip(distribution(image, WRITTEN), distribution(learned, text), strict=True)
        total += sum(p * math.log(p / q) for p, q in pairs)
    return total


@pytest.mark.parametrize("method", ["kgcoop", "tcp"])
def test_knowledge_is_eight_times_one_minus_the_mean_cosine_with_written_prompts(method):
    weight, value = terms(method)["knowledge"]
    cosines = [float(unit(a) @ unit(b)) for a, b in zip(TEXT, WRITTEN, strict=True)]
    assert weight == 8
    assert float(value) == pytest.approx(1 - sum(cosines) / 3)
    assert float(terms(method, WRITTEN)["knowledge"][1]) == pytest.approx(0, abs=1e-12)


def test_promptsrc_stays_near_text_image_and_logits():
    found = terms("promptsrc")
    text = [abs(float(d)) for a, b in zip(TEXT, WRITTEN, strict=True) for d in unit(a) - unit(b)]
    image = [abs(float(d)) for a, b in zip(IMAGE, NEAR, strict=True) for d in unit(a) - unit(b)]
    wanted = {
        "scl_text": (25, sum(text) / len(text)),
        "scl_image": (10, sum(image) / len(image)),
        "scl_logits": (1, divergence(NEAR, IMAGE, TEXT) / 15),
    }
    assert {k: (w, pytest.approx(float(v))) for k, (w, v) in found.items()} == wanted


def test_prograds_general_knowledge_is_the_mean_divergence_from_zero_shot():
    weight, value = terms("prograd")["general"]
    assert weight == 1
    assert float(value) == pytest.approx(divergence(IMAGE, IMAGE, TEXT) / 5)


@pytest.mark.parametrize("method", ["coop", "cocoop", "maple", "vpt", "ivlp", "taskres"])
def test_other_methods_add_nothing_even_where_frozen_text_is_at_hand(method):
    assert terms(method) == {}


def test_a_gradient_that_agrees_with_general_knowledge_is_left_alone():
    learning, general = [torch.tensor([1.0, 2.0])], [torch.tensor([3.0, 0.0])]
    torch.testing.assert_close(without_conflict(learning, general), learning)


def test_a_gradient_against_general_knowledge_is_made_orthogonal_to_it_over_all_leaves():
    learning = [torch.tensor([-1.0, 2.0]), torch.tensor([[0.5]])]
    general = [torch.tensor([3.0, 0.0]), torch.tensor([[1.0]])]
    got = without_conflict(learning, general)
    product = sum(float((a * b).sum()) for a, b in zip(got, general, strict=True))
    assert product == pytest.approx(0, abs=1e-6)
    # -2.5 / 10 of the general gradient is taken out
    torch.testing.assert_close(got, [torch.tensor([-0.25, 2.0]), torch.tensor([[0.75]])])


def test_no_general_gradient_changes_nothing():
    learning = [torch.tensor([-1.0, 2.0])]
    torch.testing.assert_close(without_conflict(learning, [torch.zeros(2)]), learning)


def test_promptsrcs_weights_are_a_gaussian_in_epochs_however_many_there_are():
    for epochs, mean, std in ((20, 15, 1), (50, 30, 30), (50, 45, 5), (7, 6, 10)):
        bell = [math.exp(-(((epoch - mean) / std) ** 2) / 2) for epoch in range(1, epochs + 1)]
        wanted = [value / sum(bell) for value in bell]
        assert epoch_weights(epochs, mean, std) == pytest.approx(wanted)
    # numbers of the authors' settings
    assert epoch_weights(20)[14] == pytest.approx(0.398942, abs=1e-6)
    assert epoch_weights(20, 6, 10)[0] == pytest.approx(0.055402, abs=1e-6)
    assert epoch_weights(50, 45, 5)[49] == pytest.approx(0.055964, abs=1e-6)
    assert epoch_weights(5)[4] == pytest.approx(0.999972, abs=1e-6)


def test_a_mean_far_behind_the_last_epoch_leaves_that_epoch():
    assert epoch_weights(5, 600.0) == pytest.approx([0, 0, 0, 0, 1], abs=1e-12)
    assert epoch_weights(1) == [1]


def test_weights_of_the_methods_terms_are_the_recipes():
    recipe = Recipe(0.1, 1, 1, knowledge_weight=3.0, scl_text=4.0, scl_image=5.0, scl_logits=6.0)
    for method, wanted in (("kgcoop", [3.0]), ("tcp", [3.0]), ("promptsrc", [4.0, 5.0, 6.0])):
        found = own_terms(
            *(method, IMAGE, TEXT), scale=SCALE, frozen_text=WRITTEN, frozen_image=NEAR,
            recipe=recipe,
        )  # fmt: skip
        assert [weight for weight, _ in found.values()] == wanted


LOGITS = torch.randn(12, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
LABELS = torch.tensor([0, 0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 3])
COUNTS = torch.tensor([6, 3, 2, 1])


@pytest.mark.parametrize("loss", LOSSES)
def test_equal_counts_leave_plain_cross_entropy(loss):
    got = classification_loss(LOGITS, LABELS, torch.full((4,), 5), loss=loss, strength=2.0)
    torch.testing.assert_close(got, F.cross_entropy(LOGITS, LABELS))


def test_weighted_cross_entropy_over_the_training_set_is_the_mean_over_classes():
    each = -LOGITS.log_softmax(dim=1)[range(12), LABELS]
    wanted = torch.stack([each[LABELS == k].mean() for k in range(4)]).mean()
    got = classification_loss(LOGITS, LABELS, COUNTS, loss="balanced")
    torch.testing.assert_close(got, wanted)


def test_balanced_softmax_weighs_each_class_by_its_count_in_the_denominator():
    scores = LOGITS.exp() * COUNTS
    wanted = -(scores / scores.sum(dim=1, keepdim=True))[range(12), LABELS].log().mean()
    got = classification_loss(LOGITS, LABELS, COUNTS, loss="balanced-softmax", strength=7.0)
    torch.testing.assert_close(got, wanted)


def test_balanced_softmax_is_logit_adjustment_of_strength_one():
    got = classification_loss(LOGITS, LABELS, COUNTS, loss="logit-adjusted", strength=1.0)
    wanted = classification_loss(LOGITS, LABELS, COUNTS, loss="balanced-softmax")
    torch.testing.assert_close(got, wanted)
    none = classification_loss(LOGITS, LABELS, COUNTS, loss="logit-adjusted", strength=0.0)
    torch.testing.assert_close(none, F.cross_entropy(LOGITS, LABELS))


def test_logits_are_scaled_cosines_with_shared_or_own_text_features():
    generator = torch.Generator().manual_seed(2)
    image, text = torch.randn(5, 8, generator=generator), torch.randn(5, 3, 8, generator=generator)
    own = logits_of(image, text, torch.tensor(30.0))
    for i in range(5):
        cosines = F.cosine_similarity(image[i].expand(3, -1), text[i], dim=1)
        torch.testing.assert_close(own[i], 30 * cosines)
        torch.testing.assert_close(logits_of(image, text[i], torch.tensor(30.0))[i], own[i])


def test_an_unknown_loss_lists_the_known_ones():
    with pytest.raises(DataError, match=r"`loss` is 'focal'; expected one of ce, balanced"):
        classification_loss(LOGITS, LABELS, COUNTS, loss="focal")
