"""Runs trained in one pass end where they end alone."""

import pytest
import torch

from ncscope.errors import DataError, NcscopeError
from ncscope.features.processes import ALONE
from ncscope.toy.model import load_toy_clip
from ncscope.tuning.data import Machine
from ncscope.tuning.options import TuneOptions
from ncscope.tuning.plan import make_plan
from ncscope.tuning.run import start
from ncscope.tuning.together import train_together, tune_together
from ncscope.tuning.train import train
from ncscope.zoo.settings import LearnerOptions


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    return Machine(backbone=load_toy_clip(), cache=tmp_path_factory.mktemp("cache"))


def options(**changes):
    return TuneOptions("coop", "toy:textures", shots=4, recipe="toy", epochs=5, **changes)


VARIANTS = (
    {},
    {"seed": 2, "tau": 0.25, "lcd_weight": 1.0, "mid_weight": 5.0},
    {"seed": 3, "tau": 0.25, "loss": "logit-adjusted"},
    {"regulariser": "cpt", "class_order": "random", "tau": 0.25},
    {"lcd_weight": 1.0, "mid_weight": 1.0, "centred": True},
    {"mid_weight": 1.0, "mid_form": "frobenius"},
)


def test_runs_trained_together_end_where_each_ends_alone(machine):
    def plans():
        return [
            make_plan(options(**v), machine, spread=ALONE, learner=LearnerOptions())
            for v in VARIANTS
        ]

    together, alone = plans(), plans()
    runs = [start(options(**v), p, machine).run() for v, p in zip(VARIANTS, together, strict=True)]
    train_together(runs)
    for variant, plan, other in zip(VARIANTS, together, alone, strict=True):
        before = other.setting.leaves[0].detach().clone()
        train(start(options(**variant), other, machine).run())
        (found,), (wanted,) = plan.setting.leaves, other.setting.leaves
        assert not torch.allclose(wanted, before)
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)


def test_a_study_gives_the_numbers_and_files_of_single_runs(machine, tmp_path):
    chosen = [options(), options(seed=2, lcd_weight=1.0)]
    folders = [tmp_path / "a", tmp_path / "b"]
    tuned = tune_together(chosen, folders, machine)
    assert [run.record["seed"] for run in tuned] == [1, 2]
    assert [run.record["name"] for run in tuned] == ["coop", "coop+npt"]
    for folder in folders:
        for name in ("metrics.json", "config.json", "checkpoint.safetensors", "log.txt"):
            assert (folder / name).stat().st_size > 0


def test_runs_of_different_classes_are_refused_together(machine):
    other = TuneOptions("coop", "toy:colours", shots=2, recipe="toy", epochs=1)
    runs = [
        start(o, make_plan(o, machine, spread=ALONE, learner=LearnerOptions()), machine).run()
        for o in (options(), other)
    ]
    with pytest.raises(DataError, match="cannot be trained together"):
        train_together(runs)


def test_a_run_that_diverges_is_refused_together_as_it_is_alone(machine):
    said = []
    for trains in (train_together, lambda runs: [train(run) for run in runs]):
        wild = options(lr=1e7)
        plans = [make_plan(wild, machine, spread=ALONE, learner=LearnerOptions())] * 2
        runs = [start(wild, plan, machine).run(evaluated=False) for plan in plans]
        with pytest.raises(
            NcscopeError, match=r"diverged in epoch \d: the weights are beyond 1e"
        ) as e:
            trains(runs)
        said.append(str(e.value))
    assert said[0] == said[1]
