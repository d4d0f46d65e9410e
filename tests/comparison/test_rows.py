import os
from dataclasses import fields

import pytest

from ncscope.comparison.read import read_outcomes
from ncscope.comparison.rows import (
    counted,
    data_order,
    label_rows,
    merge_splits,
    without_duplicates,
)
from ncscope.diagnosis.outcome import SETTINGS, data_identity
from ncscope.errors import DataError
from ncscope.tuning.options import TuneOptions
from tests.run_files import analysed, run, tuned, write


def outcomes(*files):
    return merge_splits(read_outcomes(files))


def test_a_label_has_the_settings_that_differ_within_its_name(tmp_path):
    files = [tuned(tmp_path, "maple", "d", base=0.5, new=0.5),
             tuned(tmp_path, "maple+npt", "d", base=0.5, new=0.5, lcd_weight=0.1, mid_weight=1.0),
             tuned(tmp_path, "maple+npt", "d", base=0.5, new=0.5, lcd_weight=0.5,
                   mid_weight=1.0)]  # fmt: skip
    labels = [row.label for row in label_rows(outcomes(*files))]
    assert labels == ["maple", "maple+npt (lcd 0.1)", "maple+npt (lcd 0.5)"]
    assert [row.label for row in label_rows(outcomes(*files), by=[])].count("maple+npt") == 2


def test_by_names_a_setting_or_is_refused(tmp_path):
    found = outcomes(tuned(tmp_path, "maple", "d", base=0.5, new=0.5))
    with pytest.raises(DataError, match=r"by seconds: not a setting of a run; there are backb"):
        label_rows(found, by=["seconds"])


@pytest.mark.parametrize(
    ("option", "values", "labels"),
    [
        ("ctx_init", (None, ""), ['coop (ctx init "")', "coop (ctx init –)"]),
        ("lr", (None, 0.01), ["coop (lr 0.01)", "coop (lr –)"]),
        ("backbone", ("ViT-B-16", "RN50"), ["coop (backbone RN50)", "coop (backbone ViT-B-16)"]),
        ("cpt_weights", ([0.25, 0.15, 0.1], [1.0, 0.0, 0.0]),
         ["coop (cpt weights 0.25/0.15/0.1)", "coop (cpt weights 1.0/0.0/0.0)"]),
    ],
)  # fmt: skip
def test_any_option_of_tuning_makes_rows_of_their_own(tmp_path, option, values, labels):
    files = [tuned(tmp_path, "coop", "d", base=0.5, new=0.5, **{option: v}) for v in values]
    rows, notes = without_duplicates(label_rows(outcomes(*files)))
    assert [row.label for row in rows] == labels
    assert notes == []


def test_settings_are_all_options_of_tuning_but_those_that_have_a_column():
    columns = {"method", "data", "split", "tau", "seed", "label"}
    options = {field.name for field in fields(TuneOptions)} - columns
    assert set(SETTINGS) == options | {"backbone"}


def test_a_run_that_comes_twice_is_refused_with_both_files(tmp_path):
    first, second = (tuned(tmp_path, "coop", "d", base=b, new=0.5) for b in (0.5, 0.6))
    rows = label_rows(outcomes(first, second))
    with pytest.raises(DataError, match=r"coop on d, tau 1\.0, seed 1 comes twice") as error:
        without_duplicates(rows)
    assert str(first) in str(error.value)
    assert str(second) in str(error.value)


def test_the_newest_of_two_is_taken_where_asked_and_the_other_named(tmp_path):
    old, new = (tuned(tmp_path, "coop", "d", base=b, new=0.5) for b in (0.5, 0.6))
    os.utime(old, (1, 1))
    for order in ((old, new), (new, old)):
        kept, notes = without_duplicates(label_rows(outcomes(*order)), duplicates="newest")
        assert [row.outcome.file for row in kept] == [str(new)]
        assert str(old) in notes[0]


def test_seed_zero_tau_and_training_classes_tell_runs_apart(tmp_path):
    files = [tuned(tmp_path, "coop", "d", base=0.5, new=0.5, seed=0),
             tuned(tmp_path, "coop", "d", base=0.5, new=0.5, seed=1),
             tuned(tmp_path, "coop", "d", base=0.5, new=0.5, tau=0.05),
             tuned(tmp_path, "coop", "d", source=0.5, split="all")]  # fmt: skip
    kept, notes = without_duplicates(label_rows(outcomes(*files)))
    assert len(kept) == 4
    assert {row.label for row in kept} == {"coop"}
    assert notes == []


