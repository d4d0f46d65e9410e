"""The table that `ncscope inspect` prints of a folder with several runs, a row each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ncscope.text import clean

if TYPE_CHECKING:
    from ncscope.checkpoint.run_facts import RunFacts

_HEADS = ("run", "method", "data", "classes", "shots", "seed", "epoch", "accuracy %", "needs")
_NONE = "–"
_SHOWN = 5


@dataclass(frozen=True)
class Inspected:
    """A run's name and what was found, or why nothing was; `whole` is for --json."""

    name: str
    path: str
    facts: "RunFacts | None" = None
    whole: dict[str, Any] | None = None
    reason: str | None = None


def table_lines(runs: Sequence[Inspected], notes: Sequence[str]) -> Iterator[str]:
    """Aligned rows of the runs that could be read, then what a reader must know of them."""
    rows = [_HEADS, *(_cells(one.name, one.facts) for one in runs if one.facts is not None)]
    widths = [max(len(row[k]) for row in rows) for k in range(len(_HEADS))]
    for row in rows if len(rows) > 1 else ():
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        yield "  ".join(cells).rstrip()
    yield from _notes([one for one in runs if one.facts is not None], notes)


def _cells(name: str, facts: "RunFacts") -> tuple[str, ...]:
    accuracy = _NONE if facts.accuracy is None else f"{facts.accuracy:.2f}"
    found = (
        name, facts.method or "unknown", facts.dataset, facts.trained_split, facts.shots,
        facts.seed, facts.epoch, accuracy + ("*" if facts.accuracy_of else ""),
        ", ".join(facts.needs),
    )  # fmt: skip
    return tuple(_NONE if cell in (None, "") else clean(cell) for cell in found)


def _notes(runs: Sequence[Inspected], notes: Sequence[str]) -> Iterator[str]:
    from ncscope.checkpoint.run_facts import took_best

    found = [(one.name, one.facts) for one in runs if one.facts is not None]
    others = [name for name, facts in found if facts.accuracy_of]
    best = [name for name, facts in found if took_best(facts)]
    said = [
        *([f"* the log's accuracy is of another epoch than the file's: {_some(others)}"]
          if others else []),
        *([f"model-best is read where other epochs lie beside it (--load-epoch N reads another): "
           f"{_some(best)}"] if best else []),
        *notes,
    ]  # fmt: skip
    if said:
        yield ""
    yield from map(clean, said)


def _some(names: Sequence[str]) -> str:
    more = f", ... ({len(names)} in all)" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
