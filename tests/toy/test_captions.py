import numpy as np
import pytest

from ncscope.toy.captions import CHANCES, plural, with_article, write_captions
from ncscope.toy.world import BACKGROUNDS, COLOURS, COUNTS, SHAPES, TEXTURES, draw_scenes, stream


@pytest.fixture(scope="module")
def said():
    generator = stream("tuning", "captions")
    scenes = draw_scenes(generator, 3000)
    return scenes, write_captions(scenes, generator.random((len(scenes), CHANCES)))


def words_of(caption):
    return set(caption.replace(".", "").replace(",", "").split())


@pytest.mark.parametrize(
    ("factor", "names"),
    [("colour", tuple(COLOURS)), ("texture", TEXTURES), ("shape", SHAPES)],
)
def test_a_caption_says_nothing_that_is_not_there(said, factor, names):
    scenes, captions = said
    forms = {name: {name, plural(name)} for name in names}
    for value, caption in zip(scenes.factors[factor].tolist(), captions, strict=True):
        # words that also occur in other roles: a plain cloth, a cloud, white snow, a fir tree
        words = words_of(caption) - {"plain", "white", "blue"}
        for name in names:
            if name != names[value]:
                assert not words & (forms[name] - forms[names[value]]), caption


@pytest.mark.parametrize(
    ("factor", "names", "share"),
    [("shape", SHAPES, 0.80), ("colour", tuple(COLOURS), 0.43), ("texture", TEXTURES, 0.36)],
)
def test_captions_name_a_factor_about_as_often_as_intended(said, factor, names, share):
    scenes, captions = said
    named = [
        bool(words_of(caption) & {names[value], plural(names[value])})
        for value, caption in zip(scenes.factors[factor].tolist(), captions, strict=True)
    ]
    assert np.mean(named) == pytest.approx(share, abs=0.06)


def test_several_objects_come_with_their_number(said):
    scenes, captions = said
    count = scenes.factors["count"]
    numbered = [
        COUNTS[value] in words_of(caption)
        for value, caption in zip(count.tolist(), captions, strict=True)
        if value > 0
    ]
    assert np.mean(numbered) == pytest.approx(0.88, abs=0.05)


def test_every_background_is_named_sometimes(said):
    _, captions = said
    for name in BACKGROUNDS:
        assert any(caption.rstrip(".").endswith(name) for caption in captions)


def test_captions_follow_from_the_scene_and_the_chances(said):
    scenes, captions = said
    chances = stream("tuning", "again").random((4, CHANCES))
    few = scenes.take(slice(0, 4))
    assert write_captions(few, chances) == write_captions(few, chances)
    assert write_captions(few, chances) != captions[:4]


def test_no_caption_has_stray_spaces_or_articles(said):
    _, captions = said
    for caption in captions:
        assert caption == " ".join(caption.split())
        assert not any(f" a {vowel}" in caption for vowel in "aeio"), caption


def test_articles_and_plurals():
    assert with_article("orange star") == "an orange star"
    assert with_article("red star") == "a red star"
    assert [plural(noun) for noun in ("star", "fish", "leaf", "cross")] == [
        "stars",
        "fish",
        "leaves",
        "crosses",
    ]
