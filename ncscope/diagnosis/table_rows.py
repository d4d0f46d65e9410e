"""The tables of a report as rows of words: headline numbers, classes, head, medium and tail.

K classes.
"""

from typing import Any

from ncscope.diagnosis.columns import COLUMNS, GROUP_ROWS
from ncscope.diagnosis.formats import Rows, written_as
from ncscope.diagnosis.tables import summary_rows
from ncscope.headings import run_names


def report_tables(records: list[dict[str, Any]], form: str) -> dict[str, str]:
    """Every table of the runs in one format, by the name of a file without its suffix.

    `summary` has a column a run; `classes-RUN` and `groups-RUN` are one a run, numbered.

    Raises:
        DataError: an unknown format.
    """
    found = {"summary": written_as(summary_rows(records, run_names(records)), form)}
    for place, record in enumerate(records, start=1):
        for name, rows in (("classes", class_rows(record)), ("groups", group_rows(record))):
            if len(rows) > 1:
                found[f"{name}-{place}"] = written_as(rows, form)
    return found


def class_rows(record: dict[str, Any]) -> Rows:
    """A row a class, with the columns that have a value."""
    rows = record["per_class"]
    keys = [key for key in COLUMNS if any(row.get(key) is not None for row in rows)]
    heads = ["class", *(COLUMNS[key].title for key in keys)]
    return [heads, *([row["name"], *(_word(row.get(key)) for key in keys)] for row in rows)]


def group_rows(record: dict[str, Any]) -> Rows:
    """A row a number, a column for each of head, medium and tail; heads only without groups."""
    groups = {name: values for name, values in (record["groups"] or {}).items() if values}
    rows = [
        [title, *(_word(values.get(key)) for values in groups.values())]
        for key, (title, _) in GROUP_ROWS.items()
        if any(values.get(key) is not None for values in groups.values())
    ]
    return [["", *groups], *rows]


def _word(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4f}" if 1e-3 <= abs(value) < 1e3 or value == 0 else f"{value:.4g}"
    return str(value)
