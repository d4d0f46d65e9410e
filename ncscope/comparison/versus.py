"""Every row against a chosen baseline, paired by data set, tau and seed."""

from collections.abc import Sequence
from statistics import fmean

from ncscope.comparison.averages import listed
from ncscope.comparison.paired import Paired, paired
from ncscope.comparison.points import Point, labels_of
from ncscope.comparison.table import Cell, Table, percent, probability, span, words
from ncscope.errors import DataError

_HEADS = ("", "accuracy", "difference", "95 %", "n", "data sets", "+ / = / −",
          "t", "t, data sets", "Wilcoxon", "sign")  # fmt: skip
_SHOWN = {"base": "base", "new": "new", "h": "H of each run", "accuracy": "accuracy"}
NOTE = (
    "Tests: differences in points, row minus baseline, of n pairs of one data set, tau and seed; "
    "their mean is over data sets. p values are two-sided, not corrected for the number of "
    "comparisons; t, Wilcoxon and sign test take the pairs as independent; t, data sets, is of the "
    "data sets' mean differences. The interval draws whole data sets (10 000 times) and is too "
    "narrow with few of them (with ten it holds the mean nine times in ten, with three seven or "
    "eight); with one it is Student's over its pairs. Models tested on several data sets count "
    "once, by their average."
)


def find_baseline(labels: Sequence[str], name: str) -> str:
    """The row that is meant: its label, or the one label that starts with the name.

    Raises:
        DataError: no such row, or several.
    """
    if name in labels:
        return name
    found = [label for label in labels if label.startswith(f"{name} (")]
    if len(found) == 1:
        return found[0]
    state = "is several rows" if found else "is no row"
    raise DataError(f"--baseline {name!r} {state}; there are: {'; '.join(found or labels)}")


def versus(
    points: Sequence[Point], columns: Sequence[str], baseline: str, *, title: str, seed: int = 0
) -> Table | None:
    """Paired tests of each row against the baseline; None where there is no other row."""
    others = [label for label in labels_of(points) if label != baseline]
    rows: list[tuple[str, tuple[Cell, ...]]] = []
    notes: dict[str, list[str]] = {}
    for label in others:
        for column in columns:
            what = f"{label} {_SHOWN[column]}"
            differences, data, averaged = pairs(points, label, baseline, column)
            if not differences:
                notes.setdefault("no pair with the baseline", []).append(what)
                continue
            found = paired(differences, data, seed=seed)
            rows.append((label, (words(_SHOWN[column]), *_cells(found))))
            for reason in found.reasons:
                notes.setdefault(reason, []).append(what)
            if averaged:
                notes.setdefault(_AVERAGED, []).append(what)
    if not others:
        return None
    every = len(others) * len(columns)
    said = (f"{reason}: {'all' if len(which) == every else listed(which)}."
            for reason, which in notes.items())  # fmt: skip
    return Table(f"{title} against {baseline}", _HEADS, tuple(rows), tuple(said), "tests")


_AVERAGED = "One side has no seeds; the other's mean over its own is paired with it"


def pairs(
    points: Sequence[Point], label: str, baseline: str, column: str
) -> tuple[list[float], list[str], bool]:
    """Differences and their data sets; whether a side without seeds met the mean over seeds."""
    own, other = (_by_data(points, name, column) for name in (label, baseline))
    differences, data, averaged = [], [], False
    for name in own:
        first, second = own[name], other.get(name, {})
        shared = [run for run in first if run in second]
        found = [first[run] - second[run] for run in shared]
        if not shared and second and any(seed is None for _, seed in (*first, *second)):
            found, averaged = [fmean(first.values()) - fmean(second.values())], True
        differences += found
        data += [name] * len(found)
    return differences, data, averaged


def _by_data(
    points: Sequence[Point], label: str, column: str
) -> dict[str, dict[tuple[float | None, int | None], float]]:
    found: dict[str, dict[tuple[float | None, int | None], float]] = {}
    for p in points:
        if p.label == label and column in p.values:
            found.setdefault(p.data, {})[p.tau, p.seed] = p.values[column]
    return found


def _cells(found: Paired) -> tuple[Cell, ...]:
    ends = (percent(found.low, sign=True), percent(found.high, sign=True))
    return (
        percent(found.mean, sign=True), span(found.low, found.high, ends), words(found.n),
        words(found.groups), words(f"{found.wins} / {found.ties} / {found.losses}"),
        probability(found.t_p), probability(found.data_p), probability(found.wilcoxon_p),
        probability(found.sign_p),
    )  # fmt: skip
