"""From a checkpoint to a learner that gives features: inspection, backbone and settings."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from ncscope.checkpoint.bare import NOT_LEARNERS
from ncscope.checkpoint.checks import check_finite
from ncscope.checkpoint.class_names import ClassNames, recover_class_names
from ncscope.checkpoint.inspect import Inspection, inspect
from ncscope.checkpoint.locate import BEST
from ncscope.checkpoint.methods import plain_method, row_of
from ncscope.checkpoint.wrapped import read_tensors
from ncscope.clip.backbone import Backbone
from ncscope.clip.text_tower import text_tower
from ncscope.errors import CheckpointError, DataError
from ncscope.opening import is_there
from ncscope.zoo.decision import accuracy_by_length, accuracy_by_rule, rule_facts
from ncscope.zoo.learners import LEARNERS, REFUSED
from ncscope.zoo.learners.learner import Learner
from ncscope.zoo.resolve import resolve
from ncscope.zoo.same_backbone import backbone_doubts, base_text_doubts
from ncscope.zoo.settings import LearnerOptions, Settings
from ncscope.zoo.teacher import teacher_doubts, teacher_of
from ncscope.zoo.towers import choose_backbone
from ncscope.zoo.transform import with_transform


def load_learner(
    source: str | Path | Inspection,
    *,
    backbone: Backbone | None = None,
    towers: str = "auto",
    device: str = "cpu",
    precision: str = "fp32",
    options: LearnerOptions | None = None,
) -> Learner:
    """Load a prompt learner from its checkpoint file, or a folder of its run.

    Args:
        source: the file, a folder at any level of the run, or an inspection of it.
        backbone: the CLIP it was trained on; None takes what log.txt, the shapes or the file say.
        towers: whose weights are used where the file holds CLIP's towers, too: `backbone`'s,
            the `checkpoint`'s own, or `auto`: the backbone's if one is given, else the file's.
        device, precision: of a backbone that is found here.
        options: what the checkpoint may not tell.

    Raises:
        CheckpointError: no known learner, damaged, or in need of something that is not given.
        BackboneError: no backbone, or one that the method cannot be put on.
    """
    read = read_learner(
        source,
        backbone=backbone,
        towers=towers,
        device=device,
        precision=precision,
        options=options,
    )
    learner = LEARNERS[read.method](read.tensors, read.backbone, read.settings)
    if read.settings.descriptions is not None and "descriptions" not in learner.description:
        raise CheckpointError(
            f"{read.settings.where}: `descriptions` are given, and {read.method} has another text "
            f"side than written prompts alone; expected them for zero-shot, CLIP-Adapter, "
            f"CLIP-LoRA, PEFT's LoRA, SkipTuning, Tip-Adapter or VPT"
        )
    if read.method == "TextRefiner":
        return replace(learner, by_rule=accuracy_by_length)
    if read.method != "DePT":
        return learner
    return replace(learner, by_rule=accuracy_by_rule(learner, read.tensors, read.settings))


def check_source(
    source: str | Path, method: str | None = None, load_epoch: int | None = None
) -> None:
    """Refuse what is known to be no source before its backbone and images are read.

    Raises:
        CheckpointError: no known learner, damaged, or with NaN in it.
        DataError: nothing is there.
    """
    if str(source) == "zero-shot":
        return
    if not is_there(source):
        raise DataError(f"`source` {str(source)!r} is neither zero-shot nor a file or folder")
    _sound(source, method, load_epoch)


def _sound(
    source: str | Path | Inspection, method: str | None, load_epoch: int | None
) -> tuple[Inspection, str]:
    """The inspection and the method of a checkpoint that a learner can be made of."""
    seen = _seen(source, method, load_epoch)
    return seen, method_to_load(seen)


@dataclass(frozen=True, eq=False)
class ReadLearner:
    """What a learner is made of: a key of LEARNERS, and what its loader takes."""

    method: str
    tensors: dict[str, Tensor]
    backbone: Backbone
    settings: Settings


def read_learner(
    source: str | Path | Inspection,
    *,
    backbone: Backbone | None = None,
    towers: str = "auto",
    device: str = "cpu",
    precision: str = "fp32",
    options: LearnerOptions | None = None,
) -> ReadLearner:
    """Read all that a learner is made of; arguments and errors as for `load_learner`."""
    options = options or LearnerOptions()
    seen, method = _sound(source, options.method, options.load_epoch)
    clip, stored, doubts = choose_backbone(
        seen, backbone, towers=towers, device=device, precision=precision
    )
    clip, origin, otherwise = with_transform(clip, asked=options.transform, log=seen.log)
    settings = resolve(seen, _names(seen, clip, stored=stored), options, stored=stored)
    settings = replace(
        settings,
        run={**settings.run, **rule_facts(seen, options)},
        origins={**settings.origins, "transform": origin},
        teacher=teacher_of(seen, options, device=device, precision=precision, read=load_learner),
        base={} if options.base is None else read_tensors(options.base),
        companions=_companions(seen),
        warnings=(
            *backbone_doubts(seen, clip),
            *(
                base_text_doubts(seen.checkpoint.tensors, clip, settings)
                if method == "TaskRes" and not stored
                else ()
            ),
            *_standing(seen, options, towers),
            *doubts,
            *otherwise,
            *settings.warnings,
            *_best_of(seen),
            *teacher_doubts(seen, options.teacher),
        ),
    )
    return ReadLearner(method, seen.checkpoint.tensors, clip, settings)


def _seen(
    source: str | Path | Inspection, method: str | None, load_epoch: int | None
) -> Inspection:
    """The inspection, as of the method that the caller names if one is named."""
    if isinstance(source, Inspection):
        return source if method is None else inspect(source.checkpoint.path, method=method)
    return inspect(source, method=method, epoch=load_epoch)


def _best_of(seen: Inspection) -> tuple[str, ...]:
    """That the best on validation was taken, where other epochs lie beside it."""
    if seen.checkpoint.path.name != BEST:
        return ()
    said = [note for note in seen.located.notes if note.startswith(f"read {BEST}")]
    return tuple(f"{note}; --load-epoch N takes another" for note in said)


def _standing(seen: Inspection, options: LearnerOptions, towers: str) -> tuple[str, ...]:
    """The inspection's warnings, without the method's caution where an option settles it."""
    row = None if seen.method is None else row_of(seen.method)
    if row is None or not row.caution:
        return seen.warnings
    given = {name for name in row.settled_by if getattr(options, name, None) is not None}
    if "towers" in row.settled_by and towers == "checkpoint":
        given.add("towers")
    return tuple(w for w in seen.warnings if not (given and w == row.caution))


def method_to_load(seen: Inspection) -> str:
    """The key in LEARNERS of the method that wrote a file without NaN or infinity in it.

    Raises:
        CheckpointError: no known learner, one that gives no features, or NaN in it.
    """
    method = _method(seen)
    check_finite(seen.checkpoint)
    return method


def _method(seen: Inspection) -> str:
    """The key in LEARNERS of the method that wrote the file."""
    where = seen.checkpoint.path
    if seen.doubt is not None:
        raise CheckpointError(f"{where}: {seen.doubt}")
    if seen.method is None:
        near = seen.recognition.nearest
        lacks = ", ".join(f"`{key}`" for key in seen.recognition.missing[:3]) or "other shapes"
        raise CheckpointError(
            f"{where}: its keys fit no known prompt learner; "
            + ("none is one's" if near is None else f"nearest is {near}, which has {lacks}")
            + "; `ncscope inspect` shows what is in it"
        )
    if (why := NOT_LEARNERS.get(plain_method(seen.method))) is not None:
        raise CheckpointError(f"{where}: {why}")
    method = "DePT" if seen.method.startswith("DePT") else plain_method(seen.method)
    if method in LEARNERS:
        return method
    why = REFUSED.get(method, "no learner of this version reads it")
    raise CheckpointError(f"{where}: {method} is recognised but gives no features: {why}")


def _names(seen: Inspection, clip: Backbone, *, stored: bool) -> ClassNames | None:
    """The training classes, looked up in the backbone's vocabulary.

    Raises:
        CheckpointError: the file's token vectors are not this backbone's.
    """
    decode: Any = getattr(clip.tokenizer, "decode", None)
    if decode is None:
        return seen.class_names
    table = None if stored else text_tower(clip.model).embedding
    found = recover_class_names(seen.checkpoint.tensors, decode, token_embedding=table)
    return found or seen.class_names


def _companions(seen: Inspection) -> dict[str, Tensor]:
    """Tensors of the other models of the run, which some methods save beside the main one."""
    tensors: dict[str, Tensor] = {}
    for path in seen.located.companions:
        tensors |= read_tensors(path)
    return tensors