def test_base_and_new_analysed_apart_are_one_outcome(tmp_path):
    files = [analysed(tmp_path / "a", "zero-shot", "d", base=0.5),
             analysed(tmp_path / "b", "zero-shot", "d", new=0.4)]  # fmt: skip
    (merged,) = outcomes(*files)
    assert merged.accuracy == {"base": 0.5, "new": 0.4}


def test_a_split_analysed_twice_is_a_duplicate(tmp_path):
    files = [analysed(tmp_path / k, "zero-shot", "d", base=0.5) for k in ("a", "b")]
    with pytest.raises(DataError, match=r"zero-shot on d, .* comes twice"):
        without_duplicates(label_rows(outcomes(*files)))


def test_rows_and_data_sets_come_in_the_order_of_the_field(tmp_path):
    names = ["mine", "promptsrc", "maple+npt", "maple", "coop"]
    files = [tuned(tmp_path, name, "d", base=0.5, new=0.5) for name in names]
    rows = label_rows(outcomes(*files, analysed(tmp_path / "z", "zero-shot", "d", base=0.5)))
    assert [row.label for row in rows] == [
        "zero-shot", "coop", "maple", "maple+npt", "promptsrc", "mine",
    ]  # fmt: skip
    known = [data_identity(f"{name}:/data") for name in ("dtd", "imagenet-a", "food101", "sun397")]
    assert sorted(known, key=data_order) == [
        "food-101", "sun397", "dtd", "imagenet-adversarial",
    ]  # fmt: skip
    data = ["toy:fish", "ucf101", "imagenet-r", "imagenet-sketch", "eurosat", "oxford_pets",
            "imagenet"]  # fmt: skip
    assert sorted(data, key=data_order) == [
        "imagenet", "oxford_pets", "eurosat", "ucf101", "imagenet-sketch", "imagenet-r", "toy:fish",
    ]  # fmt: skip


def test_what_was_analysed_is_told_from_what_was_tuned(tmp_path):
    files = [tuned(tmp_path, "coop", "d", base=0.5, new=0.5),
             analysed(tmp_path / "a", "runs/coop", "d", base=0.6, new=0.6)]  # fmt: skip
    assert [row.label for row in label_rows(outcomes(*files))] == ["coop", "coop analysed"]


def test_runs_on_listed_images_are_one_row_apart_from_those_on_drawn_ones(tmp_path):
    lists = [f"split_fewshot/shot_16-seed_{seed}.pkl" for seed in (1, 2)]
    files = [
        tuned(tmp_path, "coop", "d", base=0.5, new=0.5, seed=seed, few_shot=one)
        for seed, one in ((1, None), (1, lists[0]), (2, lists[1]))
    ]
    labels = [row.label for row in label_rows(outcomes(*files))]
    assert sorted(labels) == ["coop (images drawn)"] + ["coop (images listed)"] * 2


def test_runs_of_a_published_tree_are_one_row_over_its_data_sets(tmp_path):
    tree = "output/train_base/{}/shots_16/{}/vit_b16/seed{}"
    files = [
        analysed(tmp_path / f"{data}{method}{seed}", tree.format(data, method, seed),
                 f"{data}:/d", base=0.5, new=0.5)
        for data in ("eurosat", "dtd") for method in ("CoOp", "MaPLe") for seed in (1, 2)
    ]  # fmt: skip
    rows = label_rows(outcomes(*files))
    assert {row.label for row in rows} == {"CoOp/vit_b16", "MaPLe/vit_b16"}
    assert {row.outcome.seed for row in rows} == {1, 2}


def test_zero_shot_of_two_backbones_is_two_rows(tmp_path):
    files = []
    for backbone, split in (("ViT-B-16", "base"), ("RN50", "new")):
        one = {**run("d", split, 0.5, stage=None), "source": "zero-shot"}
        one["provenance"]["learner"] = {"backbone": {"name": backbone}}
        files.append(write(tmp_path / backbone, {"format": 1, "runs": [one]}))
    labels = {row.label for row in label_rows(outcomes(*files))}
    assert labels == {"zero-shot (backbone RN50)", "zero-shot (backbone ViT-B-16)"}


def test_runs_are_counted_by_their_files(tmp_path):
    file = tuned(tmp_path, "coop", "toy:source", split="all", source=0.5,
                 others={"toy:fish": 0.5, "toy:scenes": 0.5})  # fmt: skip
    assert counted(label_rows(outcomes(file))) == "1 run on 3 data sets"
