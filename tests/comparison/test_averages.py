# What is made here is there, which its type leaves open.
# pyright: reportOptionalMemberAccess=false, reportOptionalOperand=false, reportArgumentType=false

import statistics

import pytest

from ncscope.comparison.averages import complete_data, mean_of_h, notes_on, over_data, over_seeds
from ncscope.comparison.layouts import ablation, base_to_new, transfer
from ncscope.comparison.read import read_outcomes
from ncscope.comparison.rows import BASE_TO_NEW, Point, averaged, label_rows, transfer_points
from ncscope.metrics.accuracy import harmonic_mean
from tests.run_files import analysed, tuned

# Published averages over 11 data sets (READMEs of MaPLe, PromptSRC and CoPrompt): base, new, H.
PUBLISHED = {
    "CLIP": (69.34, 74.22, 71.70), "CoOp": (82.69, 63.22, 71.66), "CoCoOp": (80.47, 71.69, 75.83),
    "MaPLe": (82.28, 75.14, 78.55), "IVLP, 20": (84.21, 71.79, 77.51),
    "IVLP, 5": (82.15, 74.07, 77.90), "PromptSRC": (84.26, 76.10, 79.97),
    "CoPrompt": (84.00, 77.23, 80.48),
}  # fmt: skip


def point(label, data, base, new, *, seed=1, tau=1.0):
    return Point(label, data, tau, seed,
                 {"base": base, "new": new, "h": harmonic_mean(base, new)})  # fmt: skip


def cell(tables, title, row, column):
    table = next(t for t in tables if t.title == title)
    return dict(table.rows)[row][table.heads.index(column) - 1]


@pytest.mark.parametrize("method", PUBLISHED)
def test_published_rows_have_their_h(method):
    base, new, h = PUBLISHED[method]
    # Two data sets that lie on either side of the published averages.
    points = [point(method, "a", (base + 5) / 100, (new - 9) / 100),
              point(method, "b", (base - 5) / 100, (new + 9) / 100)]  # fmt: skip
    average = cell(base_to_new(points), "Base to new: average over 2 data sets", method,
                   "H of averages")  # fmt: skip
    assert average.value == pytest.approx(h / 100, abs=1.1e-4)  # base and new are rounded


def test_h_of_the_averages_is_not_the_mean_of_h():
    points = [point("m", "a", 0.9, 0.1), point("m", "b", 0.1, 0.9)]
    assert over_data(points, ["a", "b"], "h").value == pytest.approx(0.5)
    assert mean_of_h(points, ["a", "b"]).value == pytest.approx(0.18)


def test_a_cell_is_the_mean_over_seeds_with_the_sample_deviation():
    points = [point("m", "a", b, 0.5, seed=s) for s, b in enumerate((0.6, 0.7, 0.95))]
    mean = over_seeds(points, "base")
    assert mean.value == pytest.approx(0.75)
    assert mean.deviation == pytest.approx(statistics.stdev([0.6, 0.7, 0.95]))
    assert over_seeds(points, "h").value == pytest.approx(harmonic_mean(0.75, 0.5))
    assert over_seeds(points[:1], "base").deviation is None


def test_the_deviation_of_an_average_is_of_each_seeds_own_average():
    values = {("a", 1): 0.6, ("a", 2): 0.8, ("b", 1): 0.5, ("b", 2): 0.3}  # cancel out
    points = [point("m", data, value, 0.5, seed=seed) for (data, seed), value in values.items()]
    mean = over_data(points, ["a", "b"], "base")
    assert (mean.value, mean.deviation) == (pytest.approx(0.55), pytest.approx(0, abs=1e-12))


def test_every_data_set_weighs_the_same_however_many_seeds_it_has():
    points = [point("m", "a", 0.9, 0.5, seed=s) for s in range(9)] + [point("m", "b", 0.1, 0.5)]
    assert over_data(points, ["a", "b"], "base").value == pytest.approx(0.5)


def test_averages_are_over_the_data_sets_that_no_row_misses_and_say_so():
    points = [point("coop", "a", 0.5, 0.5), point("coop", "b", 0.9, 0.9),
              point("maple", "a", 0.6, 0.6)]  # fmt: skip
    assert complete_data(points, BASE_TO_NEW) == ["a"]
    tables = base_to_new(points)
    assert tables[0].title == "Base to new: average over 1 of 2 data sets"
    assert cell(tables, tables[0].title, "coop", "base").value == 0.5
    assert cell(tables, "Base to new: b", "maple", "base").shown == "–"
    notes = notes_on(points, ["a"], BASE_TO_NEW)
    assert notes[0] == "Missing: maple on b."
    assert notes[1] == "Averages are over 1 of 2 data sets, those that no row misses: a."


def test_a_row_that_never_has_new_classes_spares_the_others_their_average():
    points = [point("coop", "a", 0.5, 0.5), Point("csc", "a", 1.0, 1, {"base": 0.9}),
              point("coop", "b", 0.7, 0.5), Point("csc", "b", 1.0, 1, {"base": 0.9})]  # fmt: skip
    tables = base_to_new(points)
    assert cell(tables, tables[0].title, "coop", "base").value == pytest.approx(0.6)
    assert cell(tables, tables[0].title, "csc", "new").shown == "–"
    assert "Missing: csc on a (new), csc on b (new)." in tables[0].notes


