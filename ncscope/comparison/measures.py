"""Tables of measures: Δ LCD, Δ MID, ETF and NC by method and data set, and against a baseline.

Measures have their names in `summary` of metrics.json. Nothing is marked as best: what a measure
is good for is another question.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ncscope.comparison.averages import Mean, complete_data, listed, notes_on, over_data, over_seeds
from ncscope.comparison.paired import AVERAGED, paired, pairs
from ncscope.comparison.rows import (
    SPLIT_WORDS,
    Labelled,
    Point,
    at_tau,
    data_of,
    labels_of,
    sources,
    taus,
)
from ncscope.comparison.table import Cell, Table, measured, probability, span, words
from ncscope.diagnosis.outcome import short_names
from ncscope.diagnosis.summary import SUMMARY

FAMILIES = {
    "Δ LCD, Δ MID and gap": ("delta_lcd.raw", "delta_lcd.centred", "delta_mid.raw",
                             "delta_mid.centred", "modality_gap"),
    "ETF distance": ("etf_distance.text.centred", "etf_distance.image.centred",
                     "etf_distance.cross.centred"),
    "NC": ("nc1", "cdnv", "nc2.equinorm.text", "nc2.equiangular.text", "nc2.equinorm.image",
           "nc2.equiangular.image", "nc3", "nc4"),
}  # fmt: skip
_TESTED = ("delta_lcd.raw", "delta_lcd.centred", "delta_mid.raw", "delta_mid.centred",
           "etf_distance.cross.centred", "nc1", "nc3")  # fmt: skip
_HEADS = ("", "measure", "difference", "95 %", "n", "data sets", "+ / = / −", "t", "t, data sets")
NOTE = (
    "Measures: ± is over seeds, an average's over the seeds that all its data sets have; ETF "
    "distances grow with the number of classes, so that their averages and differences are of "
    "these data sets alone. Lower is nearer to collapse (nc4: higher), which is not the same as "
    "better."
)


@dataclass(frozen=True)
class _Group:
    """Points of one split, as a title says it."""

    title: str
    points: tuple[Point, ...]


def measure_tables(
    rows: Sequence[Labelled], *, whole: bool, baseline: str | None, seed: int
) -> list[Table]:
    """A table a family of measures and split, averages over data sets where there are several.

    Args:
        whole: also a table a measure, method by data set, and tests of all measures.
        baseline: the row that others are tested against; None: no tests.
        seed: of the intervals.
    """
    tables = []
    for tau in taus(rows):
        when = "" if tau is None else f", tau = {tau:g}"
        for group in _groups(at_tau(rows, tau)):
            points = [replace(point, tau=tau) for point in group.points]
            found = _of_group(points, f"{group.title}{when}", whole=whole)
            if baseline in labels_of(points):
                found += _against(points, baseline, f"{group.title}{when}", seed, whole=whole)
            tables += [replace(table, tau=tau) for table in found]
    return tables


def _groups(rows: Sequence[Labelled]) -> list[_Group]:
    """Each split on the runs' own data sets, then what they were tested on elsewhere."""
    found = []
    for split, title in SPLIT_WORDS.items():
        own = [_point(row, split) for row in rows if row.outcome.own_data]
        found.append(_Group(title, tuple(p for p in own if p is not None)))
    for source, trained in sources(rows):
        away = [_point(row, "all") for row in rows
                if row.outcome.trained_on == source and not row.outcome.own_data
                and (row.outcome.trained_split or "all") == trained]  # fmt: skip
        title = f"trained on {short_names([source])[source]} ({trained} classes)"
        found.append(_Group(title, tuple(p for p in away if p is not None)))
    return [group for group in found if group.points]


def _point(row: Labelled, split: str) -> Point | None:
    o = row.outcome
    flat = o.measures.get(split, {})
    values = {path: flat[name] for path, (name, _) in SUMMARY.items()
              if name in flat and not path.startswith("accuracy")}  # fmt: skip
    return Point(row.label, o.data, o.tau, o.seed, values) if values else None


