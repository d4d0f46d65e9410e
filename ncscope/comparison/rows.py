"""Runs as rows and points of a table: labels, order, what comes twice, and the accuracies.

A row is what a table has a line for, over data sets, ratios and seeds; a point is one run of it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Literal

from ncscope.diagnosis.outcome import SETTINGS, Outcome, Setting, is_domain_of, short_names
from ncscope.errors import DataError
from ncscope.metrics.accuracy import harmonic_mean

Duplicates = Literal["error", "newest"]
BASE_TO_NEW = ("base", "new", "h")
ACCURACY = ("accuracy",)
SPLIT_WORDS = {"base": "base classes", "new": "new classes", "all": "all classes"}

# How a setting is written in a label; others by their own name.
_WORDS = {"lcd_weight": "lcd", "mid_weight": "mid", "lcd_form": "lcd form", "mid_form": "mid form",
          "class_order": "order", "relative_weights": "relative", "ctx_init": "ctx init",
          "ctx_vision": "image ctx", "batch_size": "batch", "class_token_position": "class name",
          "cpt_weights": "cpt weights", "cpt_clusters": "clusters",
          "test_part": "tested on", "few_shot": "images", "DATASET.NUM_SHOTS": "shots",
          "OPTIM.MAX_EPOCH": "epochs", "OPTIM.LR": "lr"}  # fmt: skip
# The order of rows, and of data sets: as the field prints them.
_METHODS = ("zero-shot", "coop", "cocoop", "kgcoop", "prograd", "vpt", "ivlp", "maple",
            "promptsrc", "tcp", "taskres", "clip-adapter", "tip-adapter-f", "linear-probe",
            "shared-text")  # fmt: skip
_DATA = ("imagenet", "caltech", "pets", "cars", "flowers", "food", "aircraft", "sun397", "dtd",
         "describabletextures", "eurosat", "ucf101", "imagenetv2", "imagenetsketch", "imageneta",
         "imagenetr")  # fmt: skip


@dataclass(frozen=True, eq=False)
class Labelled:
    """An outcome and the row it belongs to."""

    label: str
    outcome: Outcome


def merge_splits(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Outcomes of untuned models whose base and new classes were analysed apart, put together."""
    merged: list[Outcome] = []
    places: dict[tuple[object, ...], list[int]] = {}
    for outcome in outcomes:
        if outcome.trained_on is not None:
            merged.append(outcome)
            continue
        told = tuple(sorted((key, str(value)) for key, value in outcome.settings.items()))
        same = places.setdefault((outcome.name, outcome.data, outcome.seed, told), [])
        splits = outcome.accuracy.keys() | outcome.measures.keys()
        for place in same:
            held = merged[place]
            if not splits & (held.accuracy.keys() | held.measures.keys()):
                merged[place] = replace(
                    held,
                    accuracy={**held.accuracy, **outcome.accuracy},
                    measures={**held.measures, **outcome.measures},
                )
                break
        else:
            same.append(len(merged))
            merged.append(outcome)
    return merged


def label_rows(outcomes: Sequence[Outcome], *, by: Sequence[str] | None = None) -> list[Labelled]:
    """Name the row of each outcome.

    A row is a name, with the settings of the runs in which runs of this name differ:
    "maple+npt (lcd 0.1, mid 1)". `tau` is no setting here: tables are made a tau at a time.

    Args:
        by: the settings to tell apart, instead of all that differ; an empty list tells none apart.

    Raises:
        DataError: `by` names something that is no setting.
    """
    lines = {key for o in outcomes for key in o.settings if "." in key}
    unknown = sorted(set(by or ()) - set(SETTINGS) - lines)
    if unknown:
        there = ", ".join((*SETTINGS, *sorted(lines)))
        raise DataError(f"by {', '.join(unknown)}: not a setting of a run; there are {there}")
    plain = short_names({o.name for o in outcomes if o.trained_on is None})
    trained = {o.name for o in outcomes if o.trained_on is not None}
    plain = {name: f"{short} analysed" if short in trained else short
             for name, short in plain.items()}  # fmt: skip
    names = [plain[o.name] if o.trained_on is None else o.name for o in outcomes]
    differing = {name: _differing([o for o, n in zip(outcomes, names, strict=True) if n == name])
                 for name in dict.fromkeys(names)}  # fmt: skip
    labelled = []
    for outcome, name in zip(outcomes, names, strict=True):
        keys = [key for key in differing[name] if by is None or key in by]
        found = ", ".join(setting_words(key, outcome.settings.get(key)) for key in keys)
        labelled.append(Labelled(f"{name} ({found})" if found else name, outcome))
    return sorted(labelled, key=_order)


