"""Settles what a checkpoint's tensors do not tell: from options, from log.txt, or a default.

Every fact is reported with its origin; a default that may be wrong comes with a warning.

Class names and the words around them are told apart by what all rows have in common. Where every
class begins or ends with one word ("red fox", "red panda"), that word is common, too, but belongs
to the names.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ncscope.checkpoint.checks import other_epoch
from ncscope.checkpoint.class_names import ClassNames, check_class_names
from ncscope.checkpoint.inspect import Inspection
from ncscope.checkpoint.log_sections import first_value, own_entries
from ncscope.checkpoint.methods import ROWS, plain_method
from ncscope.clip.prompts import TCP_ZERO_SHOT, TEMPLATES, known_data
from ncscope.errors import CheckpointError, DataError
from ncscope.zoo.settings import LearnerOptions, Settings, descriptions_of
from ncscope.zoo.wording import (
    USUAL_WORDS,
    leading_x,
    left_words,
    mma_words,
    mmrl_template,
    parts,
    prograd_words,
    tac_words,
    tail,
    tcp_words,
)

_NO_WORDS = ("_ATP", "AnchorOPT")  # they ignore CTX_INIT
_TCP = ("TCP", "DeKg_TCP")
_POSITIONED = tuple(row.name for row in ROWS if row.positioned)
_USERS = {
    "class_token_position": _POSITIONED,
    "condition": ("CoCoOp", "CoCoOp_ATP", "CoCoOp_AnchorOPT"),
    "image_feature": ("MMRL", "MMRL++"),
    "residual_scale": ("TaskRes",),
    "adapter_scale": ("MMA", "LwEIB", "CLIP-Adapter"),
    "teacher": ("PromptKD",),
    "teacher_backbone": ("PromptKD",),
    "base": ("DPC", "AnchorOPT", "CoCoOp_AnchorOPT", "TextRefiner"),
}


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


@dataclass(frozen=True)
class _Wording:
    """Class names, the fixed words before them and what follows them; what did not fit."""

    classnames: tuple[str, ...] | None
    before: str
    after: str
    warnings: tuple[str, ...] = ()


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
    said = options.settings or {}
    logged_settings = {**(log.settings if log else {}), **said}
    found.origins.update(dict.fromkeys(said, "option"))
    wording = _wording(seen, names, data, found, logged_settings)
    wording = _retold(seen, wording, data, options, logged_settings, stored=stored)
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
        descriptions=descriptions_of(options),
        residual_scale=_number(
            found, "residual_scale", options.residual_scale, seen, "RESIDUAL_SCALE"
        ),
        adapter_scale=_number(found, "adapter_scale", options.adapter_scale, seen, "ADAPTER_SCALE"),
        extras=seen.checkpoint.extras,
        run=_run(seen),
        split=options.split,
        logged=logged_settings,
        origins=found.origins,
        warnings=(*wording.warnings, *found.warnings, *_unused_options(seen.method, options)),
    )


def _run(seen: Inspection) -> dict[str, Any]:
    """What the run says of itself; `accuracy` (per cent, on its test split) to check against.

    `images` and `classes` are those the accuracy is of; `accuracy_is` says of which other model
    it is, where it is not the file's.
    """
    known = ("accuracy", "dataset", "subsample", "shots", "seed", "precision", "trainer")
    said = {name: getattr(seen.log, name) for name in known} if seen.log else {}
    if seen.log:
        said |= {"images": seen.log.images_tested, "classes": seen.log.num_classes}
    if (other := other_epoch(seen.checkpoint, seen.log)) is not None:
        said["accuracy_is"] = other
    epoch = seen.checkpoint.extras.get("epoch")
    return {**said, "epoch": epoch if isinstance(epoch, int) else None}


def _classnames(
    seen: Inspection, wording: _Wording, options: LearnerOptions, found: _Found
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
    if plain_method(seen.method) not in _POSITIONED:
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


def _number(
    found: _Found, name: str, option: float | None, seen: Inspection, setting: str
) -> float | None:
    """An option, or the value of a setting in the trainer's sections of log.txt."""
    logged = None
    if seen.log is not None:
        entries = own_entries(seen.log.settings, seen.log.trainer, seen.method)
        text = first_value(entries, setting)
        logged = None if text is None else _float(text, setting, seen)
    return found.settle(name, (option, "option"), (logged, "log.txt"))


def _float(text: str, setting: str, seen: Inspection) -> float:
    try:
        return float(text)
    except ValueError:
        raise CheckpointError(
            f"{seen.checkpoint.path}: log.txt says {setting} is {text!r}; expected a number"
        ) from None


def _unused_options(method: str, options: LearnerOptions) -> list[str]:
    """A warning for each option that was given and has no effect on the method."""
    given = [name for name in _USERS if getattr(options, name) is not None]
    return [
        f"--{name.replace('_', '-')} has no effect on {method}; it is for {_several(_USERS[name])}"
        for name in given
        if plain_method(method) not in _USERS[name]
    ]


