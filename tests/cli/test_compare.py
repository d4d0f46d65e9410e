import pytest
from typer.testing import CliRunner

from ncscope.comparison import compare as library
from ncscope.errors import DataError
from ncscope_cli.main import app
from tests.run_files import tuned


@pytest.fixture
def runs(tmp_path):
    for name, gain in (("coop", 0.0), ("maple", 0.05)):
        for seed in (0, 1):
            tuned(tmp_path / "runs", name, "toy:fish", seed=seed, base=0.7 + gain, new=0.6 + gain)
    return tmp_path / "runs"


def invoke(*arguments):
    return CliRunner().invoke(app, ["compare", *map(str, arguments)], catch_exceptions=False)


def test_prints_the_table_and_writes_it(runs, tmp_path):
    out = tmp_path / "table.txt"
    result = invoke(runs, "--out", out, "--baseline", "coop")
    assert result.exit_code == 0
    assert "75.00 ± 0.00*" in result.stdout
    assert "against coop" in result.stdout
    assert out.read_text() == result.stdout
    assert "4 runs; wrote" in result.stderr


def test_correlations_are_there_where_they_are_asked_for(runs, tmp_path, monkeypatch):
    page, asked = tmp_path / "table.html", []
    own = library.compare

    def told(*paths, **options):
        asked.append(options["correlations"])
        return own(*paths, **options)

    monkeypatch.setattr(library, "compare", told)
    assert invoke(runs, "--out", page, "--quiet").stderr == ""
    assert invoke(runs, "--out", page, "--correlations", "headline").exit_code == 0
    assert asked == ["none", "headline"]
    assert "maple" in page.read_text()


def test_a_bad_suffix_is_refused_before_any_file_is_read(tmp_path):
    with pytest.raises(DataError, match="the suffix says the format"):
        invoke(tmp_path / "gone", "--out", tmp_path / "t.pdf")


def test_an_unknown_layout_is_wrong_usage(runs, tmp_path):
    result = invoke(runs, "--out", tmp_path / "t.txt", "--layout", "square")
    assert result.exit_code == 2
