"""Many runs to tables: what `ncscope compare` does, from Python."""

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Literal, get_args

from ncscope.comparison.association import NOTES as CORRELATION_NOTES
from ncscope.comparison.association import correlation_tables
from ncscope.comparison.averages import listed
from ncscope.comparison.html import as_html
from ncscope.comparison.layouts import H_NOTE, Layout, build_tables
from ncscope.comparison.measures import NOTE as MEASURES_NOTE
from ncscope.comparison.measures import measure_tables
from ncscope.comparison.paired import NOTE as TEST_NOTE
from ncscope.comparison.paired import find_baseline
from ncscope.comparison.read import find_files, read_outcomes
from ncscope.comparison.rows import (
    Duplicates,
    Labelled,
    label_rows,
    merge_splits,
    recipe_notes,
    tau_words,
    taus,
    without_duplicates,
)  # fmt: skip
from ncscope.comparison.table import Table, as_csv, as_latex, as_markdown, as_text
from ncscope.errors import DataError
from ncscope.writing import make_folder, write_text

Correlations = Literal["none", "headline", "all"]
_SUFFIXES = (".txt", ".csv", ".md", ".tex", ".html")


@dataclass(frozen=True, eq=False)
class Comparison:
    """Tables over runs: accuracies, paired tests, measures, correlations; the runs, labelled."""

    rows: tuple[Labelled, ...]
    tables: tuple[Table, ...]
    correlations: tuple[Table, ...]
    notes: tuple[str, ...]
    measures: tuple[Table, ...] = ()
    baseline: str | None = None
    seed: int = 0  # of the intervals

    def table(self) -> str:
        """Everything as aligned text."""
        return as_text([*self.tables, *self.measures, *self.correlations], self.notes)

    def save(self, path: str | Path) -> Path:
        """Write it in the format that the suffix names; the file appears when it is complete.

        Raises:
            DataError: another suffix, or a file that cannot be written.
        """
        path = Path(path)
        check_suffix(path)
        make_folder(path.parent)
        if path.suffix == ".html":
            page = as_html(
                self.rows, self.tables, self.correlations, self.notes, measures=self.measures,
                baseline=self.baseline, seed=self.seed,
            )  # fmt: skip
            return write_text(path, page)
        tables = [*self.tables, *self.measures, *self.correlations]
        if path.suffix == ".csv":
            return write_text(path, as_csv(tables))
        formats = {".txt": as_text, ".md": as_markdown, ".tex": as_latex}
        return write_text(path, formats[path.suffix](tables, self.notes).rstrip("\n") + "\n")


def check_suffix(path: Path) -> None:
    """Refuse a file whose suffix names no format.

    Raises:
        DataError: it does not.
    """
    if path.suffix not in _SUFFIXES:
        raise DataError(f"{path}: the suffix says the format: one of {', '.join(_SUFFIXES)}")


def compare(
    *paths: str | Path,
    baseline: str | None = None,
    layout: Layout = "auto",
    by: Sequence[str] | None = None,
    tau: Sequence[float] | None = None,
    before: bool = False,
    duplicates: Duplicates = "error",
    correlations: Correlations = "none",
    seed: int = 0,
) -> Comparison:
    """Tables, paired tests and correlations over the runs in files and folders.

    Args:
        paths: metrics.json files, or folders searched for them at any depth.
        baseline: the row that the others are tested against; None: no tests.
        layout: one kind of table; `"auto"` gives all for which there are runs, of measures the
            averages; `"measures"` also each measure by method and data set.
        by: settings that make rows of their own; None: all that differ between runs of a name.
        tau: only the runs trained at these ratios, and what was not trained.
        before: also what tuning started from, as rows of their own.
        duplicates: `"error"`, or `"newest"` of runs of one row, data set, tau and seed.
        correlations: of which measures with accuracy.
        seed: of the bootstraps.

    Raises:
        DataError: no runs, files that are none, runs that come twice, an unknown name.
    """
    if wrong := [path for path in paths if not isinstance(path, str | PathLike)]:
        raise DataError(f"runs are named by files or folders; got {type(wrong[0]).__name__}")
    _known("layout", layout, get_args(Layout))
    _known("correlations", correlations, get_args(Correlations))
    outcomes = merge_splits(read_outcomes(find_files(paths), before=before))
    if tau is not None:
        there = {o.tau for o in outcomes if o.tau is not None}
        if unknown := sorted(set(tau) - there, reverse=True):
            raise DataError(f"no run was trained at tau {tau_words(unknown)}; there are: "
                            f"{tau_words(sorted(there, reverse=True)) or 'none'}")  # fmt: skip
        outcomes = [o for o in outcomes if o.tau is None or o.tau in tau]
    rows, notes = without_duplicates(label_rows(outcomes, by=by), duplicates=duplicates)
    notes += recipe_notes(rows)
    if not rows:
        raise DataError("there is no run to compare: none has a number")
    labels = list(dict.fromkeys(row.label for row in rows))
    chosen = None if baseline is None else find_baseline(labels, baseline)
    tables, tested = build_tables(rows, layout=layout, baseline=chosen, seed=seed)
    measures = []
    if layout in ("auto", "measures"):
        measures = measure_tables(rows, whole=layout == "measures", baseline=chosen, seed=seed)
    if not tables and not measures:
        raise DataError(f"no run has what layout {layout} shows; runs: {'; '.join(labels)}")
    shown = {name for table in (*tables, *measures) for name, _ in table.rows}
    if hidden := [label for label in labels if label not in shown]:
        notes.append(f"In no table here, for want of accuracies of what they show: "
                     f"{listed(hidden)}.")  # fmt: skip
    if chosen is not None and tables:
        notes += _untested(rows, tested, chosen)
    found = []
    if correlations != "none":
        found = correlation_tables(rows, every=correlations == "all", seed=seed)
        if not found:
            notes.append("No correlation is defined: fewer than 3 runs a data set, or all alike.")
    notes += _legend(rows, tables, found, tests=len(tested) > 0)
    notes += [MEASURES_NOTE] if measures else []
    return Comparison(
        tuple(rows), tuple(tables), tuple(found), tuple(notes), tuple(measures), chosen, seed
    )


def _known(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise DataError(f"{name} must be one of {', '.join(known)}; found {value!r}")


def _untested(rows: Sequence[Labelled], tested: Sequence[Table], baseline: str) -> list[str]:
    """Where there are no tests though a baseline was named."""
    if not tested:
        return [f"No tests: no table has an accuracy of {baseline} beside another row's."]
    known = {row.outcome.tau for row in rows if row.label == baseline}
    lacking = [ratio for ratio in taus(rows) if ratio is not None and ratio not in known]
    if None in known or not lacking:
        return []
    return [f"No tests at tau {tau_words(lacking)}: {baseline} has no run there."]


def _legend(
    rows: Sequence[Labelled], tables: Sequence[Table], correlations: Sequence[Table], *, tests: bool
) -> list[str]:
    """What holds for all tables, said once."""
    notes = [H_NOTE] if any("H of averages" in table.heads for table in tables) else []
    notes += [TEST_NOTE] if tests else []
    notes += CORRELATION_NOTES if correlations else []
    if correlations and len({row.outcome.tau for row in rows} - {None}) > 1:
        notes.append("Correlations and their figures take runs of all tau together; to take those "
                     "of one, name it (--tau, in Python tau=[…]).")  # fmt: skip
    return notes