def _of_group(points: Sequence[Point], title: str, *, whole: bool) -> list[Table]:
    data, labels = data_of(points), labels_of(points)
    names = short_names(data)
    tables: list[Table] = []
    for family, paths in FAMILIES.items():
        columns = [path for path in paths if any(path in p.values for p in points)]
        shared = {path: complete_data(points, (path,)) for path in columns}
        averaged = [path for path in columns if shared[path]]
        if not averaged:
            continue
        over = {tuple(shared[path]) for path in averaged}
        some = len(min(over, key=len))
        part = "" if some == len(data) else f"{some} of "
        where = f"average over {part}{len(data)} data sets" if len(data) > 1 else names[data[0]]
        body = []
        for label in labels:
            mine = [p for p in points if p.label == label]
            cells = (_cell(over_data(mine, shared[path], path)) for path in averaged)
            body.append((label, tuple(cells)))
        said = [] if tables else notes_on(points, shared[averaged[0]], (averaged[0],))
        said += [f"{path}: over {', '.join(shared[path])}." for path in averaged
                 if len(over) > 1 and shared[path] != data]  # fmt: skip
        kept = data[0] if len(data) == 1 else "average"
        tables.append(Table(f"{family}, {title}: {where}", ("", *averaged), tuple(body),
                            tuple(said), "measures", kept))  # fmt: skip
    if len(data) > 1 and (whole or not tables):
        tables += [_by_data(points, path, title) for paths in FAMILIES.values() for path in paths
                   if any(path in p.values for p in points)]  # fmt: skip
    return tables


def _by_data(points: Sequence[Point], path: str, title: str) -> Table:
    """One measure: a row a method, a column a data set, and the average."""
    data = data_of(points)
    names, shared = short_names(data), complete_data(points, (path,))
    body = []
    for label in labels_of(points):
        mine = [p for p in points if p.label == label]
        cells = [_cell(over_seeds([p for p in mine if p.data == name], path)) for name in data]
        body.append((label, (*cells, _cell(over_data(mine, shared, path)))))
    last = "average" if len(shared) == len(data) else f"average of {len(shared)}"
    heads = ("", *(names[name] for name in data), last)
    return Table(f"{path}, {title}", heads, tuple(body), (), "measures")


def _cell(mean: Mean | None) -> Cell:
    return measured(None) if mean is None else measured(mean.value, mean.deviation)


def _against(
    points: Sequence[Point], baseline: str | None, title: str, seed: int, *, whole: bool
) -> list[Table]:
    """Paired differences of every other row from the baseline, a line a row and measure."""
    assert baseline is not None
    wanted = [path for paths in FAMILIES.values() for path in paths if whole or path in _TESTED]
    body: list[tuple[str, tuple[Cell, ...]]] = []
    notes: dict[str, list[str]] = {}
    for label in labels_of(points):
        for path in wanted if label != baseline else ():
            differences, data, averaged = pairs(points, label, baseline, path)
            if not differences:
                continue
            found = paired(differences, data, seed=seed)
            ends = [measured(end, sign=True) for end in (found.low, found.high)]
            body.append((label, (
                words(path), measured(found.mean, sign=True), span(found.low, found.high, ends),
                words(found.n), words(found.groups),
                words(f"{found.wins} / {found.ties} / {found.losses}"), probability(found.t_p),
                probability(found.data_p),
            )))  # fmt: skip
            for reason in (*found.reasons, *([AVERAGED] if averaged else [])):
                if not reason.startswith("Wilcoxon"):
                    notes.setdefault(reason, []).append(f"{label} {path}")
    if not body:
        return []
    said = (f"{reason}: {'all' if len(which) == len(body) else listed(which)}."
            for reason, which in notes.items())  # fmt: skip
    return [Table(f"Measures, {title}, against {baseline}", _HEADS, tuple(body), tuple(said),
                  "tests")]  # fmt: skip
