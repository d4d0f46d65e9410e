"""Records as tables: text, CSV, Markdown and LaTeX; every cell is text, never markup.

K classes.
"""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ncscope.diagnosis.classes import COLUMNS, GROUP_ROWS
from ncscope.diagnosis.summary import GLOSSARY, SUMMARY
from ncscope.errors import DataError
from ncscope.text import clean, in_csv, in_latex, in_markdown, run_names
from ncscope.writing import write_text

Rows = Sequence[Sequence[str]]  # the first row has the heads, the first column names the rows
_FIRST = (
    "accuracy.top1", "etf_distance.cross.centred", "delta_lcd.centred", "delta_mid.centred",
    "modality_gap", "nc1",
)  # fmt: skip
_CSV = ("source", "data", "scope", "name", "measure", "value", "low", "high")


def as_markdown(rows: Rows) -> str:
    """A Markdown table, numbers to the right."""
    heads, *body = [[in_markdown(cell) for cell in row] for row in rows]
    rule = ["---", *["---:"] * (len(heads) - 1)]
    return "".join(f"| {' | '.join(row)} |\n" for row in (heads, rule, *body))


def as_latex(rows: Rows) -> str:
    r"""A `tabular`; needs `\usepackage{booktabs}`."""
    heads, *body = [[in_latex(cell) for cell in row] for row in rows]
    columns = "l" + "r" * (len(heads) - 1)
    # a bracket at the start of a line would be read as an argument of the line break before it
    lines = [("{}" if row[0].startswith("[") else "") + " & ".join(row) + r" \\" for row in body]
    return "\n".join([
        r"% \usepackage{booktabs}", rf"\begin{{tabular}}{{{columns}}}", r"\toprule",
        " & ".join(heads) + r" \\", r"\midrule", *lines, r"\bottomrule", r"\end{tabular}", "",
    ])  # fmt: skip


FORMATS: dict[str, Callable[[Rows], str]] = {
    "csv": in_csv, "md": as_markdown, "tex": as_latex,
}  # fmt: skip


def written_as(rows: Rows, form: str) -> str:
    """The table in one of the formats `csv`, `md` and `tex`.

    Raises:
        DataError: another format.
    """
    if form not in FORMATS:
        raise DataError(f"tables are written as {', '.join(FORMATS)}; got {form!r}")
    return FORMATS[form](rows)


def text_table(records: list[dict[str, Any]], *, brief: bool = False) -> str:
    """Headline numbers, a row a measure and a column a run; `-` where undefined.

    Measures that no run has are left out; the floor stands where an ETF cannot exist. `brief`
    keeps the handful that is looked at first.
    """
    rows = summary_rows(records, [_heading(record, records) for record in records])
    if brief:
        rows = [row for row in rows if row[0] in ("", *map(_label, _FIRST))]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:-2], widths[1:-2], strict=True)]
        cells += [row[-2].ljust(widths[-2]), row[-1]]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def summary_rows(records: list[dict[str, Any]], heads: list[str]) -> list[list[str]]:
    """The same as rows of words: heads, then a name, the runs' values, range and ideal."""
    one_size = len({(r["classes"], r["dim"]) for r in records}) == 1
    size = f" at K = {records[0]['classes']}" if one_size else ""
    rows = [["", *heads, f"range{size}", "ideal"]]
    rows.append(
        ["K, N, D", *(f"{r['classes']}, {r['samples']}, {r['dim']}" for r in records), "", ""]
    )
    if not all(record["bounds"]["simplex_etf_exists"] for record in records):
        floors = [record["bounds"]["etf_distance"]["text"]["floor"] for record in records]
        rows.append(["floor of ETF distance", *map(_shown, floors), "", ""])
    for path in SUMMARY:
        values = [value_at(record["summary"], path) for record in records]
        if any(value is not None for value in values):
            entry, _ = entry_of(path)
            span, ideal = f"{entry.low} … {entry.high}", entry.ideal
            if one_size:
                span, ideal = _range_at(path, records[0])
            rows.append([_label(path), *map(_shown, values), span, ideal])
    return rows


def _label(path: str) -> str:
    entry, form = entry_of(path)
    return f"{entry.title}, {form}" if form else entry.title


