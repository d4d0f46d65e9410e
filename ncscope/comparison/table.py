"""A table before it has a format: heads, rows of cells, notes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

NONE = "–"


@dataclass(frozen=True)
class Cell:
    """One cell: what is shown, and the number behind it as a file for machines keeps it.

    Shares are kept as shares in [0, 1] and shown in percent.
    """

    shown: str
    value: float | None = None
    deviation: float | None = None
    low: float | None = None
    high: float | None = None
    best: bool = False


@dataclass(frozen=True)
class Table:
    """`heads` names the columns, that of the row names first; each row is its name and cells.

    `kind`, `data` and `tau` say for machines what the title says for people, where it does.
    """

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]
    notes: tuple[str, ...] = ()
    kind: str = ""
    data: str = ""
    tau: float | None = None


def percent(value: float | None, deviation: float | None = None, *, sign: bool = False) -> Cell:
    """A share in percent, two places as the field prints it, with a deviation if there is one."""
    if value is None:
        return Cell(NONE)
    shown = f"{100 * value:+.2f}" if sign else f"{100 * value:.2f}"
    if deviation is not None:
        shown += f" ± {100 * deviation:.2f}"
    return Cell(shown.replace("-", "−"), value, deviation)


def number(value: float | None, places: int = 3) -> Cell:
    """A number with a fixed count of places."""
    return Cell(NONE) if value is None else Cell(f"{value:.{places}f}".replace("-", "−"), value)


def probability(value: float | None) -> Cell:
    """A p value: three significant digits below 0.1, no smaller than can be told from 0."""
    if value is None:
        return Cell(NONE)
    return Cell("< 0.0001" if value < 1e-4 else f"{value:.3g}" if value < 0.1 else f"{value:.2f}",
                value)  # fmt: skip


def span(low: float | None, high: float | None, ends: Sequence[Cell]) -> Cell:
    """An interval, its two ends shown as the given cells are."""
    if low is None or high is None:
        return Cell(NONE)
    return Cell(f"[{ends[0].shown}, {ends[1].shown}]", low=low, high=high)


def words(text: object) -> Cell:
    """A cell of words, or of a count."""
    return Cell(str(text), float(text) if isinstance(text, int) else None)


def mark_best(
    rows: Sequence[tuple[str, tuple[Cell, ...]]],
) -> tuple[tuple[str, tuple[Cell, ...]], ...]:
    """Mark the largest share of each column, and all that print the same; none where all do."""
    tops: list[float | None] = []
    for column in zip(*(cells for _, cells in rows), strict=True):
        found = {_printed(cell.value) for cell in column if cell.value is not None}
        tops.append(max(found) if len(found) > 1 else None)
    return tuple(
        (name, tuple(
            replace(cell, best=cell.value is not None and _printed(cell.value) == top)
            for cell, top in zip(cells, tops, strict=True)
        ))
        for name, cells in rows
    )  # fmt: skip


def _printed(share: float) -> float:
    return round(100 * share, 2)
