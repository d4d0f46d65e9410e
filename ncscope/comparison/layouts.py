"""Tables as the field prints them: base-to-new, cross-dataset, domain generalisation, ablation."""

from collections.abc import Sequence
from typing import Literal

from ncscope.comparison import points as pts
from ncscope.comparison.averages import (
    Mean,
    complete_data,
    mean_of_h,
    missing_seeds,
    notes_on,
    over_data,
    over_seeds,
)  # fmt: skip
from ncscope.comparison.points import BASE_TO_NEW, Point
from ncscope.comparison.rows import Labelled
from ncscope.comparison.table import Cell, Table, mark_best, percent
from ncscope.diagnosis.outcome import short_names

Row = tuple[str, tuple[Cell, ...]]
Layout = Literal["auto", "base-to-new", "cross-dataset", "domain", "ablation"]
_HEADS = {"base": "base", "new": "new", "h": "H"}
H_NOTE = (
    "H = 2BN/(B + N). The average row's H is H of the averages, as published tables have it; "
    "mean of H is the mean over data sets of each one's H."
)


def base_to_new(points: Sequence[Point], *, when: str = "") -> list[Table]:
    """Base, new and H: averages over data sets first, then a table a data set.

    Args:
        when: what the points have in common, for the titles: "tau = 0.05".
    """
    labels, data = pts.labels_of(points), pts.data_of(points)
    tables = []
    whole = complete_data(points, BASE_TO_NEW)
    notes = tuple(notes_on(points, whole if len(data) > 1 else data, BASE_TO_NEW))
    if len(data) > 1 and whole:
        rows = []
        for label in labels:
            mine = [p for p in points if p.label == label]
            cells = [_cell(over_data(mine, whole, column)) for column in BASE_TO_NEW]
            rows.append((label, (*cells, _cell(mean_of_h(mine, whole)))))
        some = "" if len(whole) == len(data) else f"{len(whole)} of "
        title = f"Base to new{when}: average over {some}{len(data)} data sets"
        heads = ("", "base", "new", "H of averages", "mean of H")
        marked = _marked(rows, points)
        tables.append(Table(title, heads, marked, notes, "base-to-new", "average"))
    names = short_names(data)
    for name in data:
        rows = []
        for label in labels:
            mine = [p for p in points if p.label == label and p.data == name]
            rows.append((label, tuple(_cell(over_seeds(mine, column)) for column in BASE_TO_NEW)))
        heads = ("", *(_HEADS[column] for column in BASE_TO_NEW))
        marked = _marked(rows, [p for p in points if p.data == name])
        said = () if tables else notes  # once, with the first table
        title = f"Base to new{when}: {names[name]}"
        tables.append(Table(title, heads, marked, said, "base-to-new", name))
    return tables


def transfer(
    points: Sequence[Point], *, source: str | None, title: str, kind: str = "accuracy",
    when: str = "",
) -> list[Table]:  # fmt: skip
    """One row a method, one column a data set, and their average, without the source's column."""
    if not points:
        return []
    labels = pts.labels_of(points)
    targets = [name for name in pts.data_of(points) if name != source]
    away = [point for point in points if point.data != source]
    whole = complete_data(away, pts.ACCURACY)
    columns = [*([source] if any(p.data == source for p in points) else []), *targets]
    rows = []
    for label in labels:
        mine = [p for p in points if p.label == label]
        cells = [_cell(over_seeds([p for p in mine if p.data == name], "accuracy"))
                 for name in columns if name is not None]  # fmt: skip
        if len(targets) > 1:
            cells.append(_cell(over_data(mine, whole, "accuracy")))
        rows.append((label, tuple(cells)))
    names = short_names([name for name in columns if name is not None])
    heads = ("", *(names[name] + (" (source)" if name == source else "")
                   for name in columns if name is not None))  # fmt: skip
    if len(targets) > 1:
        heads += ("average" if len(whole) == len(targets) else f"average of {len(whole)}",)
    said = notes_on(away, whole, pts.ACCURACY)
    if source is not None and len(targets) > 1:
        said.insert(0, "The average leaves the source out.")
    return [Table(f"{title}{when}", heads, _marked(rows, away), tuple(said), kind)]


def ablation(rows: Sequence[Labelled], *, when: str = "") -> list[Table]:
    """One row a setting: averages of base, new and H, and of each source's transfer, if any."""
    points = pts.base_to_new_points(rows)
    whole = complete_data(points, BASE_TO_NEW)
    heads = ["", *(("base", "new", "H of averages") if points else ())]
    notes = notes_on(points, whole, BASE_TO_NEW) if points else []
    labels = list(dict.fromkeys(row.label for row in rows))
    columns: list[list[Cell]] = []
    compared = list(points)
    for label in labels:
        mine = [p for p in points if p.label == label]
        cells = [_cell(over_data(mine, whole, column)) for column in BASE_TO_NEW]
        columns.append(cells if points else [])
    for source, split in pts.sources(rows):
        for kind, domains in (("cross-dataset", False), ("domain", True)):
            found = [p for p in pts.transfer_points(rows, source, split, domains=domains)
                     if p.data != source]  # fmt: skip
            if not found:
                continue
            there = complete_data(found, pts.ACCURACY)
            several = f" from {source}" if len(pts.sources(rows)) > 1 else ""
            heads.append(kind + several)
            compared += found
            for label, cells in zip(labels, columns, strict=True):
                mine = [p for p in found if p.label == label]
                cells.append(_cell(over_data(mine, there, "accuracy")))
            notes += [f"{kind}{several}: {note}" for note in notes_on(found, there, pts.ACCURACY)]
    body = [(label, tuple(cells)) for label, cells in zip(labels, columns, strict=True)]
    body = [(label, cells) for label, cells in body if any(c.value is not None for c in cells)]
    marked = _marked(body, compared)
    if not body:
        return []
    return [Table(f"Ablation{when}", tuple(heads), marked, tuple(notes), "ablation", "average")]


def _marked(rows: Sequence[Row], points: Sequence[Point]) -> tuple[Row, ...]:
    """The best of each column in bold, unless rows have other seeds than another."""
    return tuple(rows) if missing_seeds(points) else mark_best(rows)


def _cell(mean: Mean | None) -> Cell:
    return percent(None) if mean is None else percent(mean.value, mean.deviation)
