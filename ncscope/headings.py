"""What the page calls its runs: short, and all different."""

from collections.abc import Sequence
from typing import Any

from ncscope.text import clean, number, short

_LIMIT = 36


def run_names(records: Sequence[dict[str, Any]]) -> list[str]:
    """A short name a run: the part of its source's path that tells it from the others.

    With the data's name where one source was measured on several; numbered where nothing differs.
    """
    paths = [_parts(record.get("source")) for record in records]
    names = [path[-1] for path in paths]
    if len(set(names)) < len(set(paths)):
        names = ["/".join(part) or path[-1] for part, path in zip(_own(paths), paths, strict=True)]
    data = [_parts(record.get("data"))[-1] if record.get("data") else "" for record in records]
    names = [
        f"{name} on {where}" if where and names.count(name) > 1 and len(set(data)) > 1 else name
        for name, where in zip(names, data, strict=True)
    ]
    names = [short(name, _LIMIT) for name in names]
    return [
        name if names.count(name) == 1 else f"{name} ({names[: place + 1].count(name)})"
        for place, name in enumerate(names)
    ]


def _own(paths: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Paths without the parts that all begin with, and without those that all end with."""
    start = stop = 0
    least = min(len(path) for path in paths)
    while start < least and len({path[start] for path in paths}) == 1:
        start += 1
    while stop < least - start and len({path[-1 - stop] for path in paths}) == 1:
        stop += 1
    return [path[start : len(path) - stop] for path in paths]


def page_title(records: Sequence[dict[str, Any]]) -> str:
    """What was analysed, in a few words."""
    data = list(dict.fromkeys(_parts(r["data"])[-1] for r in records if r.get("data")))
    on = f" on {data[0]}" if len(data) == 1 else f" on {len(data)} data sets" if data else ""
    if len(records) == 1:
        return short(_parts(records[0].get("source"))[-1] + on, 90)
    return f"{len(records)} runs{short(on, 70)}"


def sizes(record: dict[str, Any]) -> list[tuple[str, str]]:
    """The sizes of a run, as (letter's meaning, number)."""
    return [
        ("classes", number(record["classes"])),
        ("images", number(record["samples"]) if record["samples"] else "no"),
        ("dimensions", number(record["dim"])),
    ]


def same_classes(records: Sequence[dict[str, Any]]) -> bool:
    """Whether all runs have the same classes in the same order and the same width."""
    first = ([row["name"] for row in records[0]["per_class"]], records[0]["dim"])
    return all(([row["name"] for row in r["per_class"]], r["dim"]) == first for r in records[1:])


def _parts(name: object) -> tuple[str, ...]:
    """The parts of a path, at least one."""
    words = clean(name).replace("\\", "/") if name is not None else ""
    return tuple(part for part in words.split("/") if part.strip()) or ("features",)
