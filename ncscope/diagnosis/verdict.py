"""The numbers of a run in plain sentences: what they say, beside what they could be.

K classes, D width. No sentence judges; each puts a value beside its ideal or its reference.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from ncscope.diagnosis.summary import GLOSSARY
from ncscope.diagnosis.tables import value_at
from ncscope.text import number, percent

_COMPARED = (
    ("accuracy.top1", "accuracy"), ("delta_lcd.centred", "centred Δ LCD"),
    ("delta_mid.centred", "centred Δ MID"), ("nc1", "NC1"),
)  # fmt: skip


def verdict(record: dict[str, Any]) -> list[str]:
    """Sentences on text, images, their match and accuracy; only those there are numbers for."""
    parts = (_accuracy, _text, _rank, _match, _images, _groups, _room)
    return [words for part in parts if (words := part(record)) is not None]


def comparison(records: Sequence[dict[str, Any]], names: Sequence[str]) -> list[str]:
    """Which of several runs on the same classes is best by a few measures, with the range."""
    found = []
    for path, words in _COMPARED:
        values = {n: value_at(r["summary"], path) for r, n in zip(records, names, strict=True)}
        known = {name: value for name, value in values.items() if value is not None}
        if len(known) < 2:
            continue
        show = percent if path.startswith("accuracy") else number
        found.append(_ranked(words, known, show, higher=_better(path) == "higher"))
    return found


def _ranked(
    words: str, known: dict[str, float], show: Callable[[float], str], *, higher: bool
) -> str:
    """Who is best by one measure, as far as the digits shown tell, and the range of the others."""
    best = show((max if higher else min)(known.values()))
    first = [name for name, value in known.items() if show(value) == best]
    if len(first) == len(known):
        return f"{words[0].upper()}{words[1:]}: {best} for all."
    others = [value for name, value in known.items() if name not in first]
    ends = dict.fromkeys((show(min(others)), show(max(others))))  # one where they read alike
    who = ", ".join(first[:3]) + (f" and {len(first) - 3} more" if len(first) > 3 else "")
    return (
        f"{'Highest' if higher else 'Lowest'} {words}: {who} with {best}, against "
        f"{' to '.join(ends)}."
    )


def _accuracy(record: dict[str, Any]) -> str | None:
    top1, error = (value_at(record["summary"], f"accuracy.{name}") for name in ("top1", "ece"))
    if top1 is None:
        return None
    chance = f"chance is {percent(1 / record['classes'])}"
    sure = "" if error is None else f", and its confidence is off by {percent(error)} on average"
    return f"The text classifies {percent(top1)} of the images correctly ({chance}){sure}."


def _text(record: dict[str, Any]) -> str | None:
    mean = record["measures"].get("cosine_mean/text/raw")
    raw, centred = (value_at(record["summary"], f"delta_lcd.{form}") for form in ("raw", "centred"))
    if mean is None or raw is None or centred is None:
        return None
    ideal = -1 / (record["classes"] - 1)
    words = (
        f"Two text features have a cosine of {number(mean, 2)} on average, where a simplex has "
        f"{number(ideal, 2 if record['classes'] < 100 else 3)}: Δ LCD is {number(raw)}. "
        f"Without their common offset, which the classifier does not see, it is {number(centred)}"
    )
    if record["classes"] < 10:
        return f"{words}."
    # cosines of independent directions in D dimensions have a standard deviation of 1/sqrt(D)
    chance = math.sqrt(2 / (math.pi * record["dim"]))
    return f"{words}; independent random directions would give about {number(chance, 2)}."


def _rank(record: dict[str, Any]) -> str | None:
    rank = value_at(record["summary"], "effective_rank.text")
    if rank is None or record["classes"] < 3:
        return None
    full = min(record["classes"] - 1, record["dim"])
    return (
        f"The text features spread over {number(rank, 1)} effective dimensions of the "
        f"{number(full)} that a simplex fills evenly."
    )


def _match(record: dict[str, Any]) -> str | None:
    raw, centred = (value_at(record["summary"], f"delta_mid.{form}") for form in ("raw", "centred"))
    gap = value_at(record["summary"], "modality_gap")
    if raw is None or centred is None or gap is None:
        return None
    return (
        f"A text feature and the mean of its class's images have a cosine of {number(1 - raw, 2)} "
        f"on average, {number(1 - centred, 2)} once each side is centred (1 is ideal); the centres "
        f"of the two modalities lie {number(gap, 2)} apart (at most 2)."
    )


def _images(record: dict[str, Any]) -> str | None:
    nc1, nc4 = (value_at(record["summary"], name) for name in ("nc1", "nc4"))
    near = record["measures"].get("ncc_accuracy")
    if nc1 is None or near is None:
        return None
    words = (
        f"Images scatter around their class means with NC1 = {number(nc1)} (0 is full collapse); "
        f"the nearest class mean is right for {percent(near)} of them"
    )
    if nc4 is None:
        return f"{words}."
    return f"{words} and agrees with the text on {percent(nc4)}."


def _groups(record: dict[str, Any]) -> str | None:
    shown = [
        f"{name} {percent(values['accuracy'])}"
        for name, values in record["groups"].items()
        if values and values.get("accuracy") is not None
    ]
    return f"Accuracy by frequency of the class: {', '.join(shown)}." if len(shown) > 1 else None


def _room(record: dict[str, Any]) -> str | None:
    if record["bounds"]["simplex_etf_exists"]:
        return None
    floor = record["bounds"]["etf_distance"]["text"]["floor"]
    return (
        f"With {number(record['classes'])} classes in {number(record['dim'])} dimensions no "
        f"simplex exists: ETF distances cannot fall below {number(floor)}."
    )


def _better(path: str) -> str | None:
    entry = GLOSSARY.get(path) or GLOSSARY[path.rpartition(".")[0]]
    return entry.better
