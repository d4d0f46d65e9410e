"""Prompt templates by data set, as the authors of prompt learners write them.

Sources: CoOp's zero-shot baseline (adapters, MMRL), and TCP, which has two lists of its own: one
for its zero-shot features, one whose first four words the learned context replaces.
"""

from ncscope.clip.zoo_prompts import DEFAULT_TEMPLATE

_PLAIN = ("StanfordCars", "SUN397", "Caltech101", "ImageNet")
_PLAIN += ("ImageNetSketch", "ImageNetV2", "ImageNetA", "ImageNetR")

TEMPLATES = {
    **dict.fromkeys(_PLAIN, DEFAULT_TEMPLATE),
    "OxfordPets": "a photo of a {}, a type of pet.",
    "OxfordFlowers": "a photo of a {}, a type of flower.",
    "FGVCAircraft": "a photo of a {}, a type of aircraft.",
    "DescribableTextures": "{} texture.",
    "EuroSAT": "a centered satellite photo of {}.",
    "Food101": "a photo of {}, a type of food.",
    "UCF101": "a photo of a person doing {}.",
}
TCP_ZERO_SHOT = {
    **TEMPLATES,
    "FGVCAircraft": "a photo of an aircraft {}.",
    "DescribableTextures": "a photo of a {}, a type of texture.",
    "Food101": "a photo of a {}, a type of food.",
}
_FOUR = "X X X X {}"  # the words do not matter: the context replaces them
TCP_PROMPTS = {
    **dict.fromkeys(TEMPLATES, f"{_FOUR}."),
    "OxfordPets": f"{_FOUR}, a type of pet.",
    "OxfordFlowers": f"{_FOUR}, a type of flower.",
    "FGVCAircraft": f"{_FOUR}, a type of aircraft.",
    "DescribableTextures": f"{_FOUR} texture.",
    "StanfordCars": f"{_FOUR}, a type of car",
    "Food101": f"{_FOUR}, a type of food.",
    "UCF101": "X X X X person doing {}.",
}
IMAGENET_SEVEN = (
    "itap of a {}.",
    "a bad photo of the {}.",
    "a origami {}.",
    "a photo of the large {}.",
    "a {} in a video game.",
    "art of the {}.",
    "a photo of the small {}.",
)


def known_data(name: str | None) -> str | None:
    """The data set meant by a name, case, `-`, `_`, spaces aside; None for none of the tables."""
    plain = "".join(letter for letter in (name or "").casefold() if letter not in "-_ ")
    return {known.casefold(): known for known in TEMPLATES}.get(plain)
