"""Grids from TOML files: their runs and names, and what is refused before anything starts."""

# What typer makes of the command has options, which its type leaves open.
# pyright: reportAttributeAccessIssue=false

import pytest

from ncscope.errors import DataError
from ncscope.grids.spec import OPTIONS, read_spec, run_name, spec_path
from tests.experiments.grids import GRID, spec


def test_a_grid_is_every_combination_with_what_is_fixed(tmp_path):
    runs = read_spec(spec(tmp_path, GRID))
    assert len(runs) == len({run.name for run in runs}) == 16
    last = runs[-1]
    assert last.options == {
        "method": "maple", "data": "toy:fish", "tau": 0.05, "seed": 1, "lcd_weight": 0.1,
        "mid_weight": 1.0, "recipe": "toy", "csc": False, "centred": True,
        "target": ["toy:shapes", "toy:fish@sketch"],
    }  # fmt: skip
    assert last.arguments() == [
        "maple", "--data=toy:fish", "--tau=0.05", "--seed=1", "--lcd-weight=0.1",
        "--mid-weight=1.0", "--recipe=toy", "--centred", "--target", "toy:shapes", "--target",
        "toy:fish@sketch",
    ]  # fmt: skip
    assert last.name.startswith("maple-fish-tau0.05-seed1-lcd0.1-mid1-")


def test_a_changed_option_is_another_run():
    options = {"method": "coop", "data": "toy:fish", "seed": 0, "recipe": "toy"}
    assert run_name(options) == run_name(dict(reversed(options.items())))
    assert run_name(options) != run_name({**options, "recipe": "authors"})
    assert "/" not in run_name({**options, "data": "../../etc"})
    assert not run_name({**options, "method": "..", "data": ".."}).startswith(".")


def test_the_options_are_those_of_the_command():
    from typer.main import get_command

    from ncscope_cli.main import app

    taken = {p.name for p in get_command(app).commands["tune"].params}
    not_of_a_grid = {"out", "resume", "quiet", "tensorboard", "wandb", "compile", "cache"}
    assert taken - not_of_a_grid == set(OPTIONS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[grid", r"spec\.toml: not TOML"),
        ("[runs]", r"runs: no table of a grid; those are grid, fixed and about"),
        ("grid = 3", r"grid must be a table of options; found 3"),
        ('[grid]\nmethod="coop"', r"grid\.data is missing"),
        ('[grid]\ndata="d"', r"grid\.method is missing"),
        ('[grid]\nmethod="coop"\ndata="d"\nlearning=[1]', r"grid\.learning: not an option"),
        ('[grid]\nmethod="coop"\ndata="d"\nseed=["a"]', r"grid\.seed must be a whole number"),
        ('[grid]\nmethod="coop"\ndata="d"\nseed=[true]', r"grid\.seed must be a whole number"),
        ('[grid]\nmethod="coop"\ndata="d"\ntau=[]', r"grid\.tau: an empty list makes no run"),
        ('[grid]\nmethod="coop"\ndata="d"\nweights=[1]', r"grid\.weights must be a table"),
        ('[grid]\nmethod="coop"\ndata="d"\nweights=[{lcd=1}]', r"grid\.weights\.lcd: not an opt"),
        ('[grid]\nmethod="coop"\ndata="d"\n[fixed]\nmethod="vpt"', r"method: given twice"),
        ('[grid]\nmethod="coop"\ndata="d"\n[fixed]\ntarget=[1]', r"fixed\.target must be a list"),
        (
            '[grid]\nmethod="coop"\ndata="d"\nseed=[1, 1]',
            r"the same run comes twice: coop-d-seed1-\w+; a list r",
        ),
        ("weights=[{}, {lcd_weight=0}]", r"the same run comes twice: .*; a weight of 0 is none$"),
        ("[fixed]\nweights=[{}]", r"fixed\.weights: its tables make a run each, in \[grid\]"),
        ("[fixed]\ntau=[1.0]", r"fixed\.tau: a list, .*, is for \[grid\]; expected a number$"),
        ("seed=-1", r"grid\.seed must be 0 to 2\^32 - 1; found -1"),
        ("tau=nan", r"grid\.tau must be a finite number; found nan"),
        ("tau=0", r"grid\.tau must be above 0, and 1 at most; found 0$"),
        (f"tau=1{'0' * 320}", r"grid\.tau must be a finite number; found 10{56}\.\.\.$"),
        (f"seed=1{'0' * 320}", r"grid\.seed must be 0 to 2\^32 - 1; found 10{56}\.\.\.$"),
        ("epochs=0", r"grid\.epochs must be 1 or more; found 0"),
        ("lcd_weight=-1", r"grid\.lcd_weight must be 0 or more; found -1"),
        ("lr=0.0", r"grid\.lr must be above 0; found 0\.0"),
        ("views=0", r"grid\.views must be a number of 1 or more, or online; found 0"),
        ('split="a\\u0000b"', r"grid\.split must be a text without a NUL character; found "),
        ('recipe="mine"', r"grid\.recipe must be one of authors, authors-cross, toy; found"),
        ('[about]\nwhy="x"', r"about\.why must be a text, and one of makes, time, then"),
    ],
)
def test_a_wrong_grid_is_refused_by_its_key(tmp_path, text, message):
    if not text.startswith(("[grid", "[runs", "grid")):
        text = f'[grid]\nmethod="coop"\ndata="d"\n{text}'
    with pytest.raises(DataError, match=message):
        read_spec(spec(tmp_path, text))


def test_an_unknown_method_is_refused_unless_it_is_a_checkpoint(tmp_path):
    path, file = spec(tmp_path, '[grid]\nmethod="nosuch"\ndata="d"'), tmp_path / "c.pth"
    with pytest.raises(DataError, match=r"grid\.method must be one of coop, .*, or a checkpoint"):
        read_spec(path)
    file.touch()
    path.write_text(path.read_text().replace("nosuch", str(file)))
    assert [run.options["method"] for run in read_spec(path)] == [str(file)]


def test_views_may_be_a_number(tmp_path):
    path = spec(tmp_path, '[grid]\nmethod="coop"\ndata="d"\nviews=[4, "4", "online"]')
    with pytest.raises(DataError, match="the same run comes twice"):
        read_spec(path)
    path.write_text(path.read_text().replace(', "4"', ""))
    assert [run.options["views"] for run in read_spec(path)] == ["4", "online"]


def test_long_seeds_are_told_apart_by_their_names():
    names = [run_name({"method": "coop", "data": "d", "seed": s}) for s in (1234567, 1234568)]
    assert [name.rpartition("-")[0] for name in names] == [
        "coop-d-seed1234567",
        "coop-d-seed1234568",
    ]


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "nosuch.toml", "spec.toml/x"])
def test_a_grid_that_cannot_be_found_is_refused_in_one_line(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    spec(tmp_path, "")
    with pytest.raises(
        DataError, match=r"cannot be read \(|no such file, and no ready grid"
    ) as error:
        spec_path(name)
    assert "\n" not in str(error.value)