def _differing(outcomes: Sequence[Outcome]) -> list[str]:
    """Settings that tell rows of one name apart; lines of logs where they do on one data set.

    A line that is one thing on each data set is part of the recipe, as ImageNet's epochs are.
    """
    here = [key for key in SETTINGS if len({str(o.settings.get(key)) for o in outcomes}) > 1]
    for key in sorted({key for o in outcomes for key in o.settings if "." in key}):
        values = {(o.data, str(o.settings.get(key))) for o in outcomes}
        if len(values) > len({o.data for o in outcomes}):
            here.append(key)
    return here


def recipe_notes(rows: Sequence[Labelled]) -> list[str]:
    """Lines of logs in which runs of one row differ, from data set to data set."""
    notes = []
    for label in dict.fromkeys(row.label for row in rows):
        mine = [row.outcome for row in rows if row.label == label]
        lines = dict.fromkeys(key for o in mine for key in o.settings if "." in key)
        apart = [key for key in lines if len({str(o.settings.get(key)) for o in mine}) > 1]
        if apart:
            said = ", ".join(apart[:5]) + (f" and {len(apart) - 5} more" if apart[5:] else "")
            notes.append(f"{label}: {said} {'differ' if apart[1:] else 'differs'} between data "
                         f"sets (--by tells them apart).")  # fmt: skip
    return notes


def setting_words(key: str, value: Setting) -> str:
    """A setting as a label has it: "lcd 0.1"."""
    if value is None:
        shown = "–"
    elif isinstance(value, float):
        shown = f"{value:g}"
    else:
        shown = str(value) or '""'  # words to begin a context with: none
    return f"{_WORDS.get(key, key.rpartition('.')[2].lower())} {shown}"


def _order(row: Labelled) -> tuple[object, ...]:
    head = row.label.split("+")[0].split(",")[0].split(" ")[0].lower()
    known = _METHODS.index(head) if head in _METHODS else len(_METHODS)
    weights: Mapping[str, Setting] = row.outcome.settings
    found = (weights.get(key) for key in ("lcd_weight", "mid_weight"))
    numbers = [value if isinstance(value, float) else 0.0 for value in found]
    return (known, row.outcome.name, *numbers, row.label)


def without_duplicates(rows: Sequence[Labelled], *, duplicates: Duplicates = "error"
                       ) -> tuple[list[Labelled], list[str]]:  # fmt: skip
    """One outcome for each row, training data, data set, tau and seed, and a note on any others.

    Args:
        duplicates: `"error"` refuses two; `"newest"` takes the file that was written last.

    Raises:
        DataError: a run comes twice and `duplicates` is `"error"`; both files are named.
    """
    if duplicates not in ("error", "newest"):
        raise DataError(f"duplicates must be error or newest; found {duplicates!r}")
    kept: dict[tuple[object, ...], Labelled] = {}
    dropped = []
    for row in rows:
        o = row.outcome
        key = (row.label, o.trained_on, o.trained_split, o.data, o.tau, o.seed)
        other = kept.setdefault(key, row)
        if other is row:
            continue
        if duplicates == "error":
            raise DataError(
                f"{row.label} on {o.data}, tau {o.tau}, seed {o.seed} comes twice: "
                f"{other.outcome.file} and {o.file}; leave one out, tell them apart by a setting, "
                f"or take the newest (--duplicates newest)"
            )
        newest, older = sorted((row, other), key=_written, reverse=True)
        kept[key] = newest
        dropped.append(older.outcome.file)
    notes = [f"Runs that come twice: the newest is taken; left out: {', '.join(dropped)}."]
    return list(kept.values()), notes if dropped else []


def _written(row: Labelled) -> tuple[int, str]:
    file = row.outcome.file
    return Path(file).stat().st_mtime_ns, file


def counted(rows: Sequence[Labelled]) -> str:
    """How many runs and data sets: "42 runs on 14 data sets"."""
    runs = len({row.outcome.file for row in rows})
    data = len({row.outcome.data for row in rows})
    return f"{runs} run{'s' * (runs != 1)}" + (f" on {data} data sets" if data > 1 else "")


def taus(rows: Iterable[Labelled]) -> list[float | None]:
    """The imbalance ratios that runs were trained at, balanced first; [None] where none says."""
    found = {row.outcome.tau for row in rows if row.outcome.tau is not None}
    return [*sorted(found, reverse=True)] or [None]


