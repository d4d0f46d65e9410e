"""Tables of a page as HTML: classes, head, medium and tail; warnings, conventions and provenance.

They are complete without a script; the page's own adds sorting, search and the choice of the run.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ncscope.diagnosis.against import reference_place
from ncscope.diagnosis.classes import COLUMNS, GROUP_ROWS, Column
from ncscope.page.cards import Confusion
from ncscope.page.place import get_csv
from ncscope.text import NOTHING, in_html, number, percent


def class_tables(
    records: Sequence[dict[str, Any]], *, chosen: int, where: Mapping[str, int]
) -> str:
    """One table a run under a search box. Of several runs one is in the document, and the others
    only where no script can fetch them: a thousand classes of each would slow it down.

    Args:
        chosen: the run whose table is there.
        where: name of a class -> its place in the page's list.
    """
    tables = []
    for place, record in enumerate(records):
        table = _table(record, place, before=_before(records, place), where=where)
        tables.append(
            table if place == chosen else f'<noscript data-table="{place}">{table}</noscript>'
        )
    return (
        f'<div class="tools"><h3>All classes{_of_run(records)}</h3><label>Find '
        f'<input type="search" class="find" placeholder="class name" autocomplete="off" '
        f'spellcheck="false"></label><output class="found" aria-live="polite"></output>'
        f'{get_csv("classes", chosen=True)}</div><div class="class-tables">{"".join(tables)}</div>'
    )


def _of_run(records: Sequence[Any]) -> str:
    return ' of <span class="chosen-name name"></span>' if len(records) > 1 else ""


def _before(records: Sequence[dict[str, Any]], place: int) -> Mapping[str, Any] | None:
    """The accuracy of each class in the run's reference, by name; None without one."""
    found = records[place].get("against")
    if found is None:
        return None
    rows = found.get("per_class") or records[reference_place(records)]["per_class"]
    return {row["name"]: row.get("accuracy") for row in rows}


