"""`ncscope analyze DIR`: every run below a folder, each on its own data set, a row each."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ncscope_cli import options
from ncscope_cli.terminal import answer, say

# Options that mean one data set, or a page of few runs
_ALONE = ("data", "pairs", "as_given", "images", "train_counts", "classnames", "learner")

if TYPE_CHECKING:
    from ncscope.features.processes import Spread
    from ncscope.page.folder import FolderReport


def runs_below(sources: Sequence[str], *, data: bool) -> tuple[list[str], list[str], bool]:
    """The sources, with the runs below a folder in its place where they share `--data`.

    Returns:
        The sources; what was not searched, in words; and whether a folder has several runs, whose
        logs must say on which data each is to be measured.
    """
    from ncscope.checkpoint.runs import find_runs
    from ncscope.errors import CheckpointError
    from ncscope.features.arranged import is_feature_source

    found, notes, several = list[str](), list[str](), False
    for source in sources:
        below: Sequence[Path] = ()
        if Path(source).is_dir() and not (not data and is_feature_source(source)):
            try:
                runs = find_runs(source)
            except CheckpointError:
                runs = None  # said by whoever takes the source
            if runs is not None and len(runs.paths) > 1:
                below, several = runs.paths, several or not data
                notes += runs.notes if data else ()
        found += map(str, below) if below and data else [source]
    return found, notes, several


def measure_folder(
    said: Mapping[str, Any], spread: "Spread", *, moved: str | None, half: str
) -> int:
    """Measure, print a row a run, write the files; the exit status, 1 where a run is left out.

    Args:
        said: the verb's options, by name.
        moved: what --intervene was said to be, `half` if it stood alone.
    """
    from ncscope.errors import DataError
    from ncscope.page.folder import analyze_folder

    alone = {name: said[name] for name in _ALONE}
    alone["intervene FILE"] = moved if moved != half else None
    if refused := [name.replace("_", "-") for name, value in alone.items() if value]:
        raise DataError(
            f"--{', --'.join(refused)}: not with many runs on data sets of their own; name single "
            f"runs and their --data"
        )
    how = options.extraction(said)
    out, quiet = said["out"], said["quiet"]
    for name in ("data", "classnames", "learner"):
        del how[name]
    report = analyze_folder(
        *said["sources"], out=out, data_root=said["data_root"], bootstrap=said["bootstrap"],
        intervene=moved is not None, strict=said["strict"],
        left_out=say if spread.first else None,
        progress=None if quiet or not spread.first else say, spread=spread, **how,
    )  # fmt: skip
    if not spread.first:
        return int(bool(report.left_out))
    written = report.save(out, tables_as=said["tables"] or ())
    if said["html"]:
        written += _page(out)
    answer(report.table())
    _tell(report, out)
    if not quiet:
        say(f"wrote {', '.join(map(str, written))}")
    if report.left_out:
        say(f"left out {len(report.left_out)} of {len(report.left_out) + len(report.records)} runs")
    return int(bool(report.left_out))


def _page(out: Path) -> list[Path]:
    from ncscope.comparison.compare import compare

    return [compare(out / "metrics.json", correlations="none").save(out / "report.html")]


def _tell(report: "FolderReport", out: Path) -> None:
    if report.held:
        say(
            f"{report.held} runs were measured before with the same inputs and are as {out} has "
            f"them"
        )
    for note in report.notes:
        say(note)
    for line in warnings(report.records, most=3):
        say(line)


def warnings(records: list[dict[str, Any]], most: int = 9) -> list[str]:
    """Each warning once, with the sources it is of, the first ones by name."""
    found: dict[str, list[str]] = {}
    for record in records:
        for warning in record["warnings"]:
            found.setdefault(warning, []).append(str(record["source"]))
    named = {warning: list(dict.fromkeys(sources)) for warning, sources in found.items()}
    return [
        f"{', '.join(names[:most])}{f' and {len(names) - most} more' if names[most:] else ''}: "
        f"{warning}"
        for warning, names in named.items()
    ]