def test_the_best_of_a_column_is_marked_with_all_that_print_the_same():
    points = [point("a", "d", 0.50001, 0.6), point("b", "d", 0.5, 0.5), point("c", "d", 0.4, 0.5)]
    tables = base_to_new(points)
    best = {r: cell(tables, "Base to new: d", r, "base").best for r in "abc"}
    assert best == {"a": True, "b": True, "c": False}
    alone = base_to_new(points[:1])
    assert not cell(alone, "Base to new: d", "a", "base").best


def test_transfer_leaves_the_source_out_of_the_average(tmp_path):
    files = [tuned(tmp_path, "maple", "imagenet:/d", split="all", source=0.7,
                   others={"pets:/d": 0.9, "dtd:/d": 0.4, "imagenet-r:/d": 0.5}),
             analysed(tmp_path / "z", "zero-shot", "pets:/e", all=0.8)]  # fmt: skip
    rows = label_rows(read_outcomes(files))
    points = transfer_points(rows, "imagenet", "all", domains=False)
    (table,) = transfer(points, source="imagenet", title="Cross")
    assert table.heads == ("", "imagenet (source)", "oxford_pets", "dtd", "average of 1")
    maple = [c.value for c in dict(table.rows)["maple"]]
    assert maple == [0.7, 0.9, 0.4, pytest.approx(0.9)]  # zero-shot has pets alone
    assert [c.shown for c in dict(table.rows)["zero-shot"]] == ["–", "80.00", "–", "80.00"]
    domain = transfer_points(rows, "imagenet", "all", domains=True)
    (table,) = transfer(domain, source="imagenet", title="Domain")
    assert table.heads == ("", "imagenet (source)", "imagenet-rendition")
    assert [label for label, _ in table.rows] == ["maple"]


def test_an_ablation_has_a_column_for_each_protocol(tmp_path):
    files = []
    for weight in (0.0, 0.1):
        others = {"toy:b": 0.3 + weight, "toy:a@night": 0.2 + weight}
        files.append(tuned(tmp_path, "npt", "toy:a", base=0.6 + weight, new=0.5, others=others,
                           lcd_weight=weight))  # fmt: skip
    (table,) = ablation(label_rows(read_outcomes(files)))
    assert table.heads == ("", "base", "new", "H of averages", "cross-dataset", "domain")
    shown = {label: [c.shown for c in cells] for label, cells in table.rows}
    assert shown["npt (lcd 0)"] == ["60.00", "50.00", "54.55", "30.00", "20.00"]
    assert shown["npt (lcd 0.1)"] == ["70.00", "50.00", "58.33", "40.00", "30.00"]


def test_a_missing_seed_is_named_and_no_best_is_marked():
    points = [point("coop", "a", b, b, seed=s) for s, b in ((1, 0.9), (2, 0.9), (3, 0.3))]
    points += [point("maple", "a", 0.85, 0.85, seed=s) for s in (1, 2)]  # the hard one is missing
    (table,) = base_to_new(points)
    assert any("Seeds missing: maple on a (seed 3); no best is marked" in n for n in table.notes)
    assert not any(c.best for _, cells in table.rows for c in cells)
    (whole,) = base_to_new([p for p in points if p.seed != 3])
    assert [c.best for c in dict(whole.rows)["coop"]] == [True, True, True]


def test_a_row_without_seeds_misses_none():
    points = [point("coop", "a", 0.9, 0.9, seed=s) for s in (1, 2)]
    points.append(point("zero-shot", "a", 0.5, 0.5, seed=None, tau=None))
    (table,) = base_to_new(points)
    assert dict(table.rows)["coop"][0].best


def test_h_of_averages_takes_the_seeds_that_have_both_halves():
    points = [point("m", "a", 0.9, 0.5), point("m", "b", 0.9, 0.5),
              Point("m", "a", 1.0, 2, {"base": 0.1})]  # fmt: skip
    assert over_data(points, ["a", "b"], "h").value == pytest.approx(harmonic_mean(0.9, 0.5))


def test_no_average_is_shown_over_no_data_set():
    tables = base_to_new([point("coop", "a", 0.5, 0.5), point("maple", "b", 0.5, 0.5)])
    assert [table.title for table in tables] == ["Base to new: a", "Base to new: b"]
    assert any("Missing: coop on b, maple on a" in note for note in tables[0].notes)


def test_the_average_of_a_training_is_over_all_it_was_tested_on():
    points = [Point("m", d, 1.0, s, {"accuracy": v})
              for d, s, v in (("a", 1, 0.2), ("b", 1, 0.4), ("a", 2, 0.9))]  # fmt: skip
    (one,) = averaged(points, ["a", "b"], "accuracy")
    assert (one.label, one.data, one.seed) == ("m", "average", 1)
    assert one.values["accuracy"] == pytest.approx(0.3)


def test_an_ablation_of_transfers_alone_has_no_empty_columns(tmp_path):
    files = [
        tuned(tmp_path, "maple", "toy:source", split="all", source=0.5, others={"toy:fish": fish},
              lcd_weight=weight)
        for fish, weight in ((0.4, 0.0), (0.5, 1.0))
    ]  # fmt: skip
    (table,) = ablation(label_rows(read_outcomes(files)))
    assert table.heads == ("", "cross-dataset")
