# States written here are there to be read.
# pyright: reportOptionalMemberAccess=false

import errno
import os
import resource
import signal

import pytest
import torch
from safetensors.torch import save_file

from ncscope.errors import CheckpointError, DataError
from ncscope.tuning.log import Log
from ncscope.tuning.optimiser import Optimiser
from ncscope.tuning.recipe import Recipe
from ncscope.tuning.state import (
    _FORMAT,
    State,
    check_resumable,
    check_same,
    read_state,
    write_state,
)
from ncscope.tuning.state_file import BEFORE, LAST, is_whole

CONFIG = {"lr": 0.1, "shots": 16, "cpt_weights": (0.25, 0.15)}
STATE = State(3, {"a": torch.arange(4.0)}, CONFIG, log_bytes=17, step=9)


def test_a_state_is_read_as_it_was_written(tmp_path):
    write_state(STATE, tmp_path / "state.safetensors")
    found = read_state(tmp_path / "state.safetensors")
    assert (found.epoch, found.step, found.log_bytes) == (3, 9, 17)
    assert torch.equal(found.tensors["a"], STATE.tensors["a"])
    check_same(found, CONFIG, tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.safetensors"]


def test_a_write_that_fails_leaves_the_old_state(tmp_path, monkeypatch):
    path = tmp_path / "state.safetensors"
    write_state(STATE, path)

    def cut(tensors, name, metadata):
        save_file(tensors, name, metadata)
        raise KeyboardInterrupt

    monkeypatch.setattr("ncscope.tuning.state.save_file", cut)
    with pytest.raises(KeyboardInterrupt):
        write_state(State(4, STATE.tensors, CONFIG), path)
    assert read_state(path).epoch == 3
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.safetensors"]


@pytest.mark.parametrize("length", [0, 3, 40, -1])
def test_a_damaged_state_is_one_line(tmp_path, length):
    path = tmp_path / "state.safetensors"
    write_state(STATE, path)
    os.truncate(path, length if length >= 0 else path.stat().st_size - 1)
    with pytest.raises(CheckpointError, match=r"state\.safetensors: damaged .*remove it"):
        read_state(path)


def test_a_file_of_another_kind_is_no_state(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "state.safetensors")
    with pytest.raises(CheckpointError, match="no state of a tuning run"):
        read_state(tmp_path / "state.safetensors")


def test_a_state_of_the_version_before_is_refused_and_not_mixed_with_other_terms(tmp_path):
    tensors = {"running.total": torch.ones(4), "running.classes": torch.ones(2, 4)}
    known = {"format": "ncscope tuning state 1", "state": '{"epoch": 3, "step": 9}'}
    save_file(tensors, tmp_path / "state.safetensors", known)
    with pytest.raises(CheckpointError, match=r"a state of an earlier version .*remove the file"):
        read_state(tmp_path / "state.safetensors")


@pytest.mark.parametrize("metadata", [{}, {"state": "[]"}, {"state": "{"}])
def test_a_state_with_damaged_metadata_is_one_line(tmp_path, metadata):
    known = {"format": "ncscope tuning state 2", **metadata}
    save_file({"a": torch.zeros(1)}, tmp_path / "state.safetensors", known)
    with pytest.raises(CheckpointError, match="damaged"):
        read_state(tmp_path / "state.safetensors")


def test_another_option_is_refused_by_name(tmp_path):
    write_state(STATE, tmp_path / "state.safetensors")
    found = read_state(tmp_path / "state.safetensors")
    with pytest.raises(CheckpointError, match=r"has lr = 0\.1, now it is 0\.2; resume with"):
        check_same(found, {**CONFIG, "lr": 0.2}, tmp_path)
    check_same(found, {**CONFIG, "data": "eurosat:/elsewhere", "processes": 4}, tmp_path)
    with pytest.raises(CheckpointError, match="has shots = 16, now it is None"):
        check_same(found, {"lr": 0.1, "cpt_weights": [0.25, 0.15]}, tmp_path)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_an_optimiser_is_torchs_and_goes_on_bit_for_bit(optimizer):
    recipe = Recipe(0.1, 1, 1, optimizer)
    more = {"momentum": 0.9} if optimizer == "sgd" else {"eps": recipe.adam_eps}
    kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[optimizer]
    plain = torch.ones(3, requires_grad=True)
    theirs = kind([plain], lr=0.05, weight_decay=recipe.weight_decay, **more)
    leaf = torch.ones(3, requires_grad=True)
    ours = Optimiser(recipe, [leaf])
    for seed in range(4):
        gradient = torch.randn(3, generator=torch.Generator().manual_seed(seed))
        plain.grad = gradient.clone()
        theirs.step()
        if seed == 2:  # interrupted
            kept, ours = ours.tensors(), Optimiser(recipe, [leaf])
            ours.restore(kept)
        ours.step([gradient], 0.05)
        assert torch.equal(leaf, plain)


def test_sgd_is_momentum_with_weight_decay_in_the_gradient():
    leaf = torch.tensor([2.0], requires_grad=True)
    optimiser = Optimiser(Recipe(1.0, 1, 1), [leaf])
    value, speed = 2.0, 0.0
    for gradient, lr in ((0.3, 0.1), (-0.2, 0.05), (0.1, 0.01)):
        optimiser.step([torch.tensor([gradient])], lr)
        speed = 0.9 * speed + gradient + 5e-4 * value
        value -= lr * speed
        assert leaf.item() == pytest.approx(value)


def test_a_log_that_goes_on_is_cut_back_to_the_state(tmp_path):
    log = Log(tmp_path / "log.jsonl")
    log.write({"step": 0, "loss": float("nan"), "grad": {"ce": float("inf"), "mid": 1.5}})
    kept = log.size
    log.write({"step": 10})
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 2')  # the kill came in the middle of a line
    resumed = Log(tmp_path / "log.jsonl", keep_bytes=kept)
    assert resumed.events == [{"step": 0, "loss": None, "grad": {"ce": None, "mid": 1.5}}]
    resumed.write({"step": 10})
    assert (tmp_path / "log.jsonl").read_text().count("\n") == 2
    assert Log(tmp_path / "log.jsonl").events == []


def stored(path, known, tensors=None):
    """A state file with these words in its metadata, in JSON as they are."""
    metadata = {"format": _FORMAT, "state": known}
    save_file({"a": torch.zeros(1)} if tensors is None else tensors, path, metadata)
    return path


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("epoch", "-1"),
        ("epoch", "1e999"),
        ("epoch", "NaN"),
        ("epoch", "2.5"),
        ("epoch", "true"),
        ("epoch", "null"),
        ("epoch", '"3"'),
        ("epoch", "1" + 30 * "0"),
        ("epoch", "1" + 5000 * "0"),
        ("step", "-5"),
        ("step", "Infinity"),
        ("log_bytes", "-1"),
        ("log_bytes", "[]"),
        ("config", "5"),
        ("config", "null"),
        ("config", 100_000 * "["),
    ],
)
def test_a_state_whose_words_are_none_is_one_line(tmp_path, key, value):
    words = {"epoch": "3", "step": "9", "log_bytes": "17", "config": "{}", key: value}
    known = "{" + ", ".join(f'"{name}": {word}' for name, word in words.items()) + "}"
    path = stored(tmp_path / "state.safetensors", known)
    with pytest.raises(CheckpointError, match=r"state\.safetensors: damaged .*; remove it"):
        read_state(path)


