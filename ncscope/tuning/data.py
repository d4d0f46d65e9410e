"""Images of a tuning run: what `tune` takes as `data`, and what it is tested on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch

from ncscope.clip.backbone import Backbone
from ncscope.data.classes import select_classes
from ncscope.data.draw import Draw, draw_training
from ncscope.data.fewshot_file import open_few_shot
from ncscope.data.folders import parts_called
from ncscope.data.images import ImageSet
from ncscope.data.objects import Indexed, images_of, name_of_object
from ncscope.errors import DataError, shown
from ncscope.features.parts import holds_features, read_parts
from ncscope.features.processes import Spread
from ncscope.features.sources import default_templates, is_toy, open_data
from ncscope.features.space import FeatureSpace
from ncscope.tuning.evaluate import TestSplit
from ncscope.tuning.inputs import cached_image_features
from ncscope.tuning.options import TuneOptions
from ncscope.tuning.trainee import Trainee

Data = str | Path | Mapping[str, ImageSet | Indexed]
Parts = Mapping[str, ImageSet]  # by `train`, `val`, `test`

_WANTED = "{'train': ..., 'test': ...} of data sets' objects"


def named_data(data: Data) -> tuple[str, Parts]:
    """What records call the data, and its parts where they were given as objects, else none.

    Raises:
        DataError: one object, which would be trained and tested on; parts that are none, or no
            `train` and `test`.
    """
    if isinstance(data, str | Path):
        return str(data), {}
    if not isinstance(data, Mapping):
        raise DataError(
            f"`data` is a {name_of_object(data)}, and training and test images would be the same; "
            f"expected a path, NAME:ROOT, or {_WANTED}"
        )
    called = parts_called("`data`", [str(key) for key in data])
    other = [repr(key) for key in data if key not in called.values()]
    if other or not {"train", "test"} <= set(called):
        found = shown([repr(key) for key in data]) or "nothing"
        raise DataError(f"`data` has {found}; expected {_WANTED}, and 'val' if there is one")
    parts = {part: _images(word, data[word], part) for part, word in called.items()}
    return parts["train"].name, parts


def _images(word: str, found: ImageSet | Indexed, part: str) -> ImageSet:
    if isinstance(found, str | Path):
        raise DataError(
            f"`data[{word!r}]` is a path; expected an object: give the path alone as `data`, of a "
            f"folder that holds train/ and test/"
        )
    return found if isinstance(found, ImageSet) else images_of(found, part=part)


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


def draw_and_test(options: TuneOptions, given: Parts) -> tuple[Draw, ImageSet]:
    """The images to train on, and those to test on, of all classes.

    Raises:
        DataError: what is named is not there, or training and test classes are not the same.
    """
    if options.few_shot is None:
        train = _part(options, "train", given)
    else:
        train = open_few_shot(options.data, options.few_shot)
    test = _part(options, options.test_part, given)
    _check_same(train, test)
    draw = draw_training(
        train,
        shots=options.shots,
        tau=options.tau,
        seed=options.seed,
        class_order=options.class_order,
        split=options.split,
        listed=options.few_shot is not None,
    )
    if options.shots not in (None, TuneOptions.shots, draw.shots):
        raise DataError(
            f"{options.few_shot}: up to {draw.shots} images of a class, and `shots` is "
            f"{options.shots}; leave --shots out"
        )
    return draw, test


def _part(options: TuneOptions, part: str, given: Parts) -> ImageSet:
    if not given:
        return _opened(options.data, part)
    if part not in given:
        raise DataError(f"`data` has {', '.join(given)}; expected {part!r} among them")
    return given[part]


def _check_same(train: ImageSet, test: ImageSet) -> None:
    ours, theirs = train.classnames, test.classnames
    if ours == theirs:
        return
    missing = [name for name in ours if name not in set(theirs)]
    extra = [name for name in theirs if name not in set(ours)]
    how = "in another order"
    if missing or extra:
        how = f"without {shown(missing) or 'none'} and with {shown(extra) or 'no others'}"
    raise DataError(
        f"{train.name}: {len(ours)} training classes, but {len(theirs)} test classes, {how}; "
        f"expected the same classes in both: unpack or name what is missing"
    )


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
        _test_split(
            name, select_classes(images, name), backbone, machine, frozen=frozen, spread=spread
        )
        for name in names
    ]


def target_splits(
    options: TuneOptions,
    targets: Sequence[str],
    backbone: Backbone,
    machine: Machine,
    trainee: Trainee,
    *,
    spread: Spread,
) -> list[TestSplit]:
    """Other data sets to test on, with all their classes; of features where training is on them.

    Raises:
        DataError: the learner has no text features for other classes; one is of pictures and the
            other of features.
    """
    if targets and not trainee.takes_new_classes:
        raise DataError(
            f"{trainee.method} as it is set has parameters for its own classes only; it cannot be "
            f"tested on {targets[0]!r}"
        )
    frozen = trainee.learner().from_backbone is not None
    found = []
    for target in targets:
        images = _target(target, options.test_part, backbone)
        templates = default_templates(target)
        split = _test_split("all", images, backbone, machine, frozen=frozen, spread=spread)
        found.append(replace(split, template=templates[0] if templates else None, target=True))
    return found


def _target(target: str, part: str, backbone: Backbone) -> ImageSet:
    """The test images of another data set; its classes' texts go to a space of features."""
    stored = read_parts(target) if holds_features(target) else None
    if isinstance(backbone, FeatureSpace) != (stored is not None):
        kinds = ("pictures", "features")[:: 1 if stored is None else -1]
        raise DataError(f"`target` {target!r} is of {kinds[0]}, and training is on {kinds[1]}")
    if stored is None:
        return _opened(target, part)
    images = stored.parts.get(part)
    if images is None:
        raise DataError(
            f"`target` {target!r} has {', '.join(stored.parts)}; expected `image_{part}` and "
            f"`label_{part}`"
        )
    assert isinstance(backbone, FeatureSpace)
    backbone.take_classes_of(target, stored)
    return images


def _test_split(
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


def _opened(data: str, part: str) -> ImageSet:
    """A part of a data set; toy pictures are drawn once, for all runs of a study."""
    return _drawn(data, part) if is_toy(data) else open_data(data, part=part)


@cache
def _drawn(data: str, part: str) -> ImageSet:
    return open_data(data, part=part)
