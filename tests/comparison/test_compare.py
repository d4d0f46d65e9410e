# What is made here is there, which its type leaves open.
# pyright: reportOptionalMemberAccess=false, reportOptionalOperand=false, reportArgumentType=false
# pyright: reportAttributeAccessIssue=false

import csv
import io

import numpy as np
import pytest
from scipy import stats

from ncscope.comparison.association import scatters
from ncscope.comparison.compare import compare
from ncscope.errors import DataError
from tests.run_files import analysed, run, tuned, write


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
    said = "No correlation is defined: fewer than 3 runs a data set, or all alike."
    assert found.notes[0] == said


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


def test_transfer_is_tested_over_trainings_not_over_what_one_model_was_tested_on(tmp_path):
    gains = {1: 0.01, 2: 0.02, 3: 0.06}  # of a seed, the same on every target
    for seed, gain in gains.items():
        for name, more in (("coop", 0.0), ("maple", gain)):
            others = {f"toy:{k}": 0.5 + more for k in ("fish", "scenes", "shapes", "counts")}
            tuned(tmp_path, name, "toy:source", split="all", source=0.5, seed=seed, others=others)
    table = compare(tmp_path, baseline="coop").tables[-1]
    ((_, cells),) = table.rows
    found = dict(zip(table.heads[1:], cells, strict=True))
    assert (found["n"].shown, found["data sets"].shown) == ("3", "1")
    expected = stats.ttest_1samp(list(gains.values()), 0.0)
    assert found["t"].value == pytest.approx(expected.pvalue)
    interval = expected.confidence_interval()
    assert (found["95 %"].low, found["95 %"].high) == pytest.approx(tuple(interval))


def test_the_copies_that_a_demo_keeps_of_its_runs_do_not_count(tmp_path):
    one = run("toy:fish", "base", 0.9)
    write(tmp_path, {"format": 1, "runs": [{**one, "source": "coop, tau 1"}]})
    tuned(tmp_path, "coop", "toy:fish", base=0.5, new=0.5)
    assert {row.label for row in compare(tmp_path).rows} == {"coop"}


def test_runs_trained_on_new_classes_are_no_seeds_of_base_to_new(tmp_path):
    tuned(tmp_path, "coop", "d", base=0.9, new=0.4)
    tuned(tmp_path, "coop", "d", base=0.4, new=0.9, split="new")
    tuned(tmp_path, "maple", "d", base=0.4, new=0.9, split="new")
    found = compare(tmp_path)
    assert [cell.shown for cell in dict(found.tables[0].rows)["coop"]][:2] == ["90.00", "40.00"]
    assert "In no table here, for want of accuracies of what they show: maple." in found.notes


def test_all_class_accuracies_stand_beside_transfers_from_elsewhere(tmp_path):
    tuned(tmp_path, "coop", "toy:source", split="all", source=0.5, others={"toy:fish": 0.4})
    tuned(tmp_path, "maple", "toy:scenes", split="all", source=0.7)
    found = compare(tmp_path)
    assert titles(found) == ["Cross-dataset from toy:source (all classes), tau = 1",
                             "Accuracy, all classes, tau = 1"]  # fmt: skip


def test_runs_of_base_classes_alone_have_a_table(tmp_path):
    for name, data, base in (("a", "d", 0.5), ("b", "e", 0.7)):
        analysed(tmp_path / name, "zero-shot", data, base=base)
    (table,) = compare(tmp_path).tables
    assert (table.title, table.heads) == ("Accuracy, base classes", ("", "d", "e", "average"))
    assert [cell.shown for cell in table.rows[0][1]] == ["50.00", "70.00", "60.00"]


def test_a_baseline_that_is_missing_somewhere_is_said(tmp_path):
    for tau in (1.0, 0.06):
        tuned(tmp_path, "coop", "d", base=0.5, new=0.5, tau=tau)
    tuned(tmp_path, "maple", "d", base=0.6, new=0.6)
    found = compare(tmp_path, baseline="maple")
    assert "No tests at tau 0.06: maple has no run there." in found.notes
    assert not any("all tau" in title for title in titles(found))
    ablation = compare(tmp_path, baseline="maple", layout="ablation")
    assert titles(ablation) == ["Ablation, tau = 1", "Base to new, tau = 1 against maple",
                                "Ablation, tau = 0.06 (realised 0.0625)"]  # fmt: skip


def test_a_baseline_without_a_number_is_said(tmp_path):
    tuned(tmp_path, "coop", "d", base=0.5, new=0.5)
    tuned(tmp_path, "maple", "d", measures={"base": {"nc1/default": 1.0}})
    write(
        tmp_path / "m",
        {
            "format": 1,
            "runs": [
                {
                    **run("d", "base", None, stage=None, measures={"nc1/default": 1.0}),
                    "source": "mine",
                }
            ],
        },
    )
    found = compare(tmp_path, baseline="mine")
    assert "No tests: no table has an accuracy of mine beside another row's." in found.notes
    assert not any(note.startswith("Tests:") for note in found.notes)


def test_a_tau_that_no_run_has_is_refused_with_those_there_are(folder):
    with pytest.raises(DataError, match=r"no run was trained at tau 0\.07; there are: 1, 0\.05"):
        compare(folder, tau=[0.07])


def test_analysed_seeds_meet_those_of_a_training(tmp_path):
    for seed, top1 in ((1, 0.5), (2, 0.6)):
        tuned(tmp_path, "coop", "d", base=top1, new=top1, seed=seed)
        analysed(tmp_path / f"a{seed}", f"out/mine/seed{seed}", "d", base=top1 + 0.1, new=top1)
    table = compare(tmp_path, baseline="coop").tables[-1]
    base = next(cells for _, cells in table.rows if cells[0].shown == "base")
    assert (base[1].value, base[3].shown) == (pytest.approx(0.1), "2")


def test_links_are_followed_and_a_circle_of_them_ends(tmp_path):
    tuned(tmp_path / "far", "coop", "d", base=0.5, new=0.5)
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "far").symlink_to(tmp_path / "far")
    (tmp_path / "far" / "back").symlink_to(tmp_path / "here")
    assert len(compare(tmp_path / "here").rows) == 1


def test_csv_says_kind_data_and_tau_in_columns(folder, tmp_path):
    path = compare(folder, baseline="maple").save(tmp_path / "t.csv")
    found = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))
    kinds = {(row["kind"], row["data"], row["tau"]) for row in found}
    assert {("base-to-new", "average", "1"), ("base-to-new", "toy:fish", "0.05"),
            ("tests", "", "0.05"), ("tests", "", "")} <= kinds  # fmt: skip
