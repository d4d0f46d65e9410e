"""Every run below a folder: ours, Dassl's trees of any depth, and loose checkpoint files.

A run is what `locate` finds one checkpoint in, and what a command can be given as its source.
"""

from dataclasses import dataclass
from pathlib import Path

from ncscope.checkpoint.locate import choose, is_companion, logs_in, nothing_below
from ncscope.checkpoint.walk import Walk
from ncscope.errors import CheckpointError


@dataclass(frozen=True)
class FoundRuns:
    """Sources, sorted by name, and what the search left aside, in words."""

    paths: tuple[Path, ...]
    notes: tuple[str, ...] = ()


def find_runs(top: str | Path) -> FoundRuns:
    """The runs below a folder, each as a folder or file to give as a source; a file is itself.

    A model's folder stands under its run's where a log lies there, or other models of the run. A
    folder of several files of which none is the one to take is a run a file.

    Raises:
        CheckpointError: no checkpoint below the folder, or more folders and files than can be
            meant.
    """
    top = Path(top)
    if not top.is_dir():
        return FoundRuns((top,))
    walk = Walk(top)
    beside: dict[Path, list[Path]] = {}
    files: dict[Path, list[Path]] = {}
    for folder, found in walk.folders():
        files[folder] = found
        beside.setdefault(folder.parent if folder != top else folder, []).append(folder)
    if not files:
        raise nothing_below(top)
    above = {higher for folder in files for higher in folder.parents}  # of runs below
    paths: list[Path] = []
    for parent, models in beside.items():
        main = [model for model in models if not is_companion(model)] or models
        one = len(main) == 1 and main[0] != top and parent not in files
        if one and (len(models) > 1 or logs_in(parent)) and _chosen(main[0]):
            paths.append(parent)
            continue
        for model in main:
            chosen = _chosen(model)
            paths += files[model] if chosen is None else [chosen if model in above else model]
    return FoundRuns(tuple(sorted(paths)), walk.notes())


def _chosen(folder: Path) -> Path | None:
    """The folder's file to take, if there is such a one."""
    try:
        return choose(folder)[0]
    except CheckpointError:
        return None


def run_name(path: Path, top: Path) -> str:
    """A run's name in a list of those below a folder."""
    return str(path.relative_to(top)) if path != top and path.is_relative_to(top) else str(path)
