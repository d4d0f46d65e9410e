import pytest
import torch
import torch.nn.functional as F

from ncscope.errors import DataError
from ncscope.tuning.losses import LOSSES, classification_loss, logits_of

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
