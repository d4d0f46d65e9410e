"""What tuning did, as a table: a row a number, a column a run that has a reference."""

from collections.abc import Sequence
from typing import Any

from ncscope.diagnosis.against import decided
from ncscope.diagnosis.moved import ROWS
from ncscope.diagnosis.verdict import signed
from ncscope.page.place import get_csv, swatch
from ncscope.text import NOTHING, in_html, number


def tuned_table(records: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    """Nothing where no run has a reference."""
    kept = [
        (place, names[place], found)
        for place, record in enumerate(records)
        if (found := (record.get("against") or {}).get("moved"))
    ]
    rows = [key for key in ROWS if any(_words(key, found) != NOTHING for _, _, found in kept)]
    if not rows:
        return ""
    heads = "".join(
        f'<th scope="col">{swatch(place) if len(records) > 1 else ""}'
        f'<span class="name">{in_html(name)}</span></th>'
        for place, name, _ in kept
    )
    body = "".join(
        f'<tr><th scope="row"><span class="title">{in_html(ROWS[key].title)}</span>'
        f'<span class="meaning">{in_html(ROWS[key].meaning)}</span></th>'
        f"{''.join(f'<td>{_cell(key, found)}</td>' for _, _, found in kept)}"
        f'<td class="words">{in_html(ROWS[key].ideal)}</td></tr>'
        for key in rows
    )
    return (
        f'<div class="tools">{get_csv("tuned")}</div>'
        '<div class="scroll" tabindex="0" role="region" aria-label="What tuning did">'
        f'<table class="measures"><thead><tr><th scope="col">Against the reference</th>{heads}'
        f'<th scope="col" class="words">Ideal</th></tr></thead><tbody>{body}</tbody></table></div>'
    )


def _cell(key: str, found: dict[str, Any]) -> str:
    """The words, and of robustness the change with its interval, bold where it is decided."""
    words, change = _words(key, found), found.get("robustness")
    if key != "robustness/boundary" or change is None:
        return words
    step = signed(change["difference"], share=False)
    words += f'<span class="small">{f"<b>{step}</b>" if decided(change) else step}'
    if change["images"] is not None:
        words += f" [{', '.join(signed(end, share=False) for end in change['images'])}]"
    return f"{words}</span>"


def _words(key: str, found: dict[str, Any]) -> str:
    if not ROWS[key].both:
        value = found["drift"].get(key)
        return NOTHING if value is None else number(value)
    ends = [found[when].get(key) for when in ("before", "after")]
    return NOTHING if None in ends else " → ".join(map(number, ends))


def tuned_rows(records: Sequence[dict[str, Any]], names: Sequence[str]) -> list[list[Any]]:
    """The same for CSV: a row a run and number, values in full."""
    rows: list[list[Any]] = [["run", "measure", "value", "before"]]
    for record, name in zip(records, names, strict=True):
        found = (record.get("against") or {}).get("moved") or {}
        for key, row in ROWS.items():
            now = found.get("after" if row.both else "drift", {}).get(key)
            if now is not None:
                rows.append([name, key, now, found["before"].get(key) if row.both else None])
    return rows
