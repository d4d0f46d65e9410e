import pytest
from typer.testing import CliRunner

from ncscope.errors import NcscopeError
from ncscope.experiments import sweep as library
from ncscope_cli.main import app
from ncscope_cli.sweep import EXAMPLE

GRID = EXAMPLE.split("keys (`_` for `-`):", 1)[1]


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
    assert not (tmp_path / "out").exists()


def test_failures_are_counted_and_named_where_they_are_told(spec, tmp_path, monkeypatch):
    def fails(path, *, out, jobs, progress):
        assert jobs == 1
        runs = library.read_spec(path)
        ended = [library.Swept(runs[0], "done", out), library.Swept(runs[1], "failed", out / "l")]
        for one in ended:
            progress(one)
        return ended

    monkeypatch.setattr(library, "sweep", fails)
    with pytest.raises(NcscopeError, match="1 of 24 runs failed; their words are in"):
        invoke(spec, "--out", tmp_path)
