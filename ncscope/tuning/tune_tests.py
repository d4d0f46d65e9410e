"""Where a run is computed, and the test images it is measured on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ncscope.clip.backbone import Backbone
from ncscope.data.classes import select_classes
from ncscope.data.images import ImageSet
from ncscope.errors import DataError
from ncscope.features.processes import Spread
from ncscope.features.sources import default_templates
from ncscope.tuning.data import opened
from ncscope.tuning.evaluate import TestSplit
from ncscope.tuning.inputs import cached_image_features
from ncscope.tuning.options import TuneOptions
from ncscope.tuning.trainee import Trainee


@dataclass(frozen=True, eq=False)
class Machine:
    """Where and how a run is computed; nothing of it changes the result but by rounding."""

    backbone: str | Path | Backbone = "auto"
    pretrained: str | None = None
    template: str | None = None
    device: str = "auto"
    workers: int | None = None
    cache: Path | None = None
    trust_backbone: bool = False
    compiled: bool = False


def open_tests(
    images: ImageSet,
    options: TuneOptions,
    backbone: Backbone,
    machine: Machine,
    *,
    frozen: bool,
    spread: Spread,
) -> list[TestSplit]:
    """The test images of both halves of the classes, or of all where training has all."""
    names = ("all",) if options.split == "all" else ("base", "new")
    return [
        test_split(
            name, select_classes(images, name), backbone, machine, frozen=frozen, spread=spread
        )
        for name in names
    ]


def test_split(
    name: str,
    images: ImageSet,
    backbone: Backbone,
    machine: Machine,
    *,
    frozen: bool,
    spread: Spread,
) -> TestSplit:
    """Test images, with their frozen features where the image tower is left alone."""
    labels = torch.tensor(images.labels, device=backbone.device)
    if not frozen:
        return TestSplit(name, images, None, labels)
    found = cached_image_features(backbone, images, cache=machine.cache, spread=spread)
    return TestSplit(name, images, found.rows.to(backbone.device), labels)


def target_splits(
    options: TuneOptions,
    targets: Sequence[str],
    backbone: Backbone,
    machine: Machine,
    trainee: Trainee,
    *,
    spread: Spread,
) -> list[TestSplit]:
    """Other data sets to test on, with all their classes.

    Raises:
        DataError: the learner has no text features for other classes.
    """
    if targets and not trainee.takes_new_classes:
        raise DataError(
            f"{trainee.method} as it is set has parameters for its own classes only; it cannot be "
            f"tested on {targets[0]!r}"
        )
    frozen = trainee.learner().from_backbone is not None
    found = []
    for target in targets:
        images = opened(target, options.test_part)
        templates = default_templates(target)
        split = test_split("all", images, backbone, machine, frozen=frozen, spread=spread)
        found.append(replace(split, template=templates[0] if templates else None, target=True))
    return found
