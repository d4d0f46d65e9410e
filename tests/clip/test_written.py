"""Written texts by their shared beginning against the model's own pass over all positions."""

from typing import Any

import open_clip
import pytest
import torch
from torch.testing import assert_close

from ncscope.clip import written
from ncscope.clip.written import encode_ids
from tests.clip.test_plain import WIDE
from tests.tiny_clip import VIT, tiny_model

TOKENIZER = open_clip.SimpleTokenizer()
TEXTS = {
    "a template": ["a photo of a cat.", "a photo of a slow loris.", "a photo of a caterpillar."],
    "the name first": ["cat texture.", "slow loris texture.", "cat."],
    "one text": ["a photo of a cat."],
    "alike": ["a cat", "a cat"],
    "one begins another": ["a cat", "a cat and a dog", ""],
    "all positions": ["a cat", " ".join(["cat"] * 75)],
}


@pytest.mark.parametrize("texts", TEXTS.values(), ids=TEXTS)
def test_features_are_those_of_the_full_pass(texts, monkeypatch):
    model, ids = tiny_model(), TOKENIZER(texts)
    wanted = model.encode_text(ids)
    monkeypatch.setattr(model, "forward", None)  # the model itself is not asked
    called = []
    monkeypatch.setattr(type(model), "encode_text", lambda *_: called.append(1))
    assert_close(encode_ids(model, ids), wanted, atol=1e-6, rtol=1e-5)
    assert not called


def test_the_shared_beginning_is_encoded_once(monkeypatch):
    seen = []
    plain = written.encode_prompts
    monkeypatch.setattr(
        written,
        "encode_prompts",
        lambda tower, prompts: seen.append(prompts) or plain(tower, prompts),
    )
    encode_ids(tiny_model(), TOKENIZER(TEXTS["a template"]))
    assert seen[0].shared.shape == (5, 64)  # start-of-text, a, photo, of, a
    assert seen[0].lengths.tolist() == [3, 5, 3]  # name, full stop, end-of-text
    assert seen[0].own.shape == (3, 5, 64)


def test_another_tower_or_a_watched_one_encodes_its_own_way(monkeypatch):
    ids = TOKENIZER(TEXTS["a template"])
    monkeypatch.setattr(written, "encode_prompts", None)  # whoever calls it fails
    free = {**VIT, "text_cfg": {**VIT["text_cfg"], "no_causal_mask": True, "pool_type": "last"}}
    other = tiny_model(free)
    assert torch.equal(encode_ids(other, ids), other.encode_text(ids))
    model = tiny_model()
    norm: Any = model.ln_final
    seen = []
    handle = norm.register_forward_hook(lambda *_: seen.append(1))
    encode_ids(model, ids)
    handle.remove()
    assert seen

    class Mine(open_clip.CLIP):
        def encode_text(self, text, normalize=False):  # noqa: ARG002
            return torch.ones(len(text), 32)

    assert encode_ids(Mine(**WIDE), ids).sum() == 3 * 32
