"""Lock files: one process has a run, a dead one's lock is taken over by one, and stays there."""

# What is acquired here is free, which its type leaves open.
# pyright: reportOptionalMemberAccess=false, reportOptionalContextManager=false

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ncscope.errors import DataError
from ncscope.tuning import lock
from ncscope.tuning.lock import acquire, is_held, machine

ROOT = Path(__file__).parents[2]


def lock_of(path, **owner):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"token": "t", "host": machine(), **owner}))
    return path


def dead_pid():
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    return gone.pid


def test_a_held_lock_is_not_given_twice_and_released_it_is(tmp_path):
    first = acquire(tmp_path / "lock")
    assert first is not None
    assert acquire(tmp_path / "lock") is None
    first.release()
    with acquire(tmp_path / "lock") as again:
        assert again is not None
    assert list(tmp_path.glob("[!.]*")) == []


def test_the_lock_of_a_dead_process_is_taken_over_at_once(tmp_path):
    assert acquire(lock_of(tmp_path / "lock", pid=dead_pid())) is not None


def test_another_machines_lock_is_taken_over_only_when_it_has_gone_quiet(tmp_path):
    path = lock_of(tmp_path / "lock", pid=1, host="elsewhere")
    assert acquire(path) is None
    long_ago = time.time() - 500
    os.utime(path, (long_ago, long_ago))
    assert acquire(path) is not None


def test_a_lock_is_touched_while_it_is_held(tmp_path):
    with acquire(tmp_path / "lock", beat=0.02):
        os.utime(tmp_path / "lock", (1, 1))
        deadline = time.monotonic() + 5
        while (tmp_path / "lock").stat().st_mtime < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert (tmp_path / "lock").stat().st_mtime > 2


def test_of_many_that_take_over_one_has_it(tmp_path):
    path = lock_of(tmp_path / "lock", pid=dead_pid())
    code = ("import sys, time, pathlib; from ncscope.tuning.lock import acquire;"
            "held = acquire(pathlib.Path(sys.argv[1]));"
            "print(held is not None); time.sleep(1.5)")  # fmt: skip
    words = [sys.executable, "-c", code, str(path)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    rivals = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=env) for _ in range(4)]
    assert sorted(rival.communicate()[0].strip() for rival in rivals) == ["False"] * 3 + ["True"]


def test_a_takeover_slower_than_a_rivals_leaves_the_rival_its_lock(tmp_path, monkeypatch):
    path, slow = lock_of(tmp_path / "lock", pid=dead_pid()), lock.is_alive
    rival = []

    def meanwhile(_pid, _since):
        monkeypatch.setattr(lock, "is_alive", slow)
        rival.append(acquire(path))
        return False

    monkeypatch.setattr(lock, "is_alive", meanwhile)
    assert acquire(path) is None
    assert rival[0] is not None
    assert json.loads(path.read_text())["pid"] == os.getpid()
    rival[0].release()
    assert list(tmp_path.glob("[!.]*")) == []


def test_a_number_that_another_process_has_by_now_is_no_owner(tmp_path):
    with acquire(tmp_path / "lock"):
        known = json.loads((tmp_path / "lock").read_text())
    if known["pid_began"] is None:
        pytest.skip("the system does not tell when a process began")
    assert (
        acquire(lock_of(tmp_path / "held", pid=os.getpid(), pid_began=known["pid_began"])) is None
    )
    assert acquire(lock_of(tmp_path / "lost", pid=os.getpid(), pid_began=1)) is not None


def test_a_lock_of_before_the_machine_was_started_is_another_machines(tmp_path):
    path = lock_of(tmp_path / "lock", pid=os.getpid(), host=f"{socket.gethostname()} boot pid:[1]")
    assert acquire(path) is None
    os.utime(path, (1, 1))
    assert acquire(path) is not None


@pytest.mark.parametrize("words", ["", "[]", "{", "null"])
def test_a_lock_without_words_is_held_until_it_is_old(tmp_path, words):
    (tmp_path / "lock").write_text(words)
    assert acquire(tmp_path / "lock") is None
    os.utime(tmp_path / "lock", (1, 1))
    assert acquire(tmp_path / "lock") is not None