def _table(
    record: dict[str, Any], place: int, *, before: Mapping[str, Any] | None,
    where: Mapping[str, int],
) -> str:  # fmt: skip
    columns = [
        key
        for key in COLUMNS
        if any(row.get(key) is not None for row in record["per_class"])
        and (key != "count" or record["samples"])
    ]
    heads = [_head("class", None, plain=True)]
    for key in columns:
        heads.append(_head(COLUMNS[key].title, COLUMNS[key], plain=key == "nearest"))
    if before is not None:
        change = Column("Δ accuracy", "difference in accuracy from the reference", "higher", True)
        heads.append(_head(change.title, change, plain=False))
    rows = [_row(row, columns, before, where) for row in record["per_class"]]
    return (
        f'<div class="scroll tall class-table" data-run="{place}" tabindex="0" role="region" '
        f'aria-label="Classes"><table class="classes"><thead><tr>{"".join(heads)}</tr>'
        f"</thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _head(title: str, column: Column | None, *, plain: bool) -> str:
    hint = f' title="{in_html(column.meaning)}"' if column else ""
    kind = ' class="words"' if plain else ""
    return (
        f'<th scope="col"{kind} aria-sort="none"><button type="button"{hint}>{in_html(title)}'
        f'<span class="arrow" aria-hidden="true"></span></button></th>'
    )


def _row(
    row: Mapping[str, Any], columns: Sequence[str], before: Mapping[str, Any] | None,
    where: Mapping[str, int],
) -> str:  # fmt: skip
    cells = [f'<th scope="row">{pick(row["name"], where)}</th>']
    cells += [_cell(row.get(key), share=COLUMNS[key].share) for key in columns]
    if before is not None:
        old, new = before.get(row["name"]), row.get("accuracy")
        step = None if old is None or new is None else new - old
        cells.append(_cell(step, share=True, signed=True))
    return f'<tr data-k="{where[row["name"]]}">{"".join(cells)}</tr>'


def pick(name: str, where: Mapping[str, int]) -> str:
    """A class's name, which selects it on the whole page."""
    return (
        f'<button type="button" class="pick name" data-k="{where[name]}">{in_html(name)}</button>'
    )


def _cell(value: Any, *, share: bool, signed: bool = False) -> str:
    """A cell; numbers carry their full value in `data-v`, which is what they are sorted by."""
    if value is None:
        return f'<td class="none">{NOTHING}</td>'
    if isinstance(value, str):
        return f'<td class="words name">{in_html(value)}</td>'
    words = f"{100 * value:.1f}\u202f%".replace("-", "−") if share else number(value)
    sign = "+" if signed and value > 0 else ""
    full = f"{value:.6g}" if math.isfinite(value) else str(value)
    return f'<td data-v="{full}">{sign}{words}</td>'


def confusion_table(
    found: Sequence[Confusion], record: dict[str, Any], place: int, where: Mapping[str, int], *,
    hides: bool,
) -> str:  # fmt: skip
    """What is taken for what, with the cosines behind it; nothing where nothing is confused."""
    if not found:
        return ""
    names = [row["name"] for row in record["per_class"]]
    body = "".join(
        f'<tr data-k="{where[names[one.true]]}"><th scope="row">'
        f'{pick(names[one.true], where)}</th><td class="words">{pick(names[one.taken], where)}</td>'
        f"<td>{number(one.images)} of {number(one.of)}</td>"
        + "".join(f"<td>{number(value)}</td>" for value in (one.texts, one.own, one.other))
        + "</tr>"
        for one in found
    )
    heads = "".join(f'<th scope="col">{words}</th>' for words in CONFUSION_HEADS[2:])
    return (
        f'<div class="confused" data-run="{place}"{" hidden" if hides else ""}><div class="tools">'
        f"<h3>Most confused</h3>{get_csv(f'confusions-{place + 1}')}</div>"
        '<div class="scroll"><table class="confusions"><thead><tr>'
        f'<th scope="col" class="words">class</th><th scope="col" class="words">taken for</th>'
        f"{heads}</tr></thead><tbody>{body}</tbody></table></div>"
        '<p class="note">Raw cosines. An image goes to the text that it is nearest to: where the '
        "last column exceeds the one before it, its class's images as a whole do.</p></div>"
    )


CONFUSION_HEADS = (
    "class", "taken for", "images", "text · other text", "own mean · own text",
    "own mean · other text",
)  # fmt: skip


def group_tables(records: Sequence[dict[str, Any]], names: Sequence[str], *, chosen: int) -> str:
    """Head, medium and tail of the run chosen; where none has them a line that says why not."""
    parts = [
        f'<div data-run="{place}"{" hidden" if place != chosen else ""}>'
        f"<h3>Head, medium and tail</h3>{_group_table(record, name if len(records) > 1 else None)}"
        f"{get_csv(f'groups-{place + 1}')}</div>"
        for place, (record, name) in enumerate(zip(records, names, strict=True))
        if any(record["groups"].values())
    ]
    if parts:
        return "".join(parts)
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
    each = [dict(flat(record[field])) for record in records]
    shared = {k: v for k, v in each[0].items() if all(other.get(k) == v for other in each)}
    parts = [_fact_table(shared)] if shared else []
    for rows, name in zip(each, names, strict=True):
        own = {key: value for key, value in rows.items() if key not in shared}
        if own:
            parts.append(f'<h3 class="name">{in_html(name)}</h3>{_fact_table(own)}')
    return "".join(parts) or '<p class="note">Nothing recorded.</p>'


def flat(tree: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Nested JSON as (dotted key, words) rows; warnings are listed elsewhere."""
    rows: list[tuple[str, str]] = []
    for key, value in tree.items():
        path = f"{prefix}{key}"
        if path == "warnings":
            continue
        if isinstance(value, dict) and value:
            rows += flat(value, f"{path}: ")
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
