import pytest
from typer.testing import CliRunner

from ncscope.toy.tasks import task_lines
from ncscope_cli.main import app


@pytest.mark.parametrize(
    "verb",
    [["extract", "zero-shot"], ["analyze", "zero-shot"], ["analyze"]],
    ids=" ".join,
)
def test_toy_list_prints_the_tasks_and_stops_though_options_are_missing(verb):
    result = CliRunner().invoke(app, [*verb, "--data", "toy:list"])
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == task_lines()


def test_help_of_data_names_the_list():
    result = CliRunner().invoke(app, ["extract", "--help"])
    assert "toy:list" in result.stdout
