"""The settings in log.txt that are the run's own: those in the sections of its trainer.

A key is looked up in the sections of the method's row, in their order. Where the trainer is not
known, the longest name of a section inside the trainer's name is taken.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ncscope.checkpoint.facts import Facts
from ncscope.checkpoint.log_keys import Section, Use
from ncscope.checkpoint.methods import sections_of
from ncscope.checkpoint.trainers import folded, may_be, method_of


@dataclass(frozen=True)
class Entry:
    """A line of one of the run's own sections: its dotted name, its key there, its value.

    `use` is what it is to the method; None where the method is not known to have such a key.
    """

    name: str
    key: str
    value: str
    use: Use | None


def own_entries(
    settings: Mapping[str, str], trainer: str | None, method: str | None = None
) -> tuple[Entry, ...]:
    """The entries of the run's own sections, in the order in which keys are looked up.

    `method` is the file's: of several with one trainer's name, that is the one.
    """
    if trainer and (method is None or not may_be(method, trainer)):
        method = method_of(trainer)
    if method is None or not trainer:
        return tuple(_guessed(settings, trainer or ""))
    sections = sections_of(method)
    return tuple(entry for part in sections for entry in _entries(part, settings, trainer or ""))


def first_value(entries: tuple[Entry, ...], *keys: str) -> str | None:
    """The first value that is not empty of the first of these keys; dead ones are passed over."""
    for key in keys:
        for entry in entries:
            if entry.key == key and entry.value and (entry.use is None or entry.use.kind != "dead"):
                return entry.value
    return None


def unheeded(entries: tuple[Entry, ...], facts: Facts, length: int | None) -> list[str]:
    """A line for each entry that is not listed, or that says other than the file or the method.

    Args:
        facts: what the file's shapes say.
        length: the context's length in the log, its initial words considered.
    """
    return [line for entry in entries if (line := _complaint(entry, facts, length))]


def _complaint(entry: Entry, facts: Facts, length: int | None) -> str | None:
    said = f"{entry.name} is {entry.value or 'empty'} in log.txt"
    if entry.use is None:
        return f"{said}: the method is not known to have this setting, and it was not used"
    if entry.use.kind == "only" and entry.value not in entry.use.values:
        return f"{said}: only {' or '.join(entry.use.values)} is read, and was taken"
    if entry.use.kind != "checked":
        return None
    logged = length if entry.use.fact == "context_length" else _value(entry.value)
    seen = getattr(facts, entry.use.fact)
    if (logged in (None, 0) and logged is not False) or seen is None or logged == seen:
        return None
    what = entry.use.fact.replace("_", " ")
    return f"{what}: {logged} in log.txt, {seen} in the file; is it another run's?"


def _value(text: str) -> int | bool | None:
    flags = {"True": True, "False": False}
    if text in flags:
        return flags[text]
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _entries(section: Section, settings: Mapping[str, str], trainer: str) -> Iterator[Entry]:
    """The entries of a section, as it is spelt in the log; in upper or mixed case."""
    prefix = _prefix(section, settings, trainer)
    if prefix is None:
        return
    for name, value in settings.items():
        key = name.removeprefix(prefix)
        if key == name and prefix:
            continue
        use = section.keys.get(key)
        heading = not value and any(other.startswith(f"{name}.") for other in settings)
        if use is not None or (section.whole and not heading):
            yield Entry(name, key, value, use)


def _prefix(section: Section, settings: Mapping[str, str], trainer: str) -> str | None:
    inside = f"{section.inside}." if section.inside else ""
    if not section.names:
        return inside
    wanted = sorted(section.names, key=lambda name: folded(name) != folded(trainer))
    there = {name.removeprefix(inside).split(".")[0] for name in settings if "." in name}
    for name in wanted:
        spelt = [one for one in sorted(there) if folded(one) == folded(name)]
        spelt.sort(key=lambda one: one != name)
        for one in spelt:
            if any(key.startswith(f"{inside}{one}.") for key in settings):
                return f"{inside}{one}."
    return None


def _guessed(settings: Mapping[str, str], trainer: str) -> Iterator[Entry]:
    """Entries of the longest section whose name is inside an unknown trainer's."""
    names = [name.split(".") for name in settings if name.startswith("TRAINER.")]
    inside = {p[1] for p in names if len(p) > 2 and folded(p[1]) in folded(trainer)}
    if not inside:
        return
    prefix = f"TRAINER.{max(sorted(inside), key=len)}."
    for name, value in settings.items():
        if name.startswith(prefix):
            key = name.removeprefix(prefix)
            length = key in ("N_CTX", "N_CTX_TEXT")
            yield Entry(
                name, key, value, Use("checked", "context_length") if length else Use("used")
            )
