"""Measures by method and data set: means, deviations and differences by their definitions."""

# pyright: reportAttributeAccessIssue=false

import csv
import io
import statistics

import pytest
from scipy import stats

from ncscope.comparison.compare import compare
from ncscope.errors import DataError
from tests.run_files import of_folder, tuned

LCD, MID, NC1 = "delta_lcd/cosine/centred", "delta_mid/cosine/centred", "nc1/default"
DATA = ("eurosat", "dtd")
# Δ LCD of each method by data set and seed; zero-shot has no seed
VALUES = {
    ("zero-shot", "eurosat"): {None: 0.3}, ("zero-shot", "dtd"): {None: 0.2},
    ("CoOp", "eurosat"): {1: 0.31, 2: 0.37, 3: 0.34}, ("CoOp", "dtd"): {1: 0.22, 2: 0.29, 3: 0.21},
    ("MaPLe", "eurosat"): {1: 0.12, 2: 0.14, 3: 0.19}, ("MaPLe", "dtd"): {1: 0.1, 2: 0.12, 3: 0.11},
}  # fmt: skip


def rows():
    return [
        (method, data, seed, {LCD: value, NC1: 10 * value})
        for (method, data), seeds in VALUES.items()
        for seed, value in seeds.items()
    ]


@pytest.fixture
def folder(tmp_path):
    of_folder(tmp_path / "measured", rows())
    return tmp_path / "measured"


def named(found, title):
    [one] = [one for one in found.measures if one.title == title]
    return one


def table(found, title):
    one = named(found, title)
    return {name: dict(zip(one.heads[1:], cells, strict=True)) for name, cells in one.rows}


def test_a_measure_has_a_row_a_method_and_a_column_a_data_set(folder):
    found = table(compare(folder, layout="measures"), "delta_lcd.centred, base classes")
    assert list(found) == ["zero-shot", "CoOp", "MaPLe"]
    assert list(found["CoOp"]) == ["dtd", "eurosat", "average"]
    for (method, data), seeds in VALUES.items():
        cell = found[method][data]
        assert cell.value == pytest.approx(statistics.fmean(seeds.values()))
        if len(seeds) > 1:
            assert cell.deviation == pytest.approx(statistics.stdev(seeds.values()))
        else:
            assert cell.deviation is None
    both = [[VALUES["CoOp", data][seed] for data in DATA] for seed in (1, 2, 3)]
    average = found["CoOp"]["average"]
    assert average.value == pytest.approx(statistics.fmean(map(statistics.fmean, both)))
    assert average.deviation == pytest.approx(statistics.stdev(map(statistics.fmean, both)))
    assert not any(cell.best for row in found.values() for cell in row.values())


def test_averages_are_part_of_the_default_and_alone_of_a_layout(folder):
    found = compare(folder)
    assert [one.title for one in found.measures] == [
        "Δ LCD, Δ MID and gap, base classes: average over 2 data sets",
        "NC, base classes: average over 2 data sets",
    ]
    assert [one.title for one in found.tables] == ["Accuracy, base classes"]
    assert compare(folder, layout="measures").tables == ()
    assert compare(folder, layout="base-to-new").measures == ()


def test_differences_are_paired_with_the_baselines_of_the_same_data_set_and_seed(folder):
    found = named(compare(folder, layout="measures", baseline="CoOp"),
                  "Measures, base classes, against CoOp")  # fmt: skip
    cells = {(name, row[0].shown): dict(zip(found.heads[2:], row[1:], strict=True))
             for name, row in found.rows}  # fmt: skip
    one = cells["MaPLe", "delta_lcd.centred"]
    steps = {data: [VALUES["MaPLe", data][s] - VALUES["CoOp", data][s] for s in (1, 2, 3)]
             for data in DATA}  # fmt: skip
    means = [statistics.fmean(values) for values in steps.values()]
    assert one["difference"].value == pytest.approx(statistics.fmean(means))
    assert (one["n"].shown, one["data sets"].shown) == ("6", "2")
    assert (one["95 %"].low, one["95 %"].high) == (pytest.approx(min(means)),
                                                   pytest.approx(max(means)))  # fmt: skip
    every = [step for values in steps.values() for step in values]
    assert one["t"].value == pytest.approx(stats.ttest_1samp(every, 0.0).pvalue)
    assert ("zero-shot", "nc1") in cells


