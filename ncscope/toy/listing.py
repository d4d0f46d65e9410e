"""What tasks there are, as lines of text: what `--data toy:list` prints."""

from ncscope.data.classes import half
from ncscope.toy.tasks import TASKS, Task
from ncscope.toy.world import STYLES

_HEAD = ("task", "classes", "base + new", "told apart by", "prompt template", "for instance")


def task_lines() -> list[str]:
    """A head, one line a task (classes, halves, granularity, template, names) and the domains."""
    rows = [_HEAD, *map(_row, TASKS.values())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    others = ", ".join(f"@{style}" for style in STYLES[1:])
    return [*lines, f"toy:NAME is in the style of a {STYLES[0]}; toy:NAME{others} are others."]


def granularity(task: Task) -> str:
    """What tells a task's classes apart: one factor, a pair of them, or a pair on one shape."""
    values: dict[str, set[int]] = {}
    for fixed in task.classes.values():
        for factor, value in fixed.items():
            values.setdefault(factor, set()).add(value)
    apart = " + ".join(factor for factor, found in values.items() if len(found) > 1)
    one = len(values.get("shape", ())) == 1
    return f"{apart}, one shape" if one else apart


def _row(task: Task) -> tuple[str, ...]:
    size = len(task.classes)
    base = len(half(size, "base"))
    halves = f"{base} + {size - base}"
    names = ", ".join(task.classnames[:2])
    return (f"toy:{task.name}", str(size), halves, granularity(task), task.template, names)
