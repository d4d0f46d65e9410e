"""Logs for TensorBoard and Weights & Biases."""

import sys
from types import SimpleNamespace

import pytest

from ncscope.errors import DataError
from ncscope.tuning.log import scalars, tensorboard, weights_and_biases

EVENT = {"event": "eval", "epoch": 1, "step": 7, "base": {"accuracy": 0.5, "delta_lcd": {"raw": 2}}}


def test_the_numbers_of_an_event_have_slash_joined_names():
    assert scalars(EVENT) == {"base/accuracy": 0.5, "base/delta_lcd/raw": 2.0}


def test_events_reach_weights_and_biases_with_their_step_and_the_run_is_ended(monkeypatch):
    sent, ended = [], []
    run = SimpleNamespace(
        log=lambda values, step: sent.append((step, values)), finish=lambda: ended.append(True)
    )
    fake = SimpleNamespace(init=lambda **said: run if said["project"] == "mine" else None)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    with weights_and_biases("mine", {"lr": 1}) as send:
        assert send is not None
        send(EVENT)
    assert sent == [(7, scalars(EVENT))]
    assert ended


def test_without_weights_and_biases_the_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(DataError, match="pip install wandb"), weights_and_biases("mine", {}):
        pass


def test_tensorboard_needs_a_folder():
    with pytest.raises(DataError, match="--out DIR"), tensorboard(None, wanted=True):
        pass


def test_nothing_is_written_where_nothing_is_wanted(tmp_path):
    with tensorboard(tmp_path, wanted=False) as write, weights_and_biases(None, {}) as send:
        assert (write, send) == (None, None)
    assert not list(tmp_path.iterdir())
