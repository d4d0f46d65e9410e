"""What SOURCE and DATA name: the places where a new kind of either is added."""

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

from ncscope.clip.backbone import Backbone, load_backbone
from ncscope.clip.descriptions import is_file_of_templates, read_templates
from ncscope.clip.prompts import DEFAULT_TEMPLATE, TEMPLATES, PromptedClip, ZeroShot, known_data
from ncscope.data.classes import folded, reorder_classes, select_classes
from ncscope.data.images import ImageSet, open_images
from ncscope.data.known import is_named, name_of_known, parse_known
from ncscope.data.lists import open_split
from ncscope.data.objects import Indexed, images_of, own_classnames
from ncscope.data.open_known import open_known
from ncscope.errors import BackboneError, DataError
from ncscope.features.third_party import LearnerClass, check_learner, make_learner
from ncscope.toy.images import toy_images
from ncscope.toy.model import load_toy_clip
from ncscope.toy.tasks import find_task
from ncscope.zoo.load import load_learner
from ncscope.zoo.settings import LearnerOptions, descriptions_of

_OPTIONS = {"settings": "setting"}  # on the command line


def open_source(
    source: str | Path | PromptedClip,
    *,
    backbone: Backbone | None,
    options: LearnerOptions,
    learner: LearnerClass | None = None,
    towers: str = "auto",
    device: str = "cpu",
    precision: str = "fp32",
) -> PromptedClip:
    """Turn `zero-shot` or a checkpoint into a learner; a learner stays what it is.

    Args:
        backbone: None leaves it to the checkpoint.
        learner: somebody's class, which makes the learner of any source but `zero-shot`.
        towers, device, precision: as for `load_learner`.

    Raises:
        BackboneError: no backbone, or one that does not fit.
        CheckpointError: a checkpoint that no learner can be made of.
        DataError: anything else.
    """
    if not isinstance(source, str | Path):
        check_learner(source)
        return source
    if str(source) == "zero-shot":
        if backbone is None:
            raise BackboneError(
                "zero-shot has no checkpoint that tells the backbone; name it: --backbone ViT-B-16 "
                "--pretrained openai, or --backbone PATH of a weight file or open_clip folder"
            )
        return ZeroShot(backbone, zero_shot_templates(options), descriptions_of(options))
    if learner is not None:
        if options.descriptions is not None:
            raise DataError(
                f"`descriptions` are given and {source} is read by a class of your own, which is "
                f"not told of them; expected them for zero-shot, or a learner with written prompts"
            )
        return make_learner(learner, str(source), backbone)
    path = Path(source)
    if path.suffix == ".npz" and path.is_file():
        raise DataError(f"{source}: holds features already; analyze reads it as it is")
    if path.exists():
        return load_learner(
            path,
            backbone=backbone,
            towers=towers,
            device=device,
            precision=precision,
            options=options,
        )
    raise DataError(f"`source` {str(source)!r} is neither zero-shot nor a file or folder")


def unused_options(
    source: str | Path | PromptedClip, options: LearnerOptions, *, learner: LearnerClass | None
) -> list[str]:
    """A line for each option given that nothing of this source reads.

    What a checkpoint's method reads of them is known when it is resolved.
    """
    zero_shot = isinstance(source, str | Path) and str(source) == "zero-shot"
    if zero_shot:
        what = "zero-shot"
    elif learner is not None or not isinstance(source, str | Path):
        what = "a learner of your own"
    else:
        return []
    own = {"classnames", "data_name", "descriptions", "split", "template"}
    own |= set() if zero_shot else {"condition"}  # said where text is made
    given = [field.name for field in fields(options) if getattr(options, field.name) is not None]
    said = [_OPTIONS.get(name, name).replace("_", "-") for name in given if name not in own]
    said += ["learner"] if zero_shot and learner is not None else []
    return [f"--{name} has no effect on {what}; it is for checkpoints" for name in said]


def open_backbone(
    backbone: str | Path | Backbone,
    *,
    pretrained: str | None,
    device: str,
    precision: str,
    trust_backbone: bool,
    seed: int | None,
    cache_dir: Path | None,
) -> Backbone | None:
    """Load the backbone that was named; None for `auto`, which leaves it to the source.

    `checkpoint` is None, too, or the CLIP in `pretrained` that the checkpoint's vocabulary is of.
    """
    if isinstance(backbone, Backbone):
        return backbone
    if str(backbone) == "toy":
        return load_toy_clip(device=device, precision=precision)
    if str(backbone) == "checkpoint":
        if pretrained is None:
            return None
        backbone, pretrained = pretrained, None
    if str(backbone) == "auto":
        if pretrained is not None:
            raise BackboneError(f"`pretrained` {pretrained!r} is given without a backbone's name")
        return None
    return load_backbone(
        backbone,
        pretrained=pretrained,
        device=device,
        precision=precision,
        trust_backbone=trust_backbone,
        random_seed=seed,
        cache_dir=cache_dir,
    )


