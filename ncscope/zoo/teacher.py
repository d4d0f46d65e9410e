"""The teacher of a student without a text side: PromptKD's, a checkpoint on a CLIP of its own.

Its backbone is the caller's (`teacher_backbone`), else what the teacher's file or log says, else
what the student's log says (`TEACHER_NAME`). The authors load the teacher's towers from its file,
so where they are in it they are used.
"""

from collections.abc import Callable
from pathlib import Path

from ncscope.checkpoint.facts import BACKBONES
from ncscope.checkpoint.inspect import Inspection, inspect
from ncscope.clip.backbone import Backbone, load_backbone
from ncscope.clip.prompts import PromptedClip
from ncscope.errors import BackboneError
from ncscope.zoo.settings import LearnerOptions

_NAMED = "TRAINER.PROMPTKD.TEACHER_NAME"
_DEPTH = 9  # of the teacher's prompts, fixed in the authors' code
Read = Callable[..., PromptedClip]


def teacher_of(
    seen: Inspection, options: LearnerOptions, *, device: str, precision: str, read: Read
) -> PromptedClip | None:
    """The teacher as a learner; it was trained on the student's classes and data.

    Args:
        seen: the student.
        read: `load_learner`, which is above this file.

    Raises:
        BackboneError: no backbone of it is named anywhere, or the weights are not to be had.
        CheckpointError: the teacher's file cannot be read or gives no features.
    """
    if not isinstance(options.teacher, str | Path):
        return options.teacher
    teacher = inspect(options.teacher)
    own = LearnerOptions(classnames=options.classnames, data_name=options.data_name)
    whole = teacher.facts.towers == ("image", "text")
    try:
        clip = _backbone(seen, teacher, options, device=device, precision=precision)
        return read(
            teacher,
            backbone=clip,
            towers="checkpoint" if whole and clip is not None else "auto",
            device=device,
            precision=precision,
            options=own,
        )
    except BackboneError as error:
        named = logged_teacher(seen)
        said = f"; the student's log.txt names {named}" if named else ""
        raise BackboneError(
            f"teacher {options.teacher}: {error}{said}; its CLIP is given by --teacher-backbone "
            f"FILE (from Python a teacher may be a loaded learner)"
        ) from None


def teacher_doubts(seen: Inspection, teacher: object) -> list[str]:
    """Warnings where the teacher is not the one that the student's log describes."""
    if not isinstance(teacher, str | Path):
        return []
    its = inspect(teacher)
    facts, found = its.facts, _other_words(seen, its)
    named = logged_teacher(seen)
    if named in BACKBONES and facts.text_width is not None and named not in facts.backbones:
        found.append(
            f"log.txt names the teacher's backbone {named}; the shapes of {teacher} fit "
            f"{', '.join(facts.backbones) or 'another one'}"
        )
    if named and facts.text_depth not in (None, _DEPTH):
        found.append(
            f"the teacher's text prompts are of {facts.text_depth} blocks; the authors build it "
            f"with {_DEPTH} whatever the file holds, so the student was taught by other features"
        )
    return found


def _other_words(seen: Inspection, teacher: Inspection) -> list[str]:
    """Warnings where the student was taught by prompts of other words than the teacher's own.

    The authors write the teacher's prompts by the student's N_CTX_TEXT and CTX_INIT.
    """
    log, found = seen.log, list[str]()
    length = log.context_length if log else None
    own = teacher.facts.context_length
    if None not in (length, own) and length != own:
        found.append(
            f"N_CTX_TEXT is {length} in the student's log.txt; the teacher's context has {own} "
            f"tokens: it is not the one that the student was taught by"
        )
    told = teacher.log.context_words if teacher.log else None
    words = log.context_words if log else None
    if words and told and words.split() != told.split():
        found.append(
            f"CTX_INIT is {words!r} in the student's log.txt and {told!r} in the teacher's: the "
            f"student was taught by prompts of its own words, and the teacher's are used"
        )
    return found


def logged_teacher(seen: Inspection) -> str | None:
    """The teacher's backbone in the student's log.txt."""
    return (seen.log.settings.get(_NAMED) or None) if seen.log is not None else None


def _backbone(
    seen: Inspection, teacher: Inspection, options: LearnerOptions, *, device: str, precision: str
) -> Backbone | None:
    """The caller's, or the one that only the student's log names; None: the teacher tells."""
    given = options.teacher_backbone
    if isinstance(given, Backbone):
        return given
    tells = bool(teacher.log and teacher.log.backbone) or len(teacher.facts.backbones) == 1
    if given is None and not tells and teacher.facts.towers != ("image", "text"):
        given = logged_teacher(seen)
    if given is None:
        return None
    published = None if Path(given).exists() else "openai"
    return load_backbone(given, pretrained=published, device=device, precision=precision)