def tau_words(ratios: Iterable[float | None], between: str = ", ") -> str:
    """The ratios as a sentence has them, without what says none."""
    return between.join(f"{ratio:g}" for ratio in ratios if ratio is not None)


def at_tau(rows: Iterable[Labelled], tau: float | None) -> list[Labelled]:
    """The rows of one ratio; what was not trained, or does not say, belongs to each."""
    return [row for row in rows if row.outcome.tau in (None, tau)]


@dataclass(frozen=True, eq=False)
class Point:
    """One run's accuracies, shares in [0, 1], by column."""

    label: str
    data: str
    tau: float | None
    seed: int | None
    values: Mapping[str, float]


def base_to_new_points(rows: Iterable[Labelled]) -> list[Point]:
    """Base, new and H of each run on its own data set; those trained on others are left out."""
    points = []
    for row in rows:
        o = row.outcome
        if not o.own_data or o.trained_split not in (None, "base"):
            continue
        values = {split: o.accuracy[split] for split in ("base", "new") if split in o.accuracy}
        if len(values) == 2:
            values["h"] = harmonic_mean(values["base"], values["new"])
        if values:
            points.append(Point(row.label, o.data, o.tau, o.seed, values))
    return points


def sources(rows: Iterable[Labelled]) -> list[tuple[str, str]]:
    """Training data (and split) of the runs that were tested on other data sets as well."""
    found = {(o.trained_on, o.trained_split or "all")
             for o in (row.outcome for row in rows) if o.trained_on and not o.own_data}  # fmt: skip
    return sorted(found)


def transfer_points(
    rows: Iterable[Labelled], source: str, split: str, *, domains: bool
) -> list[Point]:
    """Accuracy of runs trained on `source`, on it and on other data sets, or on its domains.

    An untrained model's accuracy on the same data sets, all classes, is a row as well.
    """
    rows = list(rows)
    targets = {o.data for o in (row.outcome for row in rows)
               if o.trained_on == source and not o.own_data
               and is_domain_of(o.data, source) == domains}  # fmt: skip
    if not targets:
        return []
    points = []
    for row in rows:
        o = row.outcome
        trained_here = o.trained_on == source and (o.trained_split or "all") == split
        if not (trained_here or o.trained_on is None):
            continue
        own = o.data == source
        if not own and o.data not in targets:
            continue
        value = o.accuracy.get(split if own else "all")
        if value is not None:
            points.append(Point(row.label, o.data, o.tau, o.seed, {"accuracy": value}))
    away = {point.label for point in points if point.data != source}
    return [point for point in points if point.label in away]


def accuracy_points(rows: Iterable[Labelled]) -> list[Point]:
    """All-class accuracy of runs on their own data set."""
    found = [(row.label, row.outcome) for row in rows if row.outcome.own_data]
    return [Point(label, o.data, o.tau, o.seed, {"accuracy": o.accuracy["all"]})
            for label, o in found if "all" in o.accuracy]  # fmt: skip


def averaged(points: Iterable[Point], data: Sequence[str], column: str) -> list[Point]:
    """A point a training: its mean over the data sets, of one name; those that miss one are left.

    One model was tested on all of them, so that its accuracies are no independent draws.
    """
    runs: dict[tuple[str, float | None, int | None], dict[str, float]] = {}
    for p in points:
        if p.data in data and column in p.values:
            runs.setdefault((p.label, p.tau, p.seed), {})[p.data] = p.values[column]
    return [Point(label, "average", tau, seed, {column: fmean(found.values())})
            for (label, tau, seed), found in runs.items() if len(found) == len(data)]  # fmt: skip


def with_tau(points: Iterable[Point], tau: float | None) -> list[Point]:
    """The points of a table of one ratio, those that do not say theirs among them."""
    return [replace(point, tau=tau) for point in points]


def labels_of(points: Sequence[Point]) -> list[str]:
    """Row names, in the order of the points."""
    return list(dict.fromkeys(point.label for point in points))


def data_of(points: Sequence[Point]) -> list[str]:
    """Data sets, in the field's order."""
    return sorted({point.data for point in points}, key=data_order)


def data_order(data: str) -> tuple[int, str]:
    """Sort key: the order in which the field prints its data sets, others by name after them."""
    name = data.lower().replace("_", "").replace("-", "")
    found = [k for k, known in enumerate(_DATA) if known in name]
    return (max(found, key=lambda k: len(_DATA[k])) if found else len(_DATA), data)