def test_one_data_set_has_students_interval_over_seeds(tmp_path):
    of_folder(tmp_path, [one for one in rows() if one[1] == "eurosat"])
    found = compare(tmp_path, baseline="CoOp")
    [tests] = [one for one in found.measures if one.kind == "tests"]
    row = next(cells for name, cells in tests.rows if name == "MaPLe")
    steps = [VALUES["MaPLe", "eurosat"][s] - VALUES["CoOp", "eurosat"][s] for s in (1, 2, 3)]
    expected = stats.ttest_1samp(steps, 0.0).confidence_interval()
    assert (row[2].low, row[2].high) == pytest.approx(tuple(expected))
    assert found.measures[0].title == "Δ LCD, Δ MID and gap, base classes: eurosat"


def test_every_format_has_the_names_of_metrics_json(folder, tmp_path):
    found = compare(folder, layout="measures", baseline="zero-shot")
    for suffix in (".txt", ".md", ".tex", ".html", ".csv"):
        text = found.save(tmp_path / f"table{suffix}").read_text(encoding="utf-8")
        name = r"delta\_lcd.centred" if suffix in (".tex", ".md") else "delta_lcd.centred"
        assert name in text
    lines = list(csv.DictReader(io.StringIO(text)))
    told = {(one["row"], one["column"], one["data"]): one for one in lines
            if one["kind"] == "measures"}  # fmt: skip
    average = told["MaPLe", "delta_lcd.centred", "average"]
    assert float(average["value"]) == pytest.approx(0.13)


def test_a_data_set_that_a_method_lacks_is_no_part_of_the_average(tmp_path):
    of_folder(tmp_path, [one for one in rows() if one[:2] != ("MaPLe", "dtd")])
    found = compare(tmp_path)
    [first, *_] = found.measures
    assert first.title.endswith("average over 1 of 2 data sets")
    assert "Missing: MaPLe on dtd." in first.notes


def test_runs_of_tune_and_of_a_folder_stand_in_one_table(folder, tmp_path):
    for seed in (1, 2, 3):
        for data in DATA:
            tuned(tmp_path / "tuned", "maple", f"{data}:/d", seed=seed, base=0.6, new=0.5,
                  measures={"base": {LCD: 0.2}, "new": {LCD: 0.4}})  # fmt: skip
    found = compare(folder, tmp_path / "tuned", layout="measures")
    names = table(found, "delta_lcd.centred, base classes, tau = 1")
    assert list(names) == ["zero-shot", "CoOp", "MaPLe", "maple"]
    assert list(table(found, "delta_lcd.centred, new classes, tau = 1")) == ["maple"]


def test_lines_of_logs_tell_rows_apart_where_one_data_set_has_both(tmp_path):
    of_folder(tmp_path / "a", rows(), **{"DATASET.NUM_SHOTS": "16", "OPTIM.MAX_EPOCH": "50"})
    more = [one for one in rows() if one[0] == "CoOp"]
    of_folder(tmp_path / "b", more, **{"DATASET.NUM_SHOTS": "4", "OPTIM.MAX_EPOCH": "50"})
    [first, *_] = compare(tmp_path).measures
    assert [name for name, _ in first.rows] == [
        "zero-shot", "CoOp (shots 16)", "CoOp (shots 4)", "MaPLe"
    ]  # fmt: skip


def test_a_recipe_that_is_one_thing_on_each_data_set_is_one_row_and_said(tmp_path):
    for data, epochs in (("eurosat", "200"), ("dtd", "50")):
        mine = [one for one in rows() if one[1] == data]
        of_folder(tmp_path / data, mine, **{"OPTIM.MAX_EPOCH": epochs})
    found = compare(tmp_path)
    assert [name for name, _ in found.measures[0].rows] == ["zero-shot", "CoOp", "MaPLe"]
    said = "CoOp: OPTIM.MAX_EPOCH differs between data sets (--by tells them apart)."
    assert said in found.notes
    apart = compare(tmp_path, by=["OPTIM.MAX_EPOCH"])
    assert len({row.label for row in apart.rows}) == 3  # differing keys alone are taken from `by`


def test_runs_that_nothing_tells_apart_are_named_by_their_paths(tmp_path):
    twice = [("CoOp", "dtd", 1, {LCD: 0.1}), ("MaPLe", "dtd", 1, {LCD: 0.2})]
    path = of_folder(tmp_path, [*twice, twice[0]])
    text = path.read_text().replace("output/dtd/CoOp/seed1", "output/dtd/copy/CoOp/seed1", 1)
    path.write_text(text)
    [first, *_] = compare(tmp_path).measures
    assert sorted(name for name, _ in first.rows) == ["MaPLe", "copy/CoOp", "output/CoOp"]


def test_a_layout_of_measures_without_any_is_refused(tmp_path):
    tuned(tmp_path, "coop", "d", base=0.5, new=0.5)
    with pytest.raises(DataError, match="no run has what layout measures shows; runs: coop"):
        compare(tmp_path, layout="measures")
