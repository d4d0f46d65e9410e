"""Written prompts: templates by data set, a class name in a sentence, and zero-shot CLIP.

Zero-shot CLIP is the first source of features; what every source offers is `PromptedClip`.

Templates are those of CoOp's zero-shot baseline (adapters, MMRL), and of TCP, which has two lists
of its own: one for its zero-shot features, one whose first four words the learned context replaces.

B batch, C classes, D embedding width, H and W image size. Features come as the towers give them,
not normalised.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.clip.descriptions import Descriptions, counts, described
from ncscope.clip.whole_texts import LongPromptError, of_class
from ncscope.data.known import plain_name
from ncscope.errors import DataError

DEFAULT_TEMPLATE = "a photo of a {}."
_PLAIN = (
    *("StanfordCars", "SUN397", "Caltech101", "ImageNet"),
    *("ImageNetSketch", "ImageNetV2", "ImageNetA", "ImageNetR"),
)
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
_TEXTS_AT_ONCE = 256  # bounds memory: ImageNet's 1000 prompts at once take gigabytes


def class_prompts(classnames: Sequence[str], template: str = DEFAULT_TEMPLATE) -> list[str]:
    """Put each class name into the template, `_` as a space.

    Raises:
        DataError: `template` does not contain `{}` exactly once.
    """
    if template.count("{}") != 1:
        raise DataError(
            f"`template` is {template!r}; expected {{}} exactly once, where the class name goes"
        )
    return [template.replace("{}", spaced(name)) for name in classnames]


def spaced(name: str) -> str:
    """A class name as prompts have it: `_` as a space, single spaces."""
    return " ".join(name.replace("_", " ").split())


def known_data(name: str | None) -> str | None:
    """The data set meant by a name, case, `-`, `_`, spaces aside; None for none of the tables."""
    return {known.casefold(): known for known in TEMPLATES}.get(plain_name(name or ""))


class PromptedClip(Protocol):
    """A frozen CLIP with hand-written or learned prompts. Any object with these members will do.

    `ncscope.extract` takes such an object, or a class that makes one: `extract(source,
    learner=Class)` and `--learner module:Class` call it as `Class(source, backbone)`.
    """

    @property
    def description(self) -> dict[str, Any]:
        """What it is, for the provenance: JSON, with a `warnings` list where there is cause."""
        ...

    @property
    def image_digest(self) -> str:
        """Changes with whatever changes image features: weights, prompts, preprocessing, precision.

        Image features are cached under it.
        """
        ...

    @property
    def device(self) -> torch.device:
        """Where pixels have to be, and where features come out."""
        ...

    @property
    def logit_scale(self) -> Tensor:
        """The multiplier of the cosine itself, not its logarithm: (), 100 for CLIP."""
        ...

    @property
    def preprocess(self) -> Callable[[Image.Image], Tensor]:
        """The inference transform: an RGB image to (3, H, W). Picklable, for worker processes."""
        ...

    def text_features(self, classnames: Sequence[str]) -> Tensor:
        """(C, D), one row a class."""
        ...

    def image_features(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) preprocessed pixels to (B, D)."""
        ...


class ImageConditioned(PromptedClip, Protocol):
    """A learner whose text features depend on the image, such as CoCoOp; `--condition per-image`.

    Its `text_features` are those of one named condition (a mean image, none).
    """

    def text_features_per_image(self, classnames: Sequence[str], image_features: Tensor) -> Tensor:
        """(B, C, D): the text features that each of (B, D) image features brings about."""
        ...


@dataclass(frozen=True, eq=False)
class ZeroShot:
    """A backbone with templates, descriptions of classes, or both; several texts are averaged."""

    backbone: Backbone
    templates: tuple[str, ...] = (DEFAULT_TEMPLATE,)
    descriptions: Descriptions | None = None

    @property
    def description(self) -> dict[str, Any]:
        return {
            "method": "zero-shot",
            **wording(self.templates, self.descriptions),
            "backbone": self.backbone.description,
            "warnings": list(self.backbone.description["warnings"]),
        }

    @property
    def image_digest(self) -> str:
        return self.backbone.image_digest

    @property
    def device(self) -> torch.device:
        return self.backbone.device

    @property
    def logit_scale(self) -> Tensor:
        return self.backbone.logit_scale

    @property
    def preprocess(self) -> Callable[[Image.Image], Tensor]:
        return self.backbone.preprocess

    @torch.no_grad()
    def text_features(self, classnames: Sequence[str]) -> Tensor:
        """(C, D): the prompts' features; several texts of a class as in `ensembled`."""
        return ensembled(self._encode, classnames, self.templates, self.descriptions)

    @torch.no_grad()
    def image_features(self, pixels: Tensor) -> Tensor:
        """(B, D)."""
        return self.backbone.encode_image(pixels)

    def _encode(self, texts: list[str]) -> Tensor:
        starts = range(0, len(texts), _TEXTS_AT_ONCE)
        return torch.cat([self.backbone.encode_text(texts[i : i + _TEXTS_AT_ONCE]) for i in starts])


def wording(templates: Sequence[str], descriptions: Descriptions | None) -> dict[str, Any]:
    """What is written of classes, for a description."""
    said: dict[str, Any] = {"templates": list(templates)} if templates else {}
    return said if descriptions is None else {**said, "descriptions": counts(descriptions)}


def ensembled(
    encode: Callable[[list[str]], Tensor],
    classnames: Sequence[str],
    templates: Sequence[str],
    descriptions: Descriptions | None = None,
) -> Tensor:
    """Return one feature a class: of several texts, the mean of the normalised features.

    One template gives the features as `encode` returns them. Several are averaged as in CLIP
    (Radford et al. 2021, section 3.1.4): each is brought to length 1 first; the mean is not
    normalised again, which no cosine sees.

    Args:
        encode: prompts to (C, D) features.
        descriptions: sentences of each class, averaged with its prompts.

    Returns:
        (C, D).

    Raises:
        DataError: no template, a template without a place for the name, a prompt that is too long,
            a class without descriptions.
    """
    if not templates and descriptions is None:
        raise DataError("`templates` is empty; expected at least one")
    prompts = [class_prompts(classnames, template) for template in templates]  # refuse all first
    if descriptions is not None:
        return described(encode, classnames, descriptions, prompts)

    def encoded(texts: list[str]) -> Tensor:
        try:
            return encode(texts)
        except LongPromptError as error:
            raise of_class(error, texts, classnames) from None

    if len(prompts) == 1:
        return encoded(prompts[0])
    directions = [torch.nn.functional.normalize(encoded(texts), dim=-1) for texts in prompts]
    return torch.stack(directions).mean(dim=0)
