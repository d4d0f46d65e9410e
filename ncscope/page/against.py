"""Differences from the reference as a table: a row a run, intervals under each value."""

from collections.abc import Mapping, Sequence
from typing import Any

from ncscope.diagnosis.against import COMPARED, decided
from ncscope.diagnosis.tables import entry_of
from ncscope.diagnosis.verdict import signed
from ncscope.text import NOTHING, in_html

_SHOWN = COMPARED[:9]


def against_table(records: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    """Every run that has a reference; nothing where none has. Decided differences are bold."""
    rows = [
        (name, found)
        for record, name in zip(records, names, strict=True)
        if (found := record.get("against"))
    ]
    paths = [path for path in _SHOWN if any(path in found["values"] for _, found in rows)]
    if not rows or not paths:
        return ""
    heads = "".join(f'<th scope="col">{in_html(_head(path))}</th>' for path in paths)
    body = "".join(
        f'<tr><th scope="row"><span class="name">{in_html(name)}</span></th>'
        f"{''.join(_cell(path, found['values'].get(path)) for path in paths)}</tr>"
        for name, found in rows
    )
    to = ", ".join(dict.fromkeys(found["reference"] for _, found in rows))
    notes = "95 % intervals: images drawn anew for both at once"
    if not all(found["paired"] for _, found in rows):
        notes += " (none where the images are not the same)"
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Against the reference">'
        f'<table class="against"><caption>Difference from <span class="name">{in_html(to)}</span>'
        f"</caption><thead><tr><th></th>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
        f'<p class="note">{notes}; second line: classes drawn anew. Bold: both leave zero out.</p>'
    )


def _head(path: str) -> str:
    entry, form = entry_of(path)
    return f"{entry.title} {form}".strip()


def _cell(path: str, value: Mapping[str, Any] | None) -> str:
    if value is None:
        return f'<td class="none">{NOTHING}</td>'
    share = path.startswith("accuracy")
    words = signed(value["difference"], share=share)
    words = f"<b>{words}</b>" if decided(value) else words
    for span in (value["images"], value["classes"]):
        if span is not None:
            ends = " … ".join(signed(end, share=share) for end in span)
            words += f'<span class="small">{ends}</span>'
    return f'<td data-v="{value["difference"]:.6g}">{words}</td>'