def test_a_lock_that_is_taken_over_is_there_all_the_time_so_that_no_third_can_make_one(
    tmp_path, monkeypatch
):
    path, third = lock_of(tmp_path / "lock", pid=dead_pid()), []
    look = lock._look

    def looks(found):  # between the look and the takeover of a rival
        if not third:
            third.append(None)
            third[0] = acquire(path, stale=1e9)
        return look(found)

    monkeypatch.setattr(lock, "_look", looks)
    first = acquire(path)
    assert [first is not None, third[0] is not None].count(True) == 1
    assert json.loads(path.read_text())["pid"] == os.getpid()


def test_an_owner_that_was_taken_over_is_told_and_neither_touches_nor_removes_the_lock(tmp_path):
    held, told = acquire(tmp_path / "lock", beat=0.02), []
    held.when_lost(lambda: told.append("lost"))
    path = lock_of(tmp_path / "lock", pid=os.getpid())
    held._thread.join(5)
    assert not held._thread.is_alive()  # which touched it
    assert told == ["lost"]
    held.release()
    assert json.loads(path.read_text())["token"] == "t"


def test_a_lock_that_was_not_to_be_seen_for_a_moment_is_touched_again(tmp_path):
    path, aside = tmp_path / "lock", tmp_path / "aside"
    with acquire(path, beat=0.02):
        path.rename(aside)
        time.sleep(0.1)
        os.utime(aside, (1, 1))
        aside.rename(path)
        deadline = time.monotonic() + 5
        while path.stat().st_mtime < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert path.stat().st_mtime > 2


def test_to_look_whether_a_lock_is_held_takes_nothing(tmp_path):
    assert not is_held(tmp_path / "lock")
    with acquire(tmp_path / "lock"):
        assert is_held(tmp_path / "lock")
    assert not is_held(lock_of(tmp_path / "lock", pid=dead_pid()))
    assert json.loads((tmp_path / "lock").read_text())["token"] == "t"


def test_a_folder_that_can_hold_no_lock_is_refused(tmp_path):
    (tmp_path / "locks").touch()
    with pytest.raises(
        DataError, match=r"locks/run: no lock can be made \(.*\); expected a folder"
    ):
        acquire(tmp_path / "locks" / "run")


def test_a_folder_has_one_owner_at_a_time_and_nothing_is_left_in_it(tmp_path):
    folder = tmp_path / "run"
    with lock.sole_owner(folder):
        with (
            pytest.raises(DataError, match=r"run: another process is training into it; expected"),
            lock.sole_owner(folder),
        ):
            pass
        assert is_held(folder / "run.lock")
    assert list(folder.iterdir()) == []
    with lock.sole_owner(folder):  # given back
        pass


def test_an_owner_that_lost_its_folder_ends_with_the_reason(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "BEAT", 0.02)
    monkeypatch.setattr(lock.acquire, "__kwdefaults__", {"beat": 0.02, "stale": 120.0})

    def sleep_while_another_takes_it():
        with lock.sole_owner(tmp_path / "run"):
            lock_of(tmp_path / "run" / "run.lock", token="another")
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline:
                time.sleep(0.05)

    with pytest.raises(DataError, match="another process has taken the run over while this one"):
        sleep_while_another_takes_it()


def test_two_runs_on_one_folder_the_second_is_refused_and_the_first_is_whole(tmp_path):
    import ncscope

    seen = []

    def second(event):
        if not seen:
            seen.append(event)
            with pytest.raises(DataError, match="another process is training into it"):
                ncscope.tune(
                    "coop", data="toy:textures", recipe="toy", shots=1, epochs=1, cache="off",
                    out=tmp_path / "run", resume=True,
                )  # fmt: skip

    tuned = ncscope.tune(
        "coop", data="toy:textures", recipe="toy", shots=1, epochs=1, cache="off",
        out=tmp_path / "run", listener=second,
    )  # fmt: skip
    assert seen
    assert json.loads((tmp_path / "run/metrics.json").read_text())["tune"] == tuned.record
    assert not list((tmp_path / "run").glob("*lock*"))