def _several(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else names[0]


def _wording(
    seen: Inspection,
    names: ClassNames | None,
    data: str | None,
    found: _Found,
    logged: Mapping[str, str],
) -> _Wording:
    """The fixed words of the method's prompts, taken off the class names."""
    assert seen.method is not None
    method = plain_method(seen.method)
    known = known_data(data)
    own = known_data(seen.log.dataset if seen.log else None)
    if method in _TCP and (own or known):
        before, after = tcp_words(own or known or "")
        told = _worded(names, before=before, after=after)
        return told if own else replace(told, warnings=())
    if method == "MMA":
        return _worded(names, before=mma_words(names, logged))
    if method == "ProGrad":
        of = seen.log.dataset if seen.log and seen.log.dataset else data
        return _worded(names, before=prograd_words(logged, of))
    if method == "TAC":  # the words that its context began as stand behind it in full
        return _worded(names, before=tac_words(seen, names))
    if method in ("MMRL", "MMRL++", *_TCP):
        if names is None:
            template = TEMPLATES[known] if known else "{}."
        else:
            template = _template_of(names)
            found.origins["template"] = "the tokens in the file"
        before, after = parts(template)
        return _worded(names, before=before, after=after)
    return _worded(names, before=_after_context(seen, names))


def _retold(
    seen: Inspection,
    wording: _Wording,
    data: str | None,
    options: LearnerOptions,
    logged: Mapping[str, str],
    *,
    stored: bool,
) -> _Wording:
    """The file's wording with the words of the data set that features are wanted for."""
    assert seen.method is not None
    method, where = plain_method(seen.method), str(seen.checkpoint.path)
    own = seen.log.dataset if seen.log else None
    new = (wording.before, wording.after)
    if method in ("MMRL", "MMRL++"):
        file = f"{wording.before} {{}}{wording.after}".strip()
        templates = options.templates
        new = parts(mmrl_template(templates, data, trained=own, file=file, where=where))
    elif method in _TCP and (target := known_data(data)) and target != known_data(own):
        new = tcp_words(target)
    elif method == "ProGrad" and known_data(data) != known_data(own):
        new = (prograd_words(logged, data), wording.after)
    if new == (wording.before, wording.after):
        return wording
    if stored:
        raise CheckpointError(
            f"{where}: prompts of {new[0]!r} name {new[1]!r} are wanted, and the file has no "
            f"vocabulary, but only prompts of its own; name its backbone: --backbone NAME"
        )
    return replace(wording, before=new[0], after=new[1])


def _after_context(seen: Inspection, names: ClassNames | None) -> str:
    """Words of CTX_INIT that a shorter context leaves in place, such as MaPLe's "of a"."""
    assert seen.method is not None
    if seen.method.removeprefix("DePT over ").endswith("_ATP"):
        return leading_x(names)
    if any(part in seen.method for part in _NO_WORDS):
        return ""
    num_context = seen.facts.context_length or 0
    logged = seen.log.context_words if seen.log else None
    if logged:  # counted in words; a comma is a token more, and leaves a word more
        return tail(logged.split(), num_context) or left_words(names, logged)
    usual = tail(USUAL_WORDS.split(), num_context)
    before = "" if names is None else names.before
    return usual if usual and f"{before} ".startswith(f"{usual} ") else ""


def _worded(names: ClassNames | None, *, before: str = "", after: str = ".") -> _Wording:
    """Class names of a file whose method puts `before` and `after` around them.

    Where the file has other words, the file is right, and a warning says so.
    """
    if names is None:
        return _Wording(None, before, after)
    said = after.removesuffix(".").strip()
    if not after.endswith(".") and said and all(name.endswith(said) for name in names.names):
        # without a full stop at the end, the words after the name are taken for a part of it
        bare = tuple(name.removesuffix(said).strip() for name in names.names)
        names = replace(names, names=bare, after=said)
    own_before, own_after = names.before, names.after
    if not (own_before.startswith(before) and own_after.endswith(said)):
        warning = (
            f"prompts in the file read {own_before!r} name {own_after!r}; its method was expected "
            f"to write {before!r} and {said!r}; the file's are used"
        )
        return _Wording(names.names, own_before, _following(own_after), (warning,))
    first = own_before.removeprefix(before).strip()
    last = own_after.removesuffix(said).rstrip()
    gap = "" if not last or last[0] in ",.;:" else " "
    full = tuple(f"{first} {name}{gap}{last}".strip() for name in names.names)
    return _Wording(full, before, after)


def _template_of(names: ClassNames) -> str:
    """The known template that fits a file's words best; its own words where none does."""
    known = {*TEMPLATES.values(), *TCP_ZERO_SHOT.values()}
    fitting = [template for template in known if _fits(names, template)]
    whole = f"{names.before} {{}}{_following(names.after)}".strip()
    return max(sorted(fitting), key=len, default=whole)


def _fits(names: ClassNames, template: str) -> bool:
    before, after = parts(template)
    said = after.removesuffix(".").strip()
    return f"{names.before} ".startswith(f"{before} ") and names.after.endswith(said)


def _following(after: str) -> str:
    """What follows the name in a prompt that ends in a full stop."""
    gap = "" if not after or after[0] in ",.;:" else " "
    return f"{gap}{after}."
