"""Settles what a checkpoint's tensors do not tell: from options, from log.txt, or a default.

Every fact is reported with its origin; a default that may be wrong comes with a warning.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ncscope.checkpoint.class_names import ClassNames, check_class_names
from ncscope.checkpoint.inspect import Inspection
from ncscope.checkpoint.trainers import plain_method
from ncscope.clip.templates import TCP_PROMPTS, TEMPLATES, known_data
from ncscope.errors import CheckpointError, DataError
from ncscope.zoo.learner_options import LearnerOptions
from ncscope.zoo.settings import Settings
from ncscope.zoo.unused_options import POSITIONED, unused_options
from ncscope.zoo.wording import Wording, parts, tail, template_of, worded

_USUAL_WORDS = "a photo of a"
_OWN_TEMPLATE = ("MMRL", "MMRL++")
_NO_WORDS = ("_ATP", "AnchorOPT")  # they ignore CTX_INIT
_TCP = ("TCP", "DeKg_TCP")


@dataclass(eq=False)
class _Found:
    """Origins and warnings collected on the way."""

    origins: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def settle(self, name: str, *choices: tuple[Any, str]) -> Any:
        """The first choice that says something, and its origin."""
        for value, origin in choices:
            if value is not None:
                self.origins[name] = origin
                return value
        return None


def resolve(
    seen: Inspection, names: ClassNames | None, options: LearnerOptions, *, stored: bool
) -> Settings:
    """Settle everything a learner needs beside its tensors, other checkpoints aside.

    Args:
        names: the training classes recovered from the file, if they were.
        stored: the file's own token vectors are used.
    """
    assert seen.method is not None
    log, found = seen.log, _Found()
    logged = log.dataset if log else None
    data = found.settle("data_name", (options.data_name, "option"), (logged, "log.txt"))
    wording = _wording(seen, names, data, found)
    return Settings(
        where=str(seen.checkpoint.path),
        method=seen.method,
        classnames=_classnames(seen, wording, options, found),
        words=wording.before,
        after=wording.after,
        stored=stored,
        class_token_position=_position(seen, options, found),
        condition=found.settle("condition", (options.condition, "option")),
        image_feature=found.settle("image_feature", (options.image_feature, "option")),
        data_name=data,
        templates=options.templates,
        residual_scale=_number(
            found, "residual_scale", options.residual_scale, seen, "RESIDUAL_SCALE"
        ),
        adapter_scale=_number(found, "adapter_scale", options.adapter_scale, seen, "ADAPTER_SCALE"),
        extras=seen.checkpoint.extras,
        run=_run(seen),
        logged=log.settings if log else {},
        origins=found.origins,
        warnings=(*wording.warnings, *found.warnings, *unused_options(seen.method, options)),
    )


def _run(seen: Inspection) -> dict[str, Any]:
    """What the run says of itself; `accuracy` (per cent, on its test split) to check against.

    `images` and `classes` are those the accuracy is of.
    """
    known = ("accuracy", "dataset", "subsample", "shots", "seed", "precision", "trainer")
    said = {name: getattr(seen.log, name) for name in known} if seen.log else {}
    if seen.log:
        said |= {"images": seen.log.images_tested, "classes": seen.log.num_classes}
    epoch = seen.checkpoint.extras.get("epoch")
    return {**said, "epoch": epoch if isinstance(epoch, int) else None}


def _classnames(
    seen: Inspection, wording: Wording, options: LearnerOptions, found: _Found
) -> tuple[str, ...] | None:
    """The training classes: the file's, or else the caller's."""
    given = options.classnames
    if wording.classnames is None:
        return found.settle("classnames", _listed(seen, given))
    if given is not None:
        try:
            check_class_names(ClassNames(wording.classnames, "", "", (), 0.0), given)
        except DataError as error:
            found.warnings.append(f"the class list given is not the training classes': {error}")
    return found.settle("classnames", (wording.classnames, seen.names_from))


def _listed(seen: Inspection, given: Sequence[str] | None) -> tuple[tuple[str, ...] | None, str]:
    """The caller's list, or the half of it that the file has rows for, and the origin."""
    if given is None:
        return None, "option"
    count, listed = seen.facts.num_classes, tuple(given)
    if count in (None, len(listed)) or (len(listed) + 1) // 2 != count:
        return listed, "option"
    if seen.log is not None and seen.log.subsample == "new":
        return listed[-count:], "option, its second half"
    return listed[:count], "option, its first half"


def _position(seen: Inspection, options: LearnerOptions, found: _Found) -> str | None:
    """Where the class name stands, for methods that have a choice."""
    assert seen.method is not None
    if plain_method(seen.method) not in POSITIONED:
        return None
    logged = seen.log.class_token_position if seen.log else None
    position = found.settle(
        "class_token_position", (options.class_token_position, "option"), (logged, "log.txt")
    )
    if position is None:
        found.origins["class_token_position"] = "default"
        found.warnings.append(
            "where the class name stands in the prompt is not in the file and there is no "
            "log.txt: `end` is taken; --class-token-position says otherwise"
        )
    return position


def _wording(
    seen: Inspection, names: ClassNames | None, data: str | None, found: _Found
) -> Wording:
    """The fixed words of the method's prompts, taken off the class names."""
    assert seen.method is not None
    method = plain_method(seen.method)
    known = known_data(data)
    if method in _TCP and known:
        before, after = parts(TCP_PROMPTS[known])
        return worded(names, before=tail(before.split(), 4), after=after)
    if method == "MMA":
        return worded(names, before=_USUAL_WORDS)
    if method in (*_OWN_TEMPLATE, *_TCP):
        if names is None:
            template = TEMPLATES[known] if known else "{}."
        else:
            template = template_of(names)
            found.origins["template"] = "the tokens in the file"
        before, after = parts(template)
        return worded(names, before=before, after=after)
    return worded(names, before=_after_context(seen, names))


def _after_context(seen: Inspection, names: ClassNames | None) -> str:
    """Words of CTX_INIT that a shorter context leaves in place, such as MaPLe's "of a"."""
    assert seen.method is not None
    if any(part in seen.method for part in _NO_WORDS):
        return ""
    num_context = seen.facts.context_length or 0
    logged = seen.log.context_words if seen.log else None
    if logged:
        return tail(logged.split(), num_context)
    usual = tail(_USUAL_WORDS.split(), num_context)
    before = "" if names is None else names.before
    return usual if usual and f"{before} ".startswith(f"{usual} ") else ""


def _number(
    found: _Found, name: str, option: float | None, seen: Inspection, setting: str
) -> float | None:
    """An option, or the value of a setting in the trainer's sections of log.txt."""
    logged = None
    if seen.log is not None:
        values = {
            value
            for key, value in seen.log.settings.items()
            if key.startswith("TRAINER.") and key.endswith(f".{setting}")
        }
        logged = _float(values.pop(), setting, seen) if len(values) == 1 else None
    return found.settle(name, (option, "option"), (logged, "log.txt"))


def _float(text: str, setting: str, seen: Inspection) -> float:
    try:
        return float(text)
    except ValueError:
        raise CheckpointError(
            f"{seen.checkpoint.path}: log.txt says {setting} is {text!r}; expected a number"
        ) from None
