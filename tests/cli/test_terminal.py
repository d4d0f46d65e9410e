"""What is printed passes one filter, and every CSV one writer; an accident is one line."""

import ast
import io
import stat
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest

from ncscope_cli import main as entry
from ncscope_cli.terminal import answer, bar, filtered, say, say_beside

ROOT = Path(__file__).parents[2]
FILES = [*ROOT.glob("ncscope/**/*.py"), *ROOT.glob("cli/**/*.py")]
PRINTERS = {  # what prints: through the filter, or words of its own that hold no name
    "cli/ncscope_cli/terminal.py",
    "ncscope/grids/batch.py",  # answers to the sweep, as JSON in ASCII
    "ncscope/grids/children.py",
    "ncscope/grids/slurm.py",
}
PRINTS = ("print", "typer.echo", "typer.secho", "click.echo", "sys.stdout.write",
          "sys.stderr.write", "warnings.showwarning", "tqdm")  # fmt: skip
VERBS = ("analyze", "extract", "tune", "export", "compare", "sweep", "inspect")
EVIL = "\x1b[31m\x9b2J\u202eevil\r\udce9"
BAD = set("\x1b\x9b\u202e\r\udce9")


def run(*words):
    """Exit status, stdout and stderr of a command line."""
    out, err, before = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["ncscope", *map(str, words)]
    try:
        with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as stop:
            entry.main()
    finally:
        sys.argv = before
    return stop.value.code or 0, out.getvalue(), err.getvalue()


def called(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


def test_nothing_else_prints_and_nothing_else_writes_csv():
    for path in FILES:
        name = path.relative_to(ROOT).as_posix()
        if "toy/making" in name:  # the maker of the shipped weights, no part of the program
            continue
        calls = set(called(path))
        if name not in PRINTERS:
            assert not calls & set(PRINTS), f"{name}: say it by ncscope_cli.terminal"
        if name != "ncscope/text.py":
            assert not calls & {"csv.writer", "csv.DictWriter"}, f"{name}: text.in_csv"


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("given", ["name", "option"])
def test_no_verb_lets_a_name_command_the_terminal(verb, given, tmp_path):
    words = [tmp_path / EVIL] if given == "name" else [f"--{EVIL}"]
    needed = {"extract": ["--data", "x"], "tune": ["--data", tmp_path / EVIL]}.get(verb, [])
    out = [] if verb == "inspect" else ["--out", tmp_path / "out.txt"]
    code, out, err = run(verb, *words, *needed, *out)
    assert code in ((1,) if given == "name" else (2,))
    assert err
    assert not set(out + err) & BAD


def test_a_class_name_reaches_the_terminal_and_the_tables_as_text(tmp_path):
    rng = np.random.default_rng(0)
    names = ["=HYPERLINK(1)", "\x1b[31mred", "\u202eturned", "plain"]
    np.savez(
        tmp_path / "f.npz", text=rng.normal(size=(4, 8)), image=rng.normal(size=(12, 8)),
        label=np.array([0, 1, 2] * 4), classnames=np.array(names),
    )  # fmt: skip
    words = ("analyze", tmp_path / "f.npz", "--out", tmp_path / "o", "--no-html", "--tables", "csv")
    code, out, err = run(*words, "--bootstrap", "0")
    assert code == 0
    assert not set(out + err) & BAD
    written = [tmp_path / "o/metrics.csv", *(tmp_path / "o/tables").glob("*.csv")]
    assert len(written) > 2
    text = "".join(path.read_text(encoding="utf-8") for path in written)
    assert not set(text) & BAD
    assert "'=HYPERLINK(1)" in text
    assert ",=" not in text
    assert "\n=" not in text


def test_a_bar_and_a_line_above_it_show_codes(capsys):
    with filtered():
        with bar(f"see {EVIL}", "image") as shown:
            say_beside(shown, EVIL)
        say(f"two\nlines {EVIL}")
        answer("two\nlines")
        sys.stderr.writelines([EVIL])
    out, err = capsys.readouterr()
    assert out == "two\nlines\n"
    assert err.count("\n") == 2
    assert not set(err) & BAD


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_that_knows_few_signs_is_no_failure(encoding, monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    monkeypatch.setattr("sys.stderr", stream)
    with filtered():
        say("δ猫\udce9")
    assert stream.buffer.getvalue().startswith(b"ncscope: ")
    assert stream.buffer.getvalue().endswith(b"\\udce9\n")


class TestAccidents:
    """An error that nobody foresaw, in the middle of a verb."""

    def failing(self, monkeypatch, error):
        def fail(*_, **__):
            raise error

        monkeypatch.setattr("ncscope.checkpoint.inspect.inspect", fail)
        return run("inspect", "anything")

    def test_is_one_line_that_says_where_all_of_it_is(self, monkeypatch, tmp_path):
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        code, out, err = self.failing(monkeypatch, IndexError(f"list index\n{EVIL}"))
        (kept,) = tmp_path.iterdir()
        assert (code, out) == (1, "")
        assert err.startswith("ncscope: unexpected IndexError (list index")
        assert err.endswith(f"please report it with its traceback, which is in {kept}\n")
        assert err.count("\n") == 1
        assert not set(err) & BAD
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        assert "in fail" in kept.read_text(encoding="utf-8")

    def test_is_one_line_too_where_no_file_can_be_written(self, monkeypatch, tmp_path):
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
        code, _, err = self.failing(monkeypatch, ValueError("x"))
        assert code == 1
        assert err.endswith("traceback, which could not be written to a file\n")

    @pytest.mark.parametrize(
        ("error", "said"),
        [
            (MemoryError(), "ncscope: out of memory; "),
            (OSError(28, "No space left on device", "x"), "ncscope: x: No space left on device; "),
        ],
    )
    def test_of_the_machine_is_not_called_a_fault(self, monkeypatch, tmp_path, error, said):
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        code, _, err = self.failing(monkeypatch, error)
        assert code == 1
        assert err.startswith(said)
        assert "report it" not in err

    def test_an_interrupt_is_one_line_and_130(self, monkeypatch):
        assert self.failing(monkeypatch, KeyboardInterrupt()) == (130, "", "ncscope: interrupted\n")
