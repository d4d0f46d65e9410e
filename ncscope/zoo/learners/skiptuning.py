"""SkipTuning: both towers tuned from a block upwards, without prompts (Wu et al. 2025).

arXiv:2412.11509. Its file holds both towers whole, with their vocabulary; the features are plain
CLIP's with these weights, and the written prompt of the data set, of a list of the authors' own.
Also the FinetuneCLIP baseline of the same authors, which may hold one tower.
"""

from collections.abc import Mapping

from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.clip.prompts import DEFAULT_TEMPLATE
from ncscope.zoo.learners.learner import Learner, Sides, build
from ncscope.zoo.learners.parts import written_text
from ncscope.zoo.settings import Settings

TEMPLATES_OF_SKIPTUNING = {
    **dict.fromkeys(("ImageNet", "ImageNetV2", "SUN397"), DEFAULT_TEMPLATE),
    **dict.fromkeys(("Caltech101", "DescribableTextures"), "itap of a {}."),
    "ImageNetSketch": "a sketch of a {}.",
    "ImageNetA": "a bad photo of a {}.",
    "ImageNetR": "a rendition of a {}.",
    "EuroSAT": "a centered satellite photo of a {}.",
    "FGVCAircraft": "a bright photo of a {}, a type of aircraft.",
    "Food101": "a photo of the nice {}.",
    "OxfordFlowers": "a close-up photo of a {}.",
    "OxfordPets": "a bad photo of a {}, a type of pet.",
    "StanfordCars": "a photo of the {}, a type of car.",
    "UCF101": "a photo of a {}, a type of sport.",
}


def load_skiptuning(
    _tensors: Mapping[str, Tensor], backbone: Backbone, settings: Settings
) -> Learner:
    """A learner of the tuned towers, which `backbone` already has: they are always the file's.

    Raises:
        CheckpointError: no data set and no template named.
    """
    text, facts = written_text(backbone, settings, TEMPLATES_OF_SKIPTUNING)
    return build(backbone, settings, Sides(text, facts=facts))
