import numpy as np
import torch
from open_clip.tokenizer import SimpleTokenizer
from torch.testing import assert_close

from ncscope.toy.model import (
    END,
    FULL_SIZE,
    START,
    compact_tokens,
    expand_embedding,
    known_pieces,
)

ENCODE = SimpleTokenizer().encode


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


def test_known_rows_stand_in_place_and_unknown_ones_are_small_and_fixed():
    pieces = torch.tensor([3, 700, END])
    rows = torch.randn(3, 16, generator=torch.Generator().manual_seed(0)) + 5
    full = expand_embedding(rows, pieces)
    assert full.shape == (FULL_SIZE, 16)
    assert_close(full[pieces], rows)
    others = torch.ones(FULL_SIZE, dtype=torch.bool).index_fill(0, pieces, False)
    assert_close(full[others].std(), torch.tensor(0.02), atol=1e-4, rtol=0)
    assert_close(expand_embedding(rows, pieces), full)
