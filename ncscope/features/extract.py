"""Features of a prompt learner on a data set: the forward passes, done once and kept.

N samples, C classes, D width.
"""

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ncscope.clip.backbone import Backbone
from ncscope.clip.prompts import PromptedClip
from ncscope.data.images import ImageSet
from ncscope.data.objects import Indexed
from ncscope.features.bundle import Features
from ncscope.features.cache import cache_folder, kept_or_encoded
from ncscope.features.forward import with_direction
from ncscope.features.learned_text import (
    frozen_text,
    in_trained_order,
    text_after_images,
    text_before_images,
    trained_classes,
)
from ncscope.features.processes import ALONE, Spread, own_device
from ncscope.features.sources import (
    filled_options,
    open_backbone,
    open_data,
    open_source,
    toy_defaults,
    unused_options,
    zero_shot_templates,
)
from ncscope.features.third_party import LearnerClass
from ncscope.toy.model import name_warnings
from ncscope.writing import __version__
from ncscope.zoo.settings import LearnerOptions, with_facts


@dataclass(frozen=True, eq=False)
class Preview:
    """The picture of row i of the image features, a `PIL.Image.Image` in RGB.

    `load` loads image j of the data set, `kept` says which j each row is. DataError where the
    file cannot be read any more.
    """

    load: Callable[[int], Any]
    kept: tuple[int, ...]

    def __call__(self, row: int) -> Any:
        return self.load(self.kept[row])


def extract(
    source: str | Path | PromptedClip,
    *,
    data: str | Path | ImageSet | Indexed,
    backbone: str | Path | Backbone = "auto",
    pretrained: str | None = None,
    template: str | Sequence[str] | None = None,
    classnames: Sequence[str] | None = None,
    split: str = "all",
    part: str | None = None,
    device: str = "auto",
    precision: str = "fp32",
    batch_size: int = 64,
    workers: int | None = None,
    skip_bad: bool = False,
    cache: str | Path | None = "auto",
    trust_backbone: bool = False,
    seed: int | None = None,
    progress: Callable[[int, int], object] | None = None,
    options: LearnerOptions | None = None,
    learner: LearnerClass | None = None,
    spread: Spread = ALONE,
    **facts: Any,
) -> Features:
    """Encode a data set's images and its class names with a prompt learner.

    Args:
        source: `zero-shot`, a checkpoint or a folder of its run, or any object with the members
            of `ncscope.clip.prompts.PromptedClip`.
        data: a folder of class folders, or of parts holding them, a `.csv`, `eurosat:/data` and
            the like (CoOp's layout), `toy:NAME[@DOMAIN]`, an `ImageSet`, or an object: `images_of`.
        backbone, pretrained, trust_backbone: as for `load_backbone`; or a loaded `Backbone`;
            `auto` leaves it to the checkpoint, `checkpoint` takes the towers in its file (then
            `pretrained` may name a CLIP for the vocabulary, which files lack).
        template: the prompt of zero-shot features, with one `{}`; several are averaged. None
            takes the one of CoOp's zero-shot baseline where DATA is NAME:ROOT.
        classnames: the class order, matched with the data's by name; None takes the
            checkpoint's, or else the data's.
        split: `base`, `new` (first and second half of the classes) or `all`.
        part: `train`, `val` or `test`; None is test where the data are divided.
        device, precision: where and how images are encoded; as for `load_backbone`.
        batch_size, workers, skip_bad, progress: as for `encode_images`.
        cache: a folder for image features, `auto` for the user's cache, `off` for none.
        seed: of `random` weights.
        options, facts: what a checkpoint may not tell, together or by name (`residual_scale=0.5`):
            see `ncscope.zoo.settings.LearnerOptions`.
        learner: a class of your own that reads SOURCE, called as `learner(source, backbone)` with a
            loaded `Backbone`, or None for `auto`; what it gives has the members of `PromptedClip`.
        spread: from `joined`: several processes share the images, and each gets all features.

    Returns:
        Features on the CPU, rows in the order of the data's files.

    Raises:
        BackboneError, CheckpointError, DataError: whatever is named does not exist or fit.
    """
    options = with_facts(options, facts)
    folder = cache_folder(cache)
    device = own_device(device, spread)
    templates = (template,) if isinstance(template, str) else tuple(template or ())
    backbone, usual = toy_defaults(data, backbone=backbone, templates=templates)
    if options is None or options.descriptions is None:
        templates = usual
    clip = open_backbone(
        backbone,
        pretrained=pretrained,
        device=device,
        precision=precision,
        trust_backbone=trust_backbone,
        seed=seed,
        cache_dir=folder,
    )
    given = filled_options(options, data, templates=templates, classnames=classnames)
    given = replace(given, split=given.split or split)
    opened = open_source(
        source,
        backbone=clip,
        options=given,
        learner=learner,
        towers="checkpoint" if str(backbone) == "checkpoint" else "auto",
        device=device,
        precision=precision,
    )
    images = open_data(data, part=part, split=split, classnames=classnames, skip_bad=skip_bad)
    images = images if classnames is not None else in_trained_order(images, opened)
    text = text_before_images(opened, images.classnames, folder=folder)  # prompts are refused early
    encoded, notes = kept_or_encoded(
        opened,
        images,
        folder=folder,
        batch_size=batch_size,
        workers=workers,
        skip_bad=skip_bad,
        progress=progress,
        spread=spread,
    )
    encoded, left = with_direction(encoded, images, skip_bad=skip_bad)
    text, how = text_after_images(
        opened, text, images, encoded, asked=given.condition, spread=spread
    )
    frozen = frozen_text(
        opened,
        clip,
        images.classnames,
        zero_shot_templates(given),
        width=encoded.rows.shape[1],
        folder=folder,
    )
    unused = unused_options(source, given, learner=learner)
    notes = [
        *unused,
        *trained_classes(images, opened),
        *how,
        *notes,
        *left,
        *name_warnings(images.classnames, clip),
    ]
    label = torch.tensor(images.labels)[encoded.kept]
    by_rule = getattr(opened, "by_rule", None)
    ruled = (
        None
        if by_rule is None or text is None
        else by_rule(images.classnames, encoded.rows.cpu(), text.cpu(), label)
    )
    return Features(
        image=encoded.rows,
        label=label,
        text=None if text is None else text.cpu(),
        classnames=images.classnames,
        logit_scale=opened.logit_scale.detach().cpu(),
        text_frozen=None if frozen is None else frozen.cpu(),
        provenance=_provenance(source, opened, images, split=split, notes=notes, ruled=ruled),
        preview=Preview(images.load, tuple(encoded.kept.tolist())),
    )


def _provenance(
    source: object,
    learner: PromptedClip,
    images: ImageSet,
    *,
    split: str,
    notes: Sequence[str],
    ruled: dict[str, Any] | None,
) -> dict[str, Any]:
    """`ruled` is the accuracy by the method's own rule, where it has one and the file holds it."""
    described = dict(learner.description)
    if ruled is not None:
        described["run"] = {**described["run"], "by_rule": ruled}
    warnings = [*described.pop("warnings", []), *images.warnings, *notes]
    name = str(source) if isinstance(source, str | Path) else described.get("method", "a learner")
    return {
        "source": name,
        "data": images.name,
        "part": images.part or "all",
        "split": split,
        "learner": described,
        "content": {"images": images.digest, "image_features": learner.image_digest},
        "versions": {
            "ncscope": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        "warnings": warnings,
    }
