"""Many runs of a study on one task: those of one text prompt in one pass, the others one by one."""

from collections.abc import Sequence
from pathlib import Path

from ncscope.features.processes import ALONE
from ncscope.tuning.options import TuneOptions
from ncscope.tuning.plan import Plan, make_plan
from ncscope.tuning.run import Tuned, finish, start
from ncscope.tuning.together import can_join, train_together
from ncscope.tuning.train import train
from ncscope.tuning.tune_tests import Machine
from ncscope.writing import make_folder
from ncscope.zoo.learner_options import LearnerOptions

MOST = 64  # runs of one pass, which bounds memory


def tune_together(
    chosen: Sequence[TuneOptions],
    folders: Sequence[Path | None],
    machine: Machine,
    *,
    targets: Sequence[str] = (),
) -> list[Tuned]:
    """Run all; each writes its own folder, as if `tune` had been called for it.

    Runs that can be joined must have one recipe and one class list; those of several tasks are
    called for task by task.
    """
    plans = [
        make_plan(options, machine, spread=ALONE, learner=LearnerOptions()) for options in chosen
    ]
    for folder in folders:
        if folder is not None:
            make_folder(folder)
    started = [
        start(options, plan, machine, targets=targets, folder=folder)
        for options, plan, folder in zip(chosen, plans, folders, strict=True)
    ]
    runs = [one.run(evaluated=False) for one in started]
    joined = [i for i, run in enumerate(runs) if can_join(run)]
    done: dict[int, Tuned] = {}
    for group in _groups(joined, plans):
        trained = train_together([runs[i] for i in group])
        for i, result in zip(group, trained, strict=True):
            done[i] = finish(started[i], result, sharing=len(group))
    for i, run in enumerate(runs):
        if i not in done:
            done[i] = finish(started[i], train(run))
    return [done[i] for i in range(len(runs))]


def _groups(joined: Sequence[int], plans: Sequence[Plan]) -> list[list[int]]:
    """Runs of one recipe, method and class list, at most MOST at once."""
    groups: dict[object, list[int]] = {}
    for i in joined:
        plan = plans[i]
        key = (plan.setting.trainee.method, plan.recipe, plan.setting.classnames)
        groups.setdefault(key, []).append(i)
    return [group[j : j + MOST] for group in groups.values() for j in range(0, len(group), MOST)]