def is_toy(data: str | Path | ImageSet | Indexed) -> bool:
    """Whether DATA names a task of the embedded toy suite."""
    return isinstance(data, str) and data.startswith("toy:")


def toy_defaults(
    data: str | Path | ImageSet | Indexed,
    *,
    backbone: str | Path | Backbone,
    templates: Sequence[str],
) -> tuple[str | Path | Backbone, tuple[str, ...]]:
    """Backbone and templates, the toy's own where DATA is a toy task and none were named."""
    if not is_toy(data):
        return backbone, tuple(templates)
    named = "toy" if str(backbone) == "auto" else backbone
    return named, tuple(templates) or default_templates(data)


def name_of_data(data: str | Path | ImageSet | Indexed) -> str | None:
    """The known data set that DATA names as NAME:ROOT, in the tables' spelling; else None."""
    known = parse_known(data) if isinstance(data, str | Path) else None
    return known[0].name if known else None


def default_templates(data: str | Path | ImageSet | Indexed) -> tuple[str, ...]:
    """The template DATA's own table has: a toy task's, or CoOp's zero-shot one; () if none."""
    if is_toy(data):
        return (find_task(str(data))[0].template,)
    name = name_of_data(data)
    return (TEMPLATES[name],) if name else ()


def filled_options(
    options: LearnerOptions | None,
    data: str | Path | ImageSet | Indexed,
    *,
    templates: Sequence[str],
    classnames: Sequence[str] | None,
) -> LearnerOptions:
    """The caller's options, with what was said beside them and the data set that DATA names.

    Raises:
        DataError: the caller's name of a data set is none that has templates; a file of templates
            that cannot be read.
    """
    options = options or LearnerOptions()
    said = None if options.data_name is None else name_of_known(options.data_name)
    name = said or name_of_data(data)
    written = [
        read_templates(text, name) if is_file_of_templates(text) else (text,)
        for text in tuple(templates) or options.templates
    ]
    return replace(
        options,
        template=tuple(text for texts in written for text in texts) or None,
        data_name=name,
        classnames=options.classnames if classnames is None else classnames,
    )


def zero_shot_templates(options: LearnerOptions) -> tuple[str, ...]:
    """The templates given, else the one CoOp's zero-shot baseline has for the data set named.

    None beside descriptions unless they were given.
    """
    if options.descriptions is not None:
        return options.templates
    known = known_data(options.data_name)
    return options.templates or ((TEMPLATES[known] if known else DEFAULT_TEMPLATE),)


def open_data(
    data: str | Path | ImageSet | Indexed,
    *,
    part: str | None = None,
    split: str = "all",
    classnames: Sequence[str] | None = None,
    skip_bad: bool = False,
) -> ImageSet:
    """Open the images and bring their classes into the order and the half asked for.

    `classnames` that name all classes give the order of which `split` takes a half; those that
    name a half are matched with the half that `split` takes.
    """
    if isinstance(data, ImageSet):
        if part not in (None, data.part):
            raise DataError(f"{data.name}: opened as part {data.part!r}; `part` {part!r} was asked")
        images = data
    elif is_toy(data):
        images = toy_images(str(data), part=part or "test")
    elif not isinstance(data, str | Path):
        named = None if own_classnames(data) else classnames  # own names are matched below
        images = images_of(data, classnames=named, part=part, skip_bad=skip_bad)
    elif is_named(str(data)):
        images = open_known(str(data), part=part, skip_bad=skip_bad)
    elif Path(data).suffix.lower() == ".json" and Path(data).is_file():
        images = open_split(Path(data), part=part, skip_bad=skip_bad)
    else:
        images = open_images(data, part=part, classnames=classnames, skip_bad=skip_bad)
    if classnames is None:
        return select_classes(images, split)
    if {folded(name) for name in classnames} == {folded(name) for name in images.classnames}:
        return select_classes(reorder_classes(images, classnames), split)
    return reorder_classes(select_classes(images, split), classnames)
