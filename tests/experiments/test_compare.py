# What is made here is there, which its type leaves open.
# pyright: reportOptionalMemberAccess=false, reportOptionalOperand=false, reportArgumentType=false

import csv
import io

import numpy as np
import pytest

from ncscope.errors import DataError
from ncscope.experiments.association import scatters
from ncscope.experiments.compare import compare
from tests.experiments.cases import analysed, tuned


@pytest.fixture
def folder(tmp_path):
    """Two methods, three data sets, three seeds, two ratios, and zero-shot."""
    generator = np.random.default_rng(0)
    levels = {"toy:shapes": 0.7, "toy:fish": 0.5, "eurosat:/data": 0.6}
    for tau in (1.0, 0.05):
        for name, gain in (("maple", 0.0), ("maple+npt", 0.04)):
            for data, level in levels.items():
                for seed in (1, 2, 3):
                    base = level + gain + generator.normal() * 0.01
                    new = level + gain - 0.1 + generator.normal() * 0.01
                    measures = {
                        split: {"delta_mid/cosine/centred": 1 - accuracy,
                                "accuracy/top1": accuracy, "nc1/papyan": generator.normal(),
                                "equinorm/text/centred": 1e-16}
                        for split, accuracy in (("base", base), ("new", new))
                    }  # fmt: skip
                    tuned(tmp_path, name, data, seed=seed, tau=tau, base=base, new=new,
                          measures=measures, lcd_weight=gain)  # fmt: skip
    for data, level in levels.items():
        analysed(tmp_path / f"zs-{data[:6]}", "zero-shot", data, base=level, new=level)
    return tmp_path


def titles(comparison):
    return [table.title for table in comparison.tables]


def test_all_that_there_are_runs_for_is_shown_a_tau_at_a_time(folder):
    found = compare(folder, baseline="maple")
    assert titles(found)[0] == "Base to new, tau = 1: average over 3 data sets"
    assert "Base to new, tau = 0.05 (realised 0.0625): eurosat" in titles(found)
    assert titles(found)[-1] == "Base to new, all tau against maple"
    assert [label for label, _ in found.tables[0].rows] == ["zero-shot", "maple", "maple+npt"]
    pooled = found.tables[-1].rows[-1]
    assert pooled[1][3].shown == "18"  # three data sets, three seeds, two ratios


def test_one_tau_can_be_taken(folder):
    found = compare(folder, tau=[0.05])
    assert all("0.05" in title for title in titles(found))


def test_no_baseline_no_tests(folder):
    assert not any("against" in title for title in titles(compare(folder)))


def test_correlations_leave_accuracy_out_and_name_what_is_undefined(folder):
    found = compare(folder, correlations="headline").correlations
    assert [t.title for t in found][:2] == [
        "Measures of base classes against base accuracy",
        "Measures of base classes against new accuracy",
    ]
    names = [name for name, _ in found[0].rows]
    assert names == ["delta_mid/cosine/centred", "equinorm/text/centred"]
    assert "equinorm/text/centred" in found[0].notes[0]
    constant = dict(found[0].rows)["equinorm/text/centred"]
    assert all(cell.shown in ("–", "0") for cell in constant)
    mid = dict(found[0].rows)["delta_mid/cosine/centred"]
    assert mid[2].value == pytest.approx(-1)
    every = compare(folder, correlations="all").correlations
    assert "nc1/papyan" in [name for name, _ in every[0].rows]


def test_partial_correlations_are_given_for_new_and_h_alone(folder):
    tables = {t.title: t for t in compare(folder, correlations="headline").correlations}
    base = dict(tables["Measures of base classes against base accuracy"].rows)
    new = dict(tables["Measures of new classes against new accuracy"].rows)
    assert base["delta_mid/cosine/centred"][-1].value is None
    assert new["delta_mid/cosine/centred"][-1].value == pytest.approx(-1, abs=0.05)


def test_correlations_that_are_all_undefined_are_a_sentence(tmp_path):
    measures = {"base": {"nc1/default": 2.0}}
    tuned(tmp_path, "coop", "d", base=0.5, new=0.5, measures=measures)
    found = compare(tmp_path, correlations="all")
    assert found.correlations == ()
    assert found.notes == (
        "No correlation is defined: fewer than 3 runs a data set, or all alike.",
    )


def test_a_scatter_has_a_point_a_run(folder):
    found = {(s.measure, s.split, s.target): s for s in scatters(compare(folder).rows)}
    one = found["delta_mid/cosine/centred", "base", "h"]
    assert len(one.values) == 36
    assert set(one.groups) == {"toy:shapes", "toy:fish", "eurosat"}
    assert set(one.labels) == {"maple", "maple+npt"}


@pytest.mark.parametrize("suffix", [".txt", ".csv", ".md", ".tex", ".html"])
def test_every_format_is_written_whole(folder, tmp_path, suffix):
    found = compare(folder, baseline="maple", correlations="headline")
    path = found.save(tmp_path / "new" / f"table{suffix}")
    text = path.read_text(encoding="utf-8")
    assert "maple+npt" in text
    assert text.endswith("\n")
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    if suffix == ".csv":
        assert len(list(csv.DictReader(io.StringIO(text)))) > 100
    if suffix == ".html":
        assert text.count("<svg") == text.count('<svg viewBox="-5') + 12


def test_results_do_not_depend_on_the_order_of_the_files(folder):
    files = sorted(folder.rglob("metrics.json"))
    one = compare(*files, baseline="maple", correlations="headline").table()
    assert one == compare(*files[::-1], baseline="maple", correlations="headline").table()


def test_an_analysis_alone_has_its_accuracies(tmp_path):
    analysed(tmp_path / "a", "runs/coop", "pets:/d", all=0.9)
    analysed(tmp_path / "b", "runs/maple", "pets:/d", all=0.8)
    (table,) = compare(tmp_path).tables
    assert table.title == "Accuracy, all classes"
    assert [(label, cells[0].shown) for label, cells in table.rows] == [
        ("coop", "90.00"), ("maple", "80.00"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layout": "domain"}, r"no run has what layout domain shows; runs: zero-shot; maple"),
        ({"layout": "square"}, r"layout must be one of auto, base-to-new"),
        ({"correlations": "some"}, r"correlations must be one of none, headline, all"),
        ({"baseline": "cocoop"}, r"--baseline 'cocoop' is no row"),
        ({"duplicates": "oldest"}, r"duplicates must be error or newest"),
    ],
)
def test_an_unknown_wish_is_refused_with_what_there_is(folder, options, message):
    with pytest.raises(DataError, match=message):
        compare(folder, **options)


def test_a_suffix_that_is_no_format_is_refused(folder, tmp_path):
    with pytest.raises(DataError, match=r"the suffix says the format: one of \.txt, \.csv"):
        compare(folder).save(tmp_path / "table.pdf")
