"""Tables of a page as HTML: classes, head, medium and tail; warnings, conventions and provenance.

They are complete without a script; the page's own adds sorting, search and the choice of the run.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ncscope.diagnosis.classes import COLUMNS, GROUP_ROWS, Column
from ncscope.text import NOTHING, in_html, number, percent


def class_tables(records: Sequence[dict[str, Any]], names: Sequence[str], *, compared: bool) -> str:
    """One table a run, the first shown; search box and, for several runs, a choice above.

    `compared` adds the difference in accuracy from the first run to the others' tables.
    """
    choice = ""
    if len(records) > 1:
        options = "".join(
            f'<option value="{place}">{in_html(name)}</option>' for place, name in enumerate(names)
        )
        choice = f'<label>Run <select class="run-choice">{options}</select></label>'
    tables = "".join(
        _table(record, place, first=records[0] if compared and place else None)
        for place, record in enumerate(records)
    )
    return (
        f'<div class="tools">{choice}<label>Find <input type="search" class="find" '
        f'placeholder="class name" autocomplete="off" spellcheck="false"></label>'
        f'<output class="found" aria-live="polite"></output></div>{tables}'
    )


def _table(record: dict[str, Any], place: int, *, first: dict[str, Any] | None) -> str:
    columns = [
        key
        for key in COLUMNS
        if any(row.get(key) is not None for row in record["per_class"])
        and (key != "count" or record["samples"])
    ]
    heads = [_head("class", None, plain=True)]
    for key in columns:
        heads.append(_head(COLUMNS[key].title, COLUMNS[key], plain=key == "nearest"))
    if first is not None:
        change = Column("Δ accuracy", "difference in accuracy from the first run", "higher", True)
        heads.append(_head(change.title, change, plain=False))
    rows = [
        _row(row, columns, None if first is None else first["per_class"][index])
        for index, row in enumerate(record["per_class"])
    ]
    hidden = " hidden" if place else ""
    return (
        f'<div class="scroll tall class-table" data-run="{place}" tabindex="0" role="region" '
        f'aria-label="Classes"{hidden}><table class="classes"><thead><tr>{"".join(heads)}</tr>'
        f"</thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _head(title: str, column: Column | None, *, plain: bool) -> str:
    hint = f' title="{in_html(column.meaning)}"' if column else ""
    kind = ' class="words"' if plain else ""
    return (
        f'<th scope="col"{kind} aria-sort="none"><button type="button"{hint}>{in_html(title)}'
        f'<span class="arrow" aria-hidden="true"></span></button></th>'
    )


def _row(row: Mapping[str, Any], columns: Sequence[str], first: Mapping[str, Any] | None) -> str:
    cells = [f'<th scope="row"><span class="name">{in_html(row["name"])}</span></th>']
    cells += [_cell(row.get(key), share=COLUMNS[key].share) for key in columns]
    if first is not None:
        old, new = first.get("accuracy"), row.get("accuracy")
        step = None if old is None or new is None else new - old
        cells.append(_cell(step, share=True, signed=True))
    return f"<tr>{''.join(cells)}</tr>"


def _cell(value: Any, *, share: bool, signed: bool = False) -> str:
    """A cell; numbers carry their full value in `data-v`, which is what they are sorted by."""
    if value is None:
        return f'<td class="none">{NOTHING}</td>'
    if isinstance(value, str):
        return f'<td class="words"><span class="name">{in_html(value)}</span></td>'
    words = f"{100 * value:.1f}\u202f%".replace("-", "−") if share else number(value)
    sign = "+" if signed and value > 0 else ""
    full = f"{value:.6g}" if math.isfinite(value) else str(value)
    return f'<td data-v="{full}">{sign}{words}</td>'


def group_tables(records: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    """Head, medium and tail of each run that has them; else a line that says why not."""
    parts = [
        _group_table(record, name if len(records) > 1 else None)
        for record, name in zip(records, names, strict=True)
        if any(record["groups"].values())
    ]
    if parts:
        return f'<div class="pair">{"".join(parts)}</div>'
    why = records[0]["conventions"].get("groups", "")
    return (
        f'<p class="note">No head, medium and tail: {in_html(str(why).removeprefix("none: "))}.</p>'
    )


def _group_table(record: dict[str, Any], name: str | None) -> str:
    groups = {key: values for key, values in record["groups"].items() if values}
    rows = []
    for key, (title, share) in GROUP_ROWS.items():
        if any(values.get(key) is not None for values in groups.values()):
            show = percent if share else number
            cells = "".join(f"<td>{show(values.get(key))}</td>" for values in groups.values())
            rows.append(f'<tr><th scope="row">{in_html(title)}</th>{cells}</tr>')
    heads = "".join(f'<th scope="col">{in_html(key)}</th>' for key in groups)
    by = in_html(record["conventions"].get("groups", ""))
    title = "" if name is None else f'<span class="name">{in_html(name)}</span>: '
    return (
        f'<div class="scroll"><table class="groups"><caption>{title}{by}</caption><thead><tr>'
        f"<th></th>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def warnings_list(records: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    """The warnings of each run; those all runs share are listed once."""
    shared = [w for w in records[0]["warnings"] if all(w in r["warnings"] for r in records)]
    parts = [_list(shared)] if shared else []
    for record, name in zip(records, names, strict=True):
        own = [warning for warning in record["warnings"] if warning not in shared]
        if own:
            parts.append(f'<h3 class="name">{in_html(name)}</h3>{_list(own)}')
    return "".join(parts) or '<p class="note">None.</p>'


def conventions(records: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    """How the numbers were computed; one table for what all runs share."""
    return _facts(records, names, "conventions")


def provenance(records: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    """Where the features came from, and with which versions they were measured."""
    return _facts(records, names, "provenance")


def _facts(records: Sequence[dict[str, Any]], names: Sequence[str], field: str) -> str:
    """A table a run, after one of the rows that are the same in all."""
    flat = [dict(_flat(record[field])) for record in records]
    shared = {k: v for k, v in flat[0].items() if all(other.get(k) == v for other in flat)}
    parts = [_fact_table(shared)] if shared else []
    for rows, name in zip(flat, names, strict=True):
        own = {key: value for key, value in rows.items() if key not in shared}
        if own:
            parts.append(f'<h3 class="name">{in_html(name)}</h3>{_fact_table(own)}')
    return "".join(parts) or '<p class="note">Nothing recorded.</p>'


def _flat(tree: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Nested JSON as (dotted key, words) rows; warnings are listed elsewhere."""
    rows: list[tuple[str, str]] = []
    for key, value in tree.items():
        path = f"{prefix}{key}"
        if path == "warnings":
            continue
        if isinstance(value, dict) and value:
            rows += _flat(value, f"{path}: ")
        else:
            rows.append((path, _words(value)))
    return rows


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value in ({}, []):
        return NOTHING
    if isinstance(value, list):
        return ", ".join(_words(item) for item in value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _fact_table(rows: dict[str, str]) -> str:
    body = "".join(
        f'<tr><th scope="row">{in_html(key.replace("_", " "))}</th><td>{in_html(value)}</td></tr>'
        for key, value in rows.items()
    )
    return f'<div class="scroll"><table class="facts"><tbody>{body}</tbody></table></div>'


def _list(items: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{in_html(item)}</li>' for item in items)}</ul>"
