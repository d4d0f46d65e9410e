"""What MMRL's and MMRL++'s files do not hold: blocks, mixture of blocks, and which image feature.

It is in log.txt, or said by `--setting`. beta mixes an upper block's tokens with those of the block
below; the authors choose it by data set, and by another list where a run is tested on another data
set than its own. The feature is

| TASK in log.txt | class token and tokens (fused) | class token alone |
|---|---|---|
| B2N | base classes | new classes, or all |
| FS | always | |
| CD | ImageNet | every other data set |
"""

import re

from ncscope.errors import CheckpointError
from ncscope.zoo.learners.said import elsewhere, meant, said, said_number, unsaid
from ncscope.zoo.settings import Settings

IMAGE_FEATURES = ("fused", "class", "representation")
_USUAL_BETA = 0.9  # the authors' default
_USUAL_SHARE = 0.7  # of the class token's feature in the fused one, the authors' default
_TASKS = ("B2N", "FS", "CD")
# beta on a run's own data set, and where it is another one's
_BETAS = {
    "ImageNet": (0.9, 0.9),
    "FGVCAircraft": (0.9, 0.9),
    "UCF101": (0.9, 0.9),
    "DescribableTextures": (0.9, 0.5),
    "OxfordPets": (0.7, 0.6),
    "StanfordCars": (0.7, 0.3),
    "Caltech101": (0.6, 0.6),
    "SUN397": (0.5, 0.7),
    "OxfordFlowers": (0.4, 0.4),
    "EuroSAT": (0.2, 0.3),
    "Food101": (0.1, 0.3),
    "ImageNetV2": (0.9, 0.9),
    "ImageNetR": (0.9, 0.9),
    "ImageNetA": (0.9, 0.8),
    "ImageNetSketch": (0.9, 0.7),
}


def blocks_of(settings: Settings, count: int) -> tuple[int, ...]:
    """The blocks with tokens, from 0, rising; log.txt counts them from 1.

    Args:
        count: for how many blocks the file has tokens.

    Raises:
        CheckpointError: nobody says them, or not `count` rising numbers.
    """
    name = _named(settings, "REP_LAYERS")
    text = said(settings, name)
    if text is None:
        what = f"which {count} blocks have representation tokens"
        raise unsaid(settings, what, name, "6,7,...")
    layers = [int(layer) for layer in re.findall(r"\d{1,4}", text)]
    fit = re.fullmatch(r"[\[(]?[\d\s,]*[\])]?", text.strip()) and len(layers) == count
    if not fit or layers != sorted(set(layers)) or layers[0] < 1:
        raise CheckpointError(
            f"{settings.where}: the run's {name} is {text!r}; expected {count} rising numbers from "
            f"1 on, one for each of the file's projections: the authors' code drops words or "
            f"patches otherwise; say it: --setting {name}=6,7,..."
        )
    return tuple(layer - 1 for layer in layers)


def beta_of(settings: Settings) -> tuple[float, tuple[str, ...]]:
    """The share of a block's own tokens, 1 for MMRL, which keeps nothing; and warnings."""
    if settings.method != "MMRL++":
        return 1.0, ()
    name = _named(settings, "BETA")
    given = said_number(settings, name)
    by_caller = settings.origins.get(name) == "option"
    wanted = meant(settings)
    own, crossed = _BETAS.get(wanted or "", (None, None))
    if given is not None and (by_caller or not elsewhere(settings)):
        return given, ()
    if elsewhere(settings) and crossed is not None:
        return crossed, (
            f"beta is {crossed}, which the authors take where a run is tested on {wanted}; "
            f"--setting {name}=NUMBER says otherwise",
        )
    if given is None and own is not None:
        return own, (
            f"beta is neither in the file nor in a log.txt: the authors' {own} for runs on "
            f"{wanted} is taken (on it, but of another data set's run: {crossed}); --setting "
            f"{name}=NUMBER says otherwise",
        )
    value = _USUAL_BETA if given is None else given
    whose = "the authors' default" if given is None else "that of the run's own data set"
    return value, (
        f"beta, by which representation tokens are mixed from block to block, is not known for "
        f"{wanted or 'this run'}: {whose} {value} is taken; --setting {name}=NUMBER says otherwise",
    )


def share_of(settings: Settings) -> tuple[float, tuple[str, ...]]:
    """The class token's share in the fused feature; a warning where it is the default."""
    logged = said_number(settings, _named(settings, "ALPHA"))
    if logged is not None:
        return logged, ()
    return _USUAL_SHARE, (
        f"the class token's share in the fused feature is neither in the file nor in a log.txt: "
        f"the authors' default {_USUAL_SHARE} is taken; --setting {_named(settings, 'ALPHA')}"
        f"=NUMBER says otherwise",
    )


def image_feature_of(settings: Settings) -> tuple[str, str]:
    """Which image feature is used, and why, for the report.

    Raises:
        CheckpointError: an unknown feature, or an unknown task.
    """
    if settings.image_feature is not None:
        kind = settings.image_feature
        if kind not in IMAGE_FEATURES:
            raise CheckpointError(
                f"`image_feature` is {kind!r}; expected {', '.join(IMAGE_FEATURES)}: "
                f"{settings.method} has two image features and their mixture"
            )
        return kind, f"image features are {_long(kind)}, as asked for"
    task = said(settings, "TASK")
    if task is not None and task not in _TASKS:
        raise CheckpointError(
            f"{settings.where}: the run's TASK is {task!r}; expected {', '.join(_TASKS)}; say it: "
            f"--setting TASK=B2N"
        )
    kind, case = _by_task(settings, task)
    return kind, (
        f"image features are {_long(kind)}, as the authors take on {case}; on others it is "
        f"{_long('class' if kind == 'fused' else 'fused')}: --image-feature "
        f"{'class' if kind == 'fused' else 'fused'}"
    )


def _by_task(settings: Settings, task: str | None) -> tuple[str, str]:
    wanted = meant(settings)
    if task == "FS":
        return "fused", "every class of a few-shot run (TASK FS)"
    if task == "CD" or elsewhere(settings):
        if wanted == "ImageNet":
            return "fused", "ImageNet (TASK CD)"
        return "class", f"{wanted or 'another data set'}, where the run is of ImageNet (TASK CD)"
    half = settings.split if settings.split in ("base", "new") else settings.run.get("subsample")
    if half in ("new", "all"):
        return "class", "new classes, or all of a data set (TASK B2N)"
    return "fused", "base classes (TASK B2N)"


def _long(kind: str) -> str:
    return "the class token's alone" if kind == "class" else "those of class token and tokens fused"


def _named(settings: Settings, name: str) -> str:
    """The setting's dotted name: every log of the authors' has both methods' sections."""
    return f"TRAINER.{'MMRLpp' if settings.method == 'MMRL++' else 'MMRL'}.{name}"
