"""Splits the words around class names in a file: those of the method's prompt from the names'.

The file shows what all rows have in common. Where every class begins or ends with one word ("red
fox", "red panda"), that word is shown, too, but belongs to the names.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ncscope.checkpoint.class_names import ClassNames
from ncscope.clip.templates import TCP_ZERO_SHOT, TEMPLATES


@dataclass(frozen=True)
class Wording:
    """Class names, the fixed words before them and what follows them; what did not fit."""

    classnames: tuple[str, ...] | None
    before: str
    after: str
    warnings: tuple[str, ...] = ()


def worded(names: ClassNames | None, *, before: str = "", after: str = ".") -> Wording:
    """Class names of a file whose method puts `before` and `after` around them.

    Where the file has other words, the file is right, and a warning says so.
    """
    if names is None:
        return Wording(None, before, after)
    said = after.removesuffix(".").strip()
    if not after.endswith(".") and said and all(name.endswith(said) for name in names.names):
        # without a full stop at the end, the words after the name are taken for a part of it
        names = replace(names, names=_without_end(names.names, said), after=said)
    own_before, own_after = names.before, names.after
    if not (own_before.startswith(before) and own_after.endswith(said)):
        warning = (
            f"prompts in the file read {own_before!r} name {own_after!r}; its method was expected "
            f"to write {before!r} and {said!r}; the file's are used"
        )
        return Wording(names.names, own_before, _following(own_after), (warning,))
    first = own_before.removeprefix(before).strip()
    last = own_after.removesuffix(said).rstrip()
    gap = "" if not last or last[0] in ",.;:" else " "
    full = tuple(f"{first} {name}{gap}{last}".strip() for name in names.names)
    return Wording(full, before, after)


def template_of(names: ClassNames) -> str:
    """The known template that fits a file's words best; its own words where none does."""
    known = {*TEMPLATES.values(), *TCP_ZERO_SHOT.values()}
    fitting = [template for template in known if _fits(names, template)]
    whole = f"{names.before} {{}}{_following(names.after)}".strip()
    return max(sorted(fitting), key=len, default=whole)


def parts(template: str) -> tuple[str, str]:
    """What a template has before and after the class name."""
    before, _, after = template.partition("{}")
    return before.strip(), after


def tail(words: Sequence[str], num_context: int) -> str:
    """The words of an initial prompt that a shorter context leaves in place."""
    return " ".join(words[num_context:])


def _without_end(names: Sequence[str], end: str) -> tuple[str, ...]:
    return tuple(name.removesuffix(end).strip() for name in names)


def _fits(names: ClassNames, template: str) -> bool:
    before, after = parts(template)
    said = after.removesuffix(".").strip()
    return f"{names.before} ".startswith(f"{before} ") and names.after.endswith(said)


def _following(after: str) -> str:
    """What follows the name in a prompt that ends in a full stop."""
    gap = "" if not after or after[0] in ",.;:" else " "
    return f"{gap}{after}."