@pytest.fixture
def two(tmp_path):
    """A folder with the states after epochs 3 and 4."""
    for epoch in (3, 4):
        write_state(State(epoch, {"a": torch.full((4,), float(epoch))}, {}), tmp_path / LAST)
    return tmp_path


def test_the_state_before_is_kept_and_no_other(two):
    assert sorted(path.name for path in two.iterdir()) == [BEFORE, LAST]
    assert [read_state(two / name).epoch for name in (BEFORE, LAST)] == [3, 4]
    write_state(State(5, {}, {}), two / LAST)
    assert [read_state(two / name).epoch for name in (BEFORE, LAST)] == [4, 5]
    assert check_resumable(two, {}).note is None


@pytest.mark.parametrize(
    "harm", ["cut", "emptied", "a number changed", "a word changed", "removed"]
)
def test_a_damaged_state_falls_back_to_the_one_before_and_says_so(two, harm):
    path = two / LAST
    before = path.read_bytes()
    data = bytearray(before)
    data[-1] ^= 1  # in the tensor, of which safetensors has no checksum
    path.unlink()
    if harm != "removed":
        word = before.replace(b'epoch\\": 4', b'epoch\\": 5')
        assert word != before
        harmed = {
            "cut": data[:-9],
            "emptied": b"",
            "a number changed": data,
            "a word changed": word,
        }
        path.write_bytes(harmed[harm])
    assert not is_whole(path)
    found = check_resumable(two, {})
    assert (found.epoch, found.tensors["a"].tolist()) == (3, [3.0] * 4)
    assert found.note.startswith(f"{path}: {'missing' if harm == 'removed' else 'damaged'}")
    assert found.note.endswith("the run goes on from the state before it, after epoch 3")


def test_two_damaged_states_are_refused(two):
    for name in (LAST, BEFORE):
        (two / name).write_bytes(b"x")
    with pytest.raises(CheckpointError, match=rf"{LAST}: damaged .*remove it to begin again"):
        check_resumable(two, {})


def test_a_sound_state_of_another_run_is_not_passed_over(two):
    with pytest.raises(CheckpointError, match="the run there has lr = None, now it is 1"):
        check_resumable(two, {"lr": 1})


def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("step", ["os.fsync", "pathlib.Path.replace", "pathlib.Path.chmod"])
def test_a_full_disk_leaves_both_states_and_nothing_else(two, monkeypatch, step):
    monkeypatch.setattr(step, full)
    with pytest.raises(DataError, match=rf"{LAST}: cannot be written \(No space left on device\)"):
        write_state(State(5, {}, {}), two / LAST)
    assert sorted(path.name for path in two.iterdir()) == [BEFORE, LAST]
    assert read_state(two / LAST).epoch == 4


def test_a_limit_on_files_leaves_the_old_state(two):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(DataError, match=rf"{LAST}: cannot be written"):
            write_state(State(5, {"a": torch.zeros(1000)}, {}), two / LAST)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert sorted(path.name for path in two.iterdir()) == [BEFORE, LAST]
    assert read_state(two / LAST).epoch == 4


@pytest.mark.parametrize("line", [b'{"a": 1', b"[]", b"\xff", b'{"a": 1' + 5000 * b"0" + b"}"])
def test_a_log_with_a_damaged_line_is_one_line(tmp_path, line):
    (tmp_path / "log.jsonl").write_bytes(b"{}\n" + line + b"\n")
    with pytest.raises(DataError, match=r"log\.jsonl: line 2 is damaged"):
        Log(tmp_path / "log.jsonl", keep_bytes=10**6)
