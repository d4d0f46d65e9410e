"""Mutants of every kind of file that is read: refused in one line, or read right; nothing else."""

import resource

import pytest

from ncscope.errors import DataError
from tests.attack.bombs import BOMBS, MOST, explode
from tests.attack.readers import READERS, SECONDS, Reader, WrongError, attack, seed_of
from tests.peak import held

every_reader = pytest.mark.parametrize("name", READERS)


@pytest.fixture(autouse=True)
def _bounded():
    """Nothing in a file decides how much memory is taken."""
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (held() + 600 * 2**20, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_DATA, before)


@every_reader
def test_three_hundred_mutants_are_refused_in_a_line_or_read_right(tmp_path, name):
    count = attack(READERS[name], tmp_path, cases=300, seed=seed_of(name, 0))
    assert (count.files, count.refused + count.right) == (300, 300)
    assert name == "log.txt" or count.refused > 50  # a log is read as far as it goes
    assert count.slowest < SECONDS


@pytest.mark.attack
@every_reader
def test_five_thousand_mutants_are_refused_in_a_line_or_read_right(tmp_path, name):
    count = attack(READERS[name], tmp_path, cases=5000, seed=seed_of(name, 1))
    assert (count.files, count.refused + count.right) == (5000, 5000)
    assert count.slowest < SECONDS


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=pytest.mark.attack if "packed" in n or "wide" in n else ())
        for n in BOMBS
    ],
)
def test_a_bomb_is_refused_in_a_line_and_takes_no_memory(tmp_path, name):
    _, peak, answer = explode(BOMBS[name], tmp_path)
    assert peak < MOST
    assert len(answer.splitlines()) == 1


def test_mutants_are_the_same_whenever_they_are_made(tmp_path, monkeypatch):
    for name, reader in READERS.items():
        path = tmp_path / reader.name
        reader.make(path)
        content = path.read_bytes()
        with monkeypatch.context() as later:
            later.setattr("time.time", lambda: 2e9)  # archives hold when they were made
            reader.make(path)
            assert "npz" not in name or path.read_bytes() == content
        for kind in reader.kinds:
            first = list(kind(content, cases=20, seed=4))
            with monkeypatch.context() as later:
                later.setattr("time.time", lambda: 2e9)
                again = list(kind(content, cases=20, seed=4))
            assert first == again, name
            assert len(first) == 20
            assert sum(mutant != content for mutant in first) > 10, (name, kind)


def test_a_reader_that_lets_something_through_is_found(tmp_path):
    def right(found):
        assert found == 3

    kinds, sound = READERS["CSV"].kinds, "abc"
    bad = Reader("x", lambda p: p.write_text(sound), lambda p: p.read_text("ascii"), len, kinds)
    with pytest.raises(WrongError, match=r"mutant .*UnicodeDecodeError"):
        attack(bad, tmp_path, cases=300, seed=0)
    bad = Reader("x", lambda p: p.write_text(sound), lambda p: p.stat().st_size, right, kinds)
    with pytest.raises(WrongError, match="was read: AssertionError"):
        attack(bad, tmp_path, cases=300, seed=0)


def test_a_refusal_of_two_lines_is_found(tmp_path):
    def read(path):
        if path.read_text() != "abc":
            raise DataError("one\ntwo")
        return 3

    bad = Reader("x", lambda p: p.write_text("abc"), read, lambda _: None, READERS["CSV"].kinds)
    with pytest.raises(WrongError, match=r"one.ntwo"):
        attack(bad, tmp_path, cases=300, seed=0)
