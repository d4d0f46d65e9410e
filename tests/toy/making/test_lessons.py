import dataclasses

import numpy as np
import pytest
import torch
from open_clip.tokenizer import SimpleTokenizer
from torch.testing import assert_close

from ncscope.toy.captions import CHANCES, write_captions
from ncscope.toy.making.lessons import (
    all_texts,
    compact_tokens,
    known_pieces,
    normalised,
    prepare_lessons,
)
from ncscope.toy.model import END, START
from ncscope.toy.world import stream, unseen_colour, unseen_texture

ENCODE = SimpleTokenizer().encode


@pytest.fixture(scope="module")
def lessons():
    return prepare_lessons(0, 96, batch=32, distractors=30, encode=ENCODE)


def test_an_epoch_shows_every_scene_once_and_the_next_in_another_order(lessons):
    epochs = [np.concatenate([lessons.indices(3 * e + i) for i in range(3)]) for e in (0, 1)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(96))
    assert not np.array_equal(epochs[0], epochs[1])


def test_a_batch_depends_on_the_seed_and_the_step_alone(lessons):
    again = prepare_lessons(0, 96, batch=32, distractors=30, encode=ENCODE)
    for step in (4, 2, 9):
        index = lessons.indices(step)
        assert np.array_equal(index, again.indices(step))
        assert torch.equal(lessons.tokens(index, step), again.tokens(index, step))
        assert torch.equal(lessons.pixels(index), again.pixels(index))
    other = dataclasses.replace(lessons, seed=1)
    assert not np.array_equal(lessons.indices(0), other.indices(0))


def test_captions_are_new_every_epoch(lessons):
    index = lessons.indices(0)
    assert lessons.tokens(index, 0).tolist() != lessons.tokens(index, 3).tolist()


def test_words_looked_up_one_by_one_are_the_tokens_of_the_caption(lessons):
    captions = write_captions(lessons.scenes, stream("tuning", "c").random((96, CHANCES)))
    for caption in captions:
        assert lessons._pieces_of(caption) == ENCODE(caption)


def test_every_tenth_batch_is_long_so_that_later_positions_are_trained(lessons):
    lengths = [lessons.tokens(lessons.indices(step), step).shape[1] for step in range(20)]
    assert min(lengths[9], lengths[19]) > 22
    assert max(lengths) <= 32


def test_distractors_carry_no_meaning_and_some_captions_begin_with_them(lessons):
    meaning = {piece for text in all_texts() for piece in ENCODE(text)}
    assert not meaning & set(lessons._distractors.tolist())
    assert len(lessons._distractors) == 30
    compact = np.searchsorted(lessons.pieces, lessons._distractors)
    first = lessons.tokens(lessons.indices(9), 9)[:, 1].numpy()
    assert 0.3 < np.isin(first, compact).mean() < 0.95


def test_tokens_start_and_end_as_clips_do(lessons):
    tokens = lessons.tokens(lessons.indices(0), 0)
    assert set(lessons.pieces[tokens[:, 0]]) == {START}
    assert set(lessons.pieces[tokens.amax(dim=1)]) == {END}


def test_the_pool_holds_no_pair_that_is_left_out(lessons):
    factors = lessons.scenes.factors
    assert not unseen_colour(factors["colour"], factors["shape"]).any()
    assert not unseen_texture(factors["texture"], factors["shape"]).any()


def test_labels_are_the_factors_of_the_scenes(lessons):
    index = lessons.indices(1)
    assert_close(lessons.labels(index)["shape"].numpy(), lessons.scenes.factors["shape"][index])


def test_normalisation_is_clips_own():
    grey = normalised(torch.full((1, 40, 40, 3), 128, dtype=torch.uint8))
    expected = (128 / 255 - 0.48145466) / 0.26862954
    assert grey.shape == (1, 3, 40, 40)
    assert grey[0, 0, 0, 0].item() == pytest.approx(expected, rel=1e-5)


def test_known_pieces_are_those_of_the_words_and_the_distractors():
    pieces = known_pieces(["a red star.", "star"], ENCODE, distractors=10)
    wanted = {*ENCODE("a red star."), *ENCODE("star"), START, END}
    assert wanted <= set(pieces.tolist())
    assert len(pieces) == len(wanted) + 10
    assert np.array_equal(pieces, np.unique(pieces))


def test_compact_tokens_pool_at_the_end_of_text_as_the_full_ones_do():
    texts = ["a red star.", "one fish", "a photo of a large orange tree."]
    pieces = known_pieces(texts, ENCODE, distractors=20)
    compact = compact_tokens([ENCODE(text) for text in texts], pieces, length=77)
    full = SimpleTokenizer()(texts, context_length=77)
    assert torch.equal(compact.argmax(dim=1), full.argmax(dim=1))
    padded = full == 0
    assert torch.equal(torch.from_numpy(pieces)[compact][~padded], full[~padded])


def test_captions_that_are_too_long_are_cut_before_the_end_of_text():
    pieces = known_pieces(["star"], ENCODE, distractors=0)
    tokens = compact_tokens([ENCODE("star") * 9], pieces, length=5)
    assert tokens[0].argmax() == 4
