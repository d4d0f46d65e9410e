"""Warnings, conventions and provenance as HTML: everything the numbers depend on."""

from collections.abc import Sequence
from typing import Any

from ncscope.text import in_html


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
    parts = [_table(shared)] if shared else []
    for rows, name in zip(flat, names, strict=True):
        own = {key: value for key, value in rows.items() if key not in shared}
        if own:
            parts.append(f'<h3 class="name">{in_html(name)}</h3>{_table(own)}')
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
        return "—"
    if isinstance(value, list):
        return ", ".join(_words(item) for item in value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _table(rows: dict[str, str]) -> str:
    body = "".join(
        f'<tr><th scope="row">{in_html(key.replace("_", " "))}</th><td>{in_html(value)}</td></tr>'
        for key, value in rows.items()
    )
    return f'<div class="scroll"><table class="facts"><tbody>{body}</tbody></table></div>'


def _list(items: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{in_html(item)}</li>' for item in items)}</ul>"
