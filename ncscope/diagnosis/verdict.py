"""The numbers of a run in plain sentences: what they say, beside what they could be.

K classes, D width. No sentence judges; each puts a value beside its ideal or its reference.
"""

import math
from collections.abc import Sequence
from typing import Any

from ncscope.diagnosis.against import decided
from ncscope.diagnosis.summary import GLOSSARY
from ncscope.diagnosis.tables import entry_of, value_at
from ncscope.text import number, percent

_COMPARED = (
    "accuracy.top1", "delta_lcd.centred", "delta_mid.centred", "modality_gap", "nc1",
)  # fmt: skip
_ONE_VECTOR = 0.98  # mean cosine of texts from which all are nearly one


def verdict(record: dict[str, Any]) -> list[str]:
    """Sentences on text, images, their match and accuracy; only those there are numbers for."""
    parts = (alarm, _accuracy, _text, _rank, _match, _images, _groups, _room)
    return [words for part in parts if (words := part(record)) is not None]


def comparison(records: Sequence[dict[str, Any]], names: Sequence[str]) -> list[str]:
    """A sentence a run on how it differs from its reference, with paired intervals.

    A difference is named only where every interval there is leaves zero out.
    """
    return [
        f"{name if len(records) > 1 else 'The run'} against {against['reference']}"
        f"{_of_common(against)}: {'; '.join(said)}."
        for record, name in zip(records, names, strict=True)
        if (against := record.get("against")) and (said := _differences(record, against))
    ]


def overview(records: Sequence[dict[str, Any]], names: Sequence[str]) -> list[str]:
    """All runs against their reference in at most four sentences; a run is named where decided."""
    found = [
        (name, against)
        for record, name in zip(records, names, strict=True)
        if (against := record.get("against"))
    ]
    said = []
    for path in ("accuracy.top1", "delta_lcd.centred", "delta_mid.centred"):
        known = [(name, one["values"][path]) for name, one in found if path in one["values"]]
        sure = [(name, value) for name, value in known if decided(value)]
        sign = 1 if _better(path) == "higher" else -1
        better = [one for one in sure if sign * one[1]["difference"] > 0]
        if not known:
            continue
        words = f"{_called(path)}: {len(better)} of {len(known)} runs better than the reference, "
        words += f"{len(sure) - len(better)} worse, {len(known) - len(sure)} that cannot be told"
        if better:
            name, value = max(better, key=lambda one: sign * one[1]["difference"])
            said_of = _difference(path, value).removeprefix(f"{_called(path)} ")
            words += f"; most in {name}: {said_of.removesuffix(', better')}"
        said.append(f"{words[0].upper()}{words[1:]}.")
    paid = [(one["values"].get("accuracy.top1", {}).get("difference", 0.0), name, one["pays"])
            for name, one in found if one.get("pays")]  # fmt: skip
    if paid:
        _, name, pays = min(paid)
        said.append(f"In {name} {pays}.")
    return said


def _of_common(against: dict[str, Any]) -> str:
    return f" on the {number(against['classes'])} classes both have" if "of" in against else ""


def _differences(record: dict[str, Any], against: dict[str, Any]) -> list[str]:
    """The decided differences first, in their order; then all others in one part."""
    values = against["values"]
    # Centred values of one vector are its noise: such a text side is compared as it is.
    form = "raw" if alarm(record) else "centred"
    shown = [path for one in _COMPARED if (path := one.replace("centred", form)) in values]
    named = [path for path in shown if decided(values[path])]
    found = [_difference(path, values[path]) for path in named]
    rest = ", ".join(_called(path) for path in shown if path not in named)
    if rest:
        found.append(f"no difference that these data can tell in {rest}")
    return found + ([pays] if (pays := against.get("pays")) else [])


def _difference(path: str, value: dict[str, Any]) -> str:
    step, higher = value["difference"], _better(path) == "higher"
    way = "better" if (step > 0) == higher else "worse"
    share = path.startswith("accuracy")
    spans = [
        f"[{signed(low, share=share)}, {signed(high, share=share)}]" for low, high in _spans(value)
    ]
    unit = " points" if share else ""
    return f"{_called(path)} {signed(step, share=share)}{unit} {' and '.join(spans)}, {way}"


def _spans(value: dict[str, Any]) -> list[list[float]]:
    return [span for span in (value["images"], value["classes"]) if span is not None]


def _called(path: str) -> str:
    entry, form = entry_of(path)
    return "accuracy" if path == "accuracy.top1" else f"{form} {entry.title}".strip()


def signed(value: float, *, share: bool) -> str:
    """A difference with its sign: of shares in points, of all else with three places."""
    return (f"{100 * value:+.1f}" if share else f"{value:+.3f}").replace("-", "−")


def alarm(record: dict[str, Any]) -> str | None:
    """What must be seen first: all text features are nearly one vector."""
    mean = record["measures"].get("cosine_mean/text/raw")
    raw = value_at(record["summary"], "delta_lcd.raw")
    if mean is None or raw is None or mean < _ONE_VECTOR:
        return None
    top = record["bounds"]["delta_lcd"]["ceiling"]
    return (
        f"The text side has collapsed to one vector: its {number(record['classes'])} features have "
        f"a mean cosine of {mean:.4f}, Δ LCD raw is {number(raw)} of at most {number(top)}. "
        f"Centred values measure what little is left, which may be noise."
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
