import os

import pytest
from typer.testing import CliRunner

from ncscope.errors import NcscopeError
from ncscope.grids import sweep as library
from ncscope.grids.spec import FOLDER, ready_names
from ncscope_cli.main import app
from ncscope_cli.sweep import EPILOG

GRID = EPILOG.split("keys (`_` for `-`):", 1)[1]


@pytest.fixture
def spec(tmp_path):
    (tmp_path / "spec.toml").write_text(GRID)
    return tmp_path / "spec.toml"


def invoke(*arguments):
    return CliRunner().invoke(app, ["sweep", *map(str, arguments)], catch_exceptions=False)


def test_the_example_of_the_help_is_a_grid_and_can_be_looked_at_without_running(spec, tmp_path):
    result = invoke(spec, "--out", tmp_path / "out", "--dry-run")
    lines = result.stdout.splitlines()
    assert len(lines) == 2 * 2 * 3 * 2
    assert lines[0].startswith("ncscope tune maple --data=toy:shapes --tau=1.0 --seed=1 ")
    assert invoke(spec, "--out", tmp_path / "out", "--slurm", "--dry-run").stdout == result.stdout
    assert not (tmp_path / "out").exists()


def test_failures_are_counted_and_named_where_they_are_told(spec, tmp_path, monkeypatch):
    def fails(runs, *, out, jobs, together, command, progress):
        assert (jobs, together, command[2]) == (1, True, "ncscope.grids.children")
        assert len(runs) == 24
        ended = [library.Swept(runs[0], "done", out), library.Swept(runs[1], "failed", out / "l")]
        for one in ended:
            progress(one)
        return ended

    monkeypatch.setattr(library, "sweep", fails)
    with pytest.raises(NcscopeError, match="1 of 2 runs failed; their words are in"):
        invoke(spec, "--out", tmp_path)


def test_the_ready_grids_are_listed_with_what_they_make_take_and_lead_to():
    *lines, last = invoke("--list").stdout.splitlines()
    assert last == f"Files to copy and change: {FOLDER}"
    assert [line.split(":")[0] for line in lines[::3]] == ready_names()
    assert all(" runs; " in line for line in lines[1::3])
    assert all(line.startswith("  then: ncscope ") for line in lines[2::3])


def test_without_a_grid_or_a_folder_the_usage_is_said(tmp_path):
    for words in ((), ("toy-domain",), ("--out", tmp_path)):
        result = invoke(*words)
        assert result.exit_code == 2
        assert "SPEC and --out are needed, or --list" in result.output


def test_several_gpus_are_torchruns(spec, tmp_path, monkeypatch):
    seen = []

    monkeypatch.setattr(library, "sweep", lambda *_, **said: seen.append(said) or [])
    invoke(spec, "--out", tmp_path, "--gpus", 2, "--one-by-one")
    [said] = seen
    assert not said["together"]
    assert said["command"][1:7] == (
        "-m",
        "ncscope.grids.children",
        "torchrun",
        "--standalone",
        "--nproc-per-node",
        "2",
    )


def test_a_grid_may_come_through_a_pipe(spec, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(library, "sweep", lambda runs, **_: seen.extend(runs) or [])
    read, write = os.pipe()
    os.write(write, spec.read_bytes())
    os.close(write)
    invoke(f"/dev/fd/{read}", "--out", tmp_path / "out")
    os.close(read)
    assert len(seen) == 24