def _range_at(path: str, record: dict[str, Any]) -> tuple[str, str]:
    """The range and the ideal of a summary path at this run's K and D, in numbers."""
    entry, form = entry_of(path)
    bounds, most = record["bounds"], record["classes"] - 1
    if "image" in path:  # of the classes that have images
        most = max(sum(bool(row.get("count", 1)) for row in record["per_class"]) - 1, 1)
    low, high, ideal = entry.low, entry.high, entry.ideal
    if path.startswith("etf_distance."):
        found = bounds["etf_distance"][path.split(".")[1]]
        low = _bound(found["floor"])
        high = _bound(found["ceiling" if "ceiling" in found else f"ceiling_{form}"])
        high += " (unrelated: about 1.414)" if path.startswith("etf_distance.cross") else ""
    elif path.startswith("delta_lcd."):
        high = _bound(bounds["delta_lcd"]["ceiling"])
    elif path.startswith("nc2.equinorm."):
        high = _bound(math.sqrt(most))
    elif path.startswith("effective_rank."):
        high, ideal = _bound(min(most, record["dim"])), _bound(most)
    return f"{low} … {high}", ideal


def _bound(value: float) -> str:
    """A bound in few digits: 0, 2, 1.392, 25."""
    return f"{value:.3f}".rstrip("0").rstrip(".")


def entry_of(path: str) -> tuple[Any, str]:
    """The glossary entry of a summary path, and its form (`raw`, `centred`, or nothing)."""
    if path in GLOSSARY:
        return GLOSSARY[path], ""
    prefix, _, form = path.rpartition(".")
    return GLOSSARY[prefix], form


def value_at(tree: dict[str, Any], path: str) -> float | None:
    """The value at a dotted path of a summary."""
    found: Any = tree
    for part in path.split("."):
        found = found[part]
    return found


def records_of(record: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Tidy rows of one run: scope, name, measure, value, low, high."""
    spans = record["intervals"]["values"]
    for name, value in record["measures"].items():
        span = spans.get(name, {})
        yield "all", "", name, value, span.get("low"), span.get("high")
    for group, values in record["groups"].items():
        for name, value in (values or {}).items():
            yield "group", group, name, value, None, None
    for path, value in (record.get("against") or {"values": {}})["values"].items():
        for scope in ("images", "classes"):
            ends = value[scope] or (None, None)
            yield f"difference over {scope}", "", path, value["difference"], *ends
    for row in record.get("interventions", ()):
        change = row.get("change", {})
        name = f"{row['move']} {row['step']:g}"
        yield "move", name, "accuracy", row["accuracy"], None, None
        yield "move", name, "change", *(change.get(key) for key in ("value", "low", "high"))
        for path in SUMMARY:
            yield "move", name, path, value_at(row["summary"], path), None, None
    for row in record["per_class"]:
        for name, value in row.items():
            if name not in ("name", "nearest"):
                yield "class", row["name"], name, value, None, None


def write_csv(records: list[dict[str, Any]], path: Path) -> Path:
    """Tidy rows of all runs: source, data, scope, name, measure, value, low, high."""
    rows = [(r["source"], r["data"], *row) for r in records for row in records_of(r)]
    return write_text(path, in_csv([_CSV, *rows]))


def write_json(
    records: list[dict[str, Any]], path: Path, *, left_out: Sequence[dict[str, str]] = ()
) -> Path:
    """The metrics.json of these runs, and of sources that gave none with the reasons."""
    content: dict[str, Any] = {"format": 1, "runs": records}
    if left_out:
        content["left_out"] = list(left_out)
    body = json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False)
    return write_text(path, body + "\n")


def _heading(record: dict[str, Any], records: list[dict[str, Any]]) -> str:
    """A short column head: the source's name, with the data's where sources repeat."""
    source = clean(record["source"] or "features")
    name = source if source == "zero-shot" else Path(source).name or source
    same = [r for r in records if r["source"] == record["source"]]
    if len(same) > 1 and record["data"]:
        name = f"{name} on {clean(record['data'])}"
    return name if len(name) <= 28 else "…" + name[-27:]


def _shown(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:.4g}"


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
