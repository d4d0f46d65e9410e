"""Runs a list of tuning runs, a folder each, skipping what is done: a study on one machine."""

from collections.abc import Callable, Sequence
from pathlib import Path

from ncscope.experiments.tune_options import TuneOptions
from ncscope.experiments.tune_tests import Machine
from ncscope.experiments.tune_together import tune_together

Progress = Callable[[int, int, str], object] | None


def folder_name(options: TuneOptions) -> str:
    """`coop+npt/toy-colours/tau0.06/seed1`, with weights where there are any."""
    data = options.data.replace(":", "-").replace("/", "-")
    weights = ""
    if options.objective().active and options.regulariser == "npt":
        form = "c" if options.centred else ""
        weights = f"-w{options.lcd_weight:g}-{options.mid_weight:g}{form}"
    return f"{options.name}{weights}/{data}/tau{options.tau:g}/seed{options.seed}"


def run_study(
    chosen: Sequence[TuneOptions],
    out: Path,
    machine: Machine,
    *,
    targets: Sequence[str] = (),
    progress: Progress = None,
) -> list[Path]:
    """Run what has no metrics.json yet, task by task; returns the folders, in the order given.

    Args:
        progress: called with the number of runs done, their total, and the task at hand.
    """
    folders = [out / folder_name(options) for options in chosen]
    tasks: dict[tuple[str, str], list[int]] = {}
    for i, options in enumerate(chosen):
        if not (folders[i] / "metrics.json").exists():
            tasks.setdefault((options.method, options.data), []).append(i)
    total = len(chosen)
    done = total - sum(map(len, tasks.values()))
    for (method, data), members in tasks.items():
        if progress is not None:
            progress(done, total, f"{method} on {data}")
        tune_together(
            [chosen[i] for i in members], [folders[i] for i in members], machine, targets=targets
        )
        done += len(members)
    return folders
