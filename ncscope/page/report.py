"""A report: measured runs side by side, as a table, as files, and shown where the user is."""

import sys
import tempfile
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ncscope.diagnosis.measure import Run
from ncscope.diagnosis.tables import report_tables, text_table, write_csv, write_json
from ncscope.diagnosis.verdict import alarm, comparison, verdict
from ncscope.text import run_names
from ncscope.writing import make_folder, write_text


@dataclass(frozen=True, eq=False)
class Report:
    """Measured runs, side by side; `left_out` are sources that gave none: `source`, `reason`."""

    runs: tuple[Run, ...]
    left_out: tuple[dict[str, str], ...] = ()

    def __repr__(self) -> str:
        names = ", ".join(run_names(self.records)[:3]) + (", …" if len(self.runs) > 3 else "")
        return f"<Report: {len(self.runs)} run{'s' * (len(self.runs) > 1)}, {names}>"

    def _repr_html_(self) -> str:
        """The page, framed: what a notebook shows of a report that ends a cell."""
        from ncscope.page.page import page

        return _framed(page(self.runs))

    @property
    def summary(self) -> dict[str, Any]:
        """The first run's headline numbers: `report.summary["delta_lcd"]["raw"]`."""
        return self.runs[0].record["summary"]

    @property
    def records(self) -> list[dict[str, Any]]:
        """The runs as metrics.json has them."""
        return [run.record for run in self.runs]

    def verdict(self, *, brief: bool = False) -> list[str]:
        """What must be known first: alarms, what one run alone says, each against its reference.

        Args:
            brief: of one run's sentences only the first two.
        """
        names = run_names(self.records)
        if len(self.runs) == 1:
            return verdict(self.records[0])[: 2 if brief else None] + comparison(
                self.records, names
            )
        alarms = [
            f"{name}: {said}"
            for record, name in zip(self.records, names, strict=True)
            if (said := alarm(record)) is not None
        ]
        return alarms + comparison(self.records, names)

    def table(self, *, brief: bool = False) -> str:
        """The headline numbers as aligned text, a column a run; `brief`, the first six of them."""
        return text_table(self.records, brief=brief)

    def tables(self, form: str = "md") -> dict[str, str]:
        """Headline numbers, classes and groups as `csv`, `md` or `tex`, by name."""
        return report_tables(self.records, form)

    def save(
        self, folder: str | Path, *, html: bool = True, thumbnails: bool = True,
        tables_as: Sequence[str] = (), images_as: Sequence[str] = (),
    ) -> list[Path]:  # fmt: skip
        """Write metrics.json, metrics.csv and report.html; each appears only when complete.

        Args:
            thumbnails: small pictures of the drawn images on the page, where they are at hand.
            tables_as: `csv`, `md`, `tex`: every table in these formats, in `tables/`.
            images_as: `png`, `svg`, `pdf`: every figure, in `figures/`; seconds each.

        Raises:
            DataError: an unknown format, or what images need is missing.
        """
        # Formats are looked at before anything is written.
        made = {form: self.tables(form) for form in tables_as}
        if images_as:
            from ncscope.figures.export import check_kinds  # plotly is slow to import

            check_kinds(images_as)
        folder = Path(folder)
        make_folder(folder)
        written = [write_csv(self.records, folder / "metrics.csv")]
        for form, texts in made.items():
            make_folder(folder / "tables")
            for name, text in texts.items():
                written.append(write_text(folder / "tables" / f"{name}.{form}", text))
        if html:
            from ncscope.page.page import write_page

            write_page(self.runs, folder / "report.html", thumbnails=thumbnails)
            written.append(folder / "report.html")
        for kind in images_as:
            from ncscope.figures.export import save_figures

            written += save_figures(self.runs, folder / "figures", kind=kind)
        # Last: where it is, the analysis is whole, and `compare` takes it.
        last = write_json(self.records, folder / "metrics.json", left_out=self.left_out)
        return [last, *written]

    def show(self) -> None:
        """Show the page in a notebook, or open it in a browser elsewhere."""
        from ncscope.page.page import page

        body = page(self.runs)
        if "IPython" in sys.modules:
            from IPython import get_ipython  # pyright: ignore[reportMissingImports]
            from IPython.display import HTML, display  # pyright: ignore[reportMissingImports]

            if get_ipython() is not None:
                display(HTML(_framed(body)))
                return
        with tempfile.NamedTemporaryFile(
            "w", suffix=".html", delete=False, encoding="utf-8"
        ) as file:
            file.write(body)
        webbrowser.open(Path(file.name).as_uri())


def _framed(body: str) -> str:
    """The page in a frame of its own, so that its styles do not leak into the notebook."""
    quoted = body.replace("&", "&amp;").replace('"', "&quot;")
    return f'<iframe srcdoc="{quoted}" style="width:100%;height:80vh;border:0"></iframe>'
