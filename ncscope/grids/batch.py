"""Runs of a grid that share a process: those that train together, in one pass of the text tower,
and those on stored features, one after the other, each of which takes less time than a start.

`python -m ncscope.grids.batch FOLDER STALE` takes a line of JSON a task on its input (names and
options of the runs), answers each with a line of their states, and ends with its input. What
trains is imported there only: a sweep leaves its memory to the runs.
"""

import json
import sys
import traceback
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ncscope.errors import NcscopeError
from ncscope.grids.children import end_with_sweep, terminated_as_interrupted
from ncscope.grids.run import State, has_state, is_done, lock_of, log_of, set_aside
from ncscope.grids.spec import MACHINE, Option, Planned, tune_options
from ncscope.tuning.lock import acquire, is_open
from ncscope.tuning.options import TuneOptions
from ncscope.tuning.recipe import JOINED, MOST_JOINED, ON_FEATURES, RECIPES

# What the options of a run that joins others are, where it has them
_PLAIN: dict[str, Option] = {
    "csc": False, "class_token_position": "end", "sampler": "plain", "accumulate": 1,
    "relative_weights": False, "eval_every": 0, "log_every": 0,
}  # fmt: skip
_TASK = ("method", "data", "target", "precision", *MACHINE)
_AT_ONCE = 16  # runs on stored features between two words of the process


def tasks_of(runs: Sequence[Planned]) -> list[list[Planned]]:
    """Runs that train one text prompt on one task, all images a step, and runs on stored features
    of one data set; no run that is alone in it.

    A run that is asked for a log is left out of the first, since those of one pass have none.
    """
    tasks: dict[str, list[Planned]] = {}
    for run in runs:
        if on_stored_features(run):
            tasks.setdefault(f"stored {run.options['data']}", []).append(run)
        elif _joins(run.options):
            key = json.dumps([run.options.get(name) for name in _TASK])
            tasks.setdefault(key, []).append(run)
    parts: list[list[Planned]] = []
    for key, task in tasks.items():
        most = _AT_ONCE if key.startswith("stored ") else MOST_JOINED
        parts += [task[i : i + most] for i in range(0, len(task), most)]
    return [part for part in parts if len(part) > 1]


def on_stored_features(run: Planned) -> bool:
    """Whether its data are feature files, by their names alone: a grid opens none of them."""
    first = Path(str(run.options["data"]).partition(",")[0])
    return run.options["method"] in ON_FEATURES and first.suffix in (".npz", ".safetensors")


def _joins(options: Any) -> bool:
    if options["method"] not in JOINED:
        return False
    recipe = RECIPES[options.get("recipe", "authors")].get(options["method"])
    if recipe is None:  # another method's: by itself, the run says so
        return False
    all_images = options.get("batch_size", recipe.batch_size) == 0
    return all_images and all(options.get(key, value) == value for key, value in _PLAIN.items())


def do_batch(runs: Sequence[Planned], folder: Path, *, stale: float) -> list[State | None]:
    """Do the runs of a task that nobody else does; None for one that must be done by itself."""
    if on_stored_features(runs[0]):
        return [_on_features(run, folder, stale) for run in runs]
    from ncscope.tuning.together import tune_together

    states: dict[str, State | None] = {}
    mine: dict[str, TuneOptions] = {}
    with ExitStack() as held:
        for run in runs:
            states[run.name] = _taken(run, folder, held, stale)
            if states[run.name] is None and not has_state(run, folder):
                try:
                    mine[run.name] = tune_options(run.options)
                except NcscopeError:
                    continue  # by itself, it says in its log what is wrong
        for name in mine:
            set_aside(folder / name)
        try:
            if mine:
                options = runs[0].options
                targets: Any = options.get("target", ())
                folders = [folder / name for name in mine]
                tune_together(list(mine.values()), folders, _machine(options), targets=targets)
        except Exception:  # whatever it is, each run is to say it, or to go on without the others
            traceback.print_exc()
        for run in runs:
            if run.name in mine and is_done(run, folder):
                states[run.name] = "done"
    return [states[run.name] for run in runs]


def _on_features(run: Planned, folder: Path, stale: float) -> State | None:
    """One run as `ncscope tune` does it; None where a process of its own is to say why not."""
    from ncscope.tuning.tune import tune

    options: dict[str, Any] = dict(run.options)
    options["shots"] = options.get("shots", 16) or None
    options["targets"] = options.pop("target", ())
    with ExitStack() as held:
        state = _taken(run, folder, held, stale)
        if state is not None or has_state(run, folder):
            return state
        set_aside(folder / run.name)
        try:
            tune(**options, out=folder / run.name)
        except NcscopeError:
            return None
    return "done" if is_done(run, folder) else None


def _taken(run: Planned, folder: Path, held: ExitStack, stale: float) -> State | None:
    """None where the run's lock is ours now and there is something to do."""
    if not is_done(run, folder):
        lock = acquire(lock_of(run, folder), stale=stale)
        if lock is not None:
            held.enter_context(lock)
        if not is_done(run, folder) and (lock is None or is_open(log_of(run, folder))):
            return "elsewhere"
    return "was done" if is_done(run, folder) else None


def _machine(options: Any) -> Any:
    from ncscope.features.cache import cache_folder
    from ncscope.tuning.data import Machine

    said = {key: options[key] for key in MACHINE if key in options}
    return Machine(**said, cache=cache_folder("auto"))


def main() -> None:
    """Answer tasks until there are no more, or the sweep has ended; then give back the locks."""
    end_with_sweep()
    folder, stale = Path(sys.argv[1]), float(sys.argv[2])
    answers, sys.stdout = sys.stdout, sys.stderr  # what libraries print is no answer
    try:
        with terminated_as_interrupted():
            for line in sys.stdin:
                runs = [Planned(name, options) for name, options in json.loads(line)]
                print(json.dumps(do_batch(runs, folder, stale=stale)), file=answers, flush=True)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
