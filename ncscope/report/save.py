"""Everything a report writes into its folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ncscope.report import tables
from ncscope.report.table_rows import report_tables

if TYPE_CHECKING:
    from ncscope.report.measure import Report


def save_report(
    report: "Report", folder: Path, *, html: bool, thumbnails: bool, tables_as: Sequence[str],
    images_as: Sequence[str],
) -> list[Path]:  # fmt: skip
    """What `Report.save` writes, in its order; the page and the figures last, as they take longest.

    Formats are looked at before anything is written.
    """
    made = {form: report_tables(report.records, form) for form in tables_as}
    if images_as:
        from ncscope.report.export import check_kinds

        check_kinds(images_as)
    tables.make_folder(folder)
    written = [
        tables.write_json(report.records, folder / "metrics.json"),
        tables.write_csv(report.records, folder / "metrics.csv"),
    ]
    if made:
        tables.make_folder(folder / "tables")
    for form, texts in made.items():
        written += [
            tables.write_text(folder / "tables" / f"{name}.{form}", text)
            for name, text in texts.items()
        ]
    if html:
        from ncscope.report.page import write_page  # plotly is slow to import

        write_page(report, folder / "report.html", thumbnails=thumbnails)
        written.append(folder / "report.html")
    for kind in images_as:
        from ncscope.report.export import save_figures

        written += save_figures(report, folder / "figures", kind=kind)
    return written
