from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch.testing import assert_close

from ncscope.clip.backbone import load_backbone
from ncscope.clip.prompts import ZeroShot
from ncscope.errors import DataError
from ncscope.features import cache
from ncscope.features.cache import cache_folder, cache_path, keep, kept_text, read_cached
from ncscope.features.forward import ImageFeatures
from tests.tiny_clip import VIT, save_folder

FEATURES = ImageFeatures(torch.arange(6.0).reshape(3, 2), torch.tensor([0, 2, 3]))


def test_what_is_kept_is_read_back(tmp_path):
    path = tmp_path / "deep" / "f.safetensors"
    assert keep(path, FEATURES) == []
    found = read_cached(path, num_images=4)
    assert found is not None
    assert_close(found.rows, FEATURES.rows, atol=0, rtol=0)
    assert_close(found.kept, FEATURES.kept, atol=0, rtol=0)


def test_nothing_kept_is_none(tmp_path):
    assert read_cached(tmp_path / "f.safetensors", num_images=4) is None


@pytest.mark.parametrize("position", [0, 40, -1])
def test_a_flipped_bit_anywhere_is_not_trusted(tmp_path, position):
    path = tmp_path / "f.safetensors"
    keep(path, FEATURES)
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    assert read_cached(path, num_images=4) is None


def test_an_entry_of_another_set_or_format_is_not_trusted(tmp_path):
    path = tmp_path / "f.safetensors"
    keep(path, FEATURES)
    assert read_cached(path, num_images=3) is None
    save_file({"image": FEATURES.rows, "kept": FEATURES.kept}, path, {"format": "other"})
    assert read_cached(path, num_images=4) is None
    save_file({"image": FEATURES.rows}, path)
    assert read_cached(path, num_images=4) is None


def test_a_place_that_cannot_be_written_is_a_note(tmp_path):
    (tmp_path / "file").touch()
    [note] = keep(tmp_path / "file" / "f.safetensors", FEATURES)
    assert note.startswith("image features were not kept: ")


def test_the_key_sees_model_and_images(tmp_path):
    paths = {cache_path(tmp_path, model=m, images=i) for m in "ab" for i in "cd"}
    assert len(paths) == 4
    assert cache_path(tmp_path, model="ab", images="c") != cache_path(
        tmp_path, model="a", images="bc"
    )


def test_the_folder_is_the_users_cache_a_name_or_none(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder("auto") == tmp_path / "ncscope"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder("auto") == Path.home() / ".cache" / "ncscope"
    assert cache_folder("off") is None
    assert cache_folder(None) is None
    assert cache_folder(tmp_path) == tmp_path


def test_text_of_many_prompts_is_kept_by_weights_tokens_names_and_templates(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "_WORTH_KEEPING", 4)
    clip = load_backbone(save_folder(tmp_path / "a"))
    others = load_backbone(save_folder(tmp_path / "b", seed=1))
    whole = {**VIT, "text_cfg": {**VIT["text_cfg"], "tokenizer_kwargs": {"clean": "whitespace"}}}
    tokens = load_backbone(save_folder(tmp_path / "c", config=whole))
    object.__setattr__(tokens, "digest", clip.digest)  # the same weights, other tokens
    names, templates = ["Cat", "dog"], ("a {}.", "the {}")
    encoded = []
    plain = ZeroShot.text_features
    monkeypatch.setattr(ZeroShot, "text_features", lambda *said: encoded.append(1) or plain(*said))
    for learner, classnames in (
        (ZeroShot(clip, templates), names),
        (ZeroShot(clip, templates), ["dog", "Cat"]),
        (ZeroShot(clip, (*templates[:1], "my {}")), names),
        (ZeroShot(others, templates), names),
        (ZeroShot(tokens, templates), names),
    ):
        first = kept_text(learner, classnames, folder=tmp_path)
        count = len(encoded)
        assert torch.equal(first, plain(learner, classnames))
        assert torch.equal(first, kept_text(learner, classnames, folder=tmp_path))
        assert len(encoded) == count  # the second time it was read
    assert len(encoded) == len(list((tmp_path / "texts").iterdir())) == 5
    kept_text(ZeroShot(clip, templates[:1]), names, folder=tmp_path)  # made as soon as read
    assert len(list((tmp_path / "texts").iterdir())) == 5
    with pytest.raises(DataError, match=r"class `cat cat"):
        kept_text(ZeroShot(clip, templates), ["cat " * 80, "dog"], folder=tmp_path)
