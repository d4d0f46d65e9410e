"""The page's tables as CSV, made by the one writer, so that no name becomes a formula."""

from collections.abc import Mapping, Sequence
from typing import Any

from ncscope.diagnosis.tables import entry_of, report_tables, value_at
from ncscope.diagnosis.what_if import move_rows
from ncscope.page.against import SHOWN
from ncscope.page.cards import Confusion
from ncscope.page.tables import CONFUSION_HEADS, flat
from ncscope.page.tuned import tuned_rows
from ncscope.text import in_csv


def csv_tables(
    records: Sequence[dict[str, Any]], names: Sequence[str],
    confused: Mapping[int, Sequence[Confusion]],
) -> dict[str, str]:  # fmt: skip
    """Every table of the page by the name of its file: numbers in full, of all runs."""
    found = report_tables(list(records), "csv")
    found["runs"] = in_csv(_runs(records, names))
    for place, pairs in confused.items():
        rows = [[row["name"]] for row in records[place]["per_class"]]
        found[f"confusions-{place + 1}"] = in_csv(
            [
                (*CONFUSION_HEADS[:3], "of", *CONFUSION_HEADS[3:]),
                *((*rows[one.true], *rows[one.taken], one.images, one.of, one.texts, one.own,
                   one.other) for one in pairs),
            ]
        )  # fmt: skip
    if len(moved := move_rows(records, names)) > 1:
        found["what-if"] = in_csv(moved)
    if len(changed := tuned_rows(records, names)) > 1:
        found["tuned"] = in_csv(changed)
    found["conventions"] = in_csv(_facts(records, names))
    return found


def _runs(records: Sequence[dict[str, Any]], names: Sequence[str]) -> list[list[Any]]:
    """A row a run and measure: value, difference from the reference, both intervals."""
    rows: list[list[Any]] = [
        ["run", "measure", "form", "value", "reference", "difference", "images low", "images high",
         "classes low", "classes high"]
    ]  # fmt: skip
    for record, name in zip(records, names, strict=True):
        against = record.get("against") or {"values": {}}
        for path in SHOWN:
            change = against["values"].get(path) or {}
            ends = [end for scope in ("images", "classes")
                    for end in change.get(scope) or (None, None)]  # fmt: skip
            rows.append(
                [name, entry_of(path)[0].title, entry_of(path)[1],
                 value_at(record["summary"], path), against.get("reference"),
                 change.get("difference"), *ends]
            )  # fmt: skip
    return rows


def _facts(records: Sequence[dict[str, Any]], names: Sequence[str]) -> list[list[str]]:
    """A row a fact of a run's conventions and provenance."""
    return [
        ["run", "part", "fact", "value"],
        *(
            [name, part, key, value]
            for record, name in zip(records, names, strict=True)
            for part in ("conventions", "provenance")
            for key, value in flat(record[part])
        ),
    ]
