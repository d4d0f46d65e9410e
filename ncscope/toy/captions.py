"""What is said of a toy scene: captions in plain English that name some of its factors."""

from collections.abc import Iterator

import numpy as np

from ncscope.toy.world import (
    BACKGROUNDS,
    COLOURS,
    COUNTS,
    PLACES,
    SHAPES,
    STYLES,
    TEXTURES,
    Scenes,
)

CHANCES = 22  # uniform numbers a caption

_PLURALS = {"fish": "fish", "leaf": "leaves", "cross": "crosses", "box": "boxes"}
_ANY_THING = ("object", "thing", "shape", "item")
_OTHER_WORDS = {  # said instead one time in eight
    "circle": "disc",
    "oval": "ellipse",
    "drop": "raindrop",
    "bolt": "lightning bolt",
    "boat": "sailboat",
    "cup": "mug",
    "tree": "fir tree",
    "gear": "cogwheel",
    "gray": "grey",
    "purple": "violet",
    "cyan": "turquoise",
    "striped": "banded",
    "dotted": "spotted",
    "checkered": "chequered",
    "plain": "solid",
    "hollow": "empty",
    "large": "big",
    "small": "little",
    "wood": "wooden boards",
    "water": "the sea",
    "sky": "a blue sky",
    "brick": "a brick wall",
    "snow": "white snow",
    "forest": "a forest",
    "stone": "rock",
    "tiles": "a tiled floor",
    "cloth": "a plain cloth",
}
_OPENINGS = {
    "photo": ("a photo of", "a good photo of", "a close-up photo of", "a bright photo of"),
    "cartoon": ("a cartoon of", "a comic of", "a clip art of", "a cartoon drawing of"),
    "sketch": ("a sketch of", "a pencil sketch of", "a pencil drawing of", "a faint sketch of"),
    "night": ("a night photo of", "a dark photo of", "a photo at night of", "a dim photo of"),
}
_ANY_OPENING = ("a photo of", "a picture of", "an image of", "", "a photo of", "this is")
_WHERE = {
    "centre": ("in the centre", "in the middle", "at the centre"),
    "left": ("on the left", "on the left side", "to the left"),
    "right": ("on the right", "on the right side", "to the right"),
    "top": ("at the top", "near the top", "on top"),
    "bottom": ("at the bottom", "near the bottom", "at the base"),
}


def plural(noun: str) -> str:
    """The plural of a shape's name."""
    return _PLURALS.get(noun, noun + "s")


def with_article(phrase: str) -> str:
    """`a` or `an` before a phrase, by its first letter."""
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def write_captions(scenes: Scenes, chances: np.ndarray) -> list[str]:
    """One caption a scene.

    A caption names the noun nine times in ten, colour about one time in two, texture, size, place
    and background less often.

    Args:
        chances: (N, CHANCES) uniform numbers that decide what is said and how.
    """
    columns = {name: values.tolist() for name, values in scenes.factors.items()}
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return [_caption(scene, iter(row)) for scene, row in zip(rows, chances.tolist(), strict=True)]


def _caption(scene: dict[str, int], chance: Iterator[float]) -> str:
    opening = _opening(STYLES[scene["style"]], chance)
    stop = "." if next(chance) < 0.5 else ""
    ground = _say(BACKGROUNDS[scene["background"]], chance)
    if next(chance) < 0.04:
        return f"{opening} {ground}".strip() + stop
    thing = _thing(scene, chance)
    placed = scene["count"] == 0 and scene["size"] < 2
    if next(chance) < 0.45 and placed:
        thing += " " + _one_of(_WHERE[PLACES[scene["place"]]], next(chance))
    if next(chance) < 0.24:
        thing += (" on " if next(chance) < 0.7 else " in front of ") + ground
    return f"{opening} {thing}".strip() + stop


def _opening(style: str, chance: Iterator[float]) -> str:
    if next(chance) < 0.6:
        return _one_of(_OPENINGS[style], next(chance))
    return _one_of(_ANY_OPENING, next(chance))


def _thing(scene: dict[str, int], chance: Iterator[float]) -> str:
    """The noun phrase: number or article, size, colour and texture, noun."""
    colour = _say(tuple(COLOURS)[scene["colour"]], chance) if next(chance) < 0.48 else ""
    texture = _say(TEXTURES[scene["texture"]], chance) if next(chance) < 0.40 else ""
    pair = [colour, texture] if next(chance) < 0.5 else [texture, colour]
    pair = [word for word in pair if word]
    noun = _say(SHAPES[scene["shape"]], chance)
    vague = next(chance)
    noun = noun if vague < 0.9 else _one_of(_ANY_THING, (vague - 0.9) * 10)
    several, how_many = scene["count"] > 0, next(chance)
    noun = plural(noun) if several else noun
    after = ""
    if pair and next(chance) < 0.10:
        after = f" that {'are' if several else 'is'} {' and '.join(pair)}"
        pair = []
    elif not several and next(chance) < 0.05:
        after = ", a type of shape"
    size = ""
    if not several and next(chance) < 0.35:
        size = ("small", "medium", _say("large", chance))[scene["size"]]
    phrase = " ".join([*([size] if size else []), *pair, noun]) + after
    if several:
        return f"{COUNTS[scene['count']] if how_many < 0.92 else 'some'} {phrase}"
    if how_many < 0.14:
        return f"{'one' if how_many < 0.08 else 'the'} {phrase}"
    return phrase if how_many < 0.18 else with_article(phrase)


def _say(word: str, chance: Iterator[float]) -> str:
    """The word, or one time in eight another word for it."""
    other = next(chance) < 0.125
    return _OTHER_WORDS.get(word, word) if other else word


def _one_of(options: tuple[str, ...], chance: float) -> str:
    return options[int(chance * len(options))]
