"""The runs as a table: the reference's values, then a row a run with its differences from it."""

from collections.abc import Mapping, Sequence
from typing import Any

from ncscope.diagnosis.against import decided
from ncscope.diagnosis.tables import entry_of, value_at
from ncscope.diagnosis.verdict import signed
from ncscope.page.place import get_csv, swatch
from ncscope.text import NOTHING, in_html, number, percent

SHOWN = (
    "accuracy.top1", "accuracy.ece", "delta_lcd.centred", "delta_lcd.raw", "delta_mid.centred",
    "delta_mid.raw", "modality_gap", "nc1", "nc4",
)  # fmt: skip


def runs_table(records: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    """A row a run; values alone where no run has a reference. Decided differences are bold."""
    paths = [p for p in SHOWN if any(value_at(r["summary"], p) is not None for r in records)]
    compared = [found for record in records if (found := record.get("against"))]
    if not paths or (len(records) == 1 and not compared):
        return ""
    heads = "".join(f'<th scope="col">{in_html(_head(path))}</th>' for path in paths)
    several = len(records) > 1
    body = "".join(
        f'<tr><th scope="row">{swatch(place) if several else ""}'
        f'<span class="name">{in_html(name)}</span></th>'
        f"{''.join(_cell(path, record) for path in paths)}</tr>"
        for place, (record, name) in enumerate(zip(records, names, strict=True))
    )
    return (
        f'<div class="tools"><h3>Runs</h3>{get_csv("runs")}</div>'
        '<div class="scroll" tabindex="0" role="region" aria-label="Runs"><table class="against">'
        f"{_caption(compared)}<thead><tr><th></th>{heads}</tr></thead><tbody>{body}</tbody></table>"
        f"</div>{_notes(compared)}"
    )


def _caption(compared: Sequence[Mapping[str, Any]]) -> str:
    if not compared:
        return ""
    to = ", ".join(dict.fromkeys(found["reference"] for found in compared))
    return (
        f'<caption>Values, and below them the difference from <span class="name">{in_html(to)}'
        "</span></caption>"
    )


def _notes(compared: Sequence[Mapping[str, Any]]) -> str:
    if not compared:
        return ""
    said = "In brackets 95 % intervals of the difference: first line images drawn anew for both"
    if not all(found["paired"] for found in compared):
        said += " (none where the images are not the same)"
    return f'<p class="note">{said}; second line classes. Bold: all leave zero out.</p>'


def _head(path: str) -> str:
    entry, form = entry_of(path)
    return f"{entry.title} {form}".strip()


def _cell(path: str, record: dict[str, Any]) -> str:
    """The value; below it the difference from the reference and its intervals."""
    share = path.startswith("accuracy") or path == "nc4"
    value = value_at(record["summary"], path)
    if value is None:
        return f'<td class="none">{NOTHING}</td>'
    words = (percent if share else number)(value)
    change = (record.get("against") or {"values": {}})["values"].get(path)
    if change is None:
        return f'<td data-v="{value:.6g}">{words}</td>'
    spans = [span for span in (change["images"], change["classes"]) if span is not None]
    if change["difference"] == 0 and not any(end for span in spans for end in span):
        return f'<td data-v="{value:.6g}">{words}<span class="step">same</span></td>'
    step = signed(change["difference"], share=share)
    words += f'<span class="step">{f"<b>{step}</b>" if decided(change) else step}</span>'
    for span in spans:
        ends = ", ".join(signed(end, share=share) for end in span)
        words += f'<span class="small">[{ends}]</span>'
    return f'<td data-v="{value:.6g}">{words}</td>'
