"""Moves are judged on images they have not seen, and what that says is what it is."""

# Features made here have both sides, which their type leaves open.
# pyright: reportOptionalOperand=false, reportOptionalMemberAccess=false
# pyright: reportOptionalSubscript=false, reportArgumentType=false

from dataclasses import replace

import pytest
import torch

from ncscope import analyze, intervene, measure
from ncscope.diagnosis.interventions import STEPS
from ncscope.diagnosis.moves import MOVES
from ncscope.diagnosis.what_if import effect, move_rows, what_if
from ncscope.errors import DataError, ShapeError
from ncscope.features.bundle import Features
from tests.made_features import collapsed, noisy


def subset(features: Features, kept: torch.Tensor) -> Features:
    return replace(features, image=features.image[kept], label=features.label[kept])


def at(found, move: str, step: float):
    [row] = [row for row in found.rows if row["move"] == move and row["step"] == step]
    return row


@pytest.fixture(scope="module")
def features():
    return noisy(noise=1.2)


def test_every_move_has_every_step(features):
    found = intervene(features)
    assert [(r["move"], r["step"]) for r in found.rows] == [(m, s) for m in MOVES for s in STEPS]


def test_step_zero_has_the_numbers_of_the_images_judged_as_measure_has_them(features):
    train, rest = (
        subset(features, torch.arange(72) % 3 == 0),
        subset(features, torch.arange(72) % 3 > 0),
    )
    found = intervene(rest, train)
    record = measure(rest, bootstrap=0).record
    assert (
        at(found, "whiten", 0.0)["summary"] == pytest.approx_tree(record["summary"])
        if False
        else True
    )
    flat = dict(leaves(record["summary"]))
    for path, value in leaves(at(found, "whiten", 0.0)["summary"]):
        assert value == pytest.approx(flat[path], abs=1e-6), path
    assert at(found, "whiten", 0.0)["accuracy"] == pytest.approx(
        record["summary"]["accuracy"]["top1"]
    )


def leaves(tree, path=""):
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def test_accuracy_is_that_of_the_summary_at_every_step(features):
    for row in intervene(features, replicates=0).rows:
        assert row["accuracy"] == pytest.approx(row["summary"]["accuracy"]["top1"])


def test_labels_of_the_images_judged_move_nothing(features):
    """Leakage: with a training file, other labels of the judged images give other accuracies and
    the same moved text."""
    train = subset(features, torch.arange(72) % 2 == 0)
    rest = subset(features, torch.arange(72) % 2 == 1)
    wrong = replace(rest, label=rest.label.roll(6))
    one, other = intervene(rest, train, replicates=0), intervene(wrong, train, replicates=0)
    for a, b in zip(one.rows, other.rows, strict=True):
        assert a["summary"]["delta_lcd"] == b["summary"]["delta_lcd"]
        assert a["summary"]["effective_rank"]["text"] == b["summary"]["effective_rank"]["text"]
    assert one.rows[0]["accuracy"] > other.rows[0]["accuracy"]


def test_text_that_learns_noise_gains_nothing_on_other_images():
    """Labels by chance: means fit the images they are of, and must not be judged on them."""
    draw = torch.Generator().manual_seed(3)
    features = Features(
        image=torch.randn(400, 64, generator=draw), label=torch.arange(400) % 4,
        text=torch.randn(4, 64, generator=draw), classnames=tuple("abcd"),
    )  # fmt: skip
    row = at(intervene(features), "text_to_means", 1.0)
    assert row["accuracy"] == pytest.approx(0.25, abs=0.08)  # 0.45 on the images it was made of


def test_the_halves_are_even_within_classes_and_seeded(features):
    found = intervene(features)
    assert found.how["images_estimated_on"] == found.how["images_judged"] == 36
    assert found.rows == intervene(features).rows
    assert found.rows != intervene(features, seed=1).rows
    odd = intervene(noisy(counts=[3, 5, 2, 4, 7, 9]), replicates=0)
    assert (odd.how["images_estimated_on"], odd.how["images_judged"]) == (13, 17)


def test_images_of_the_training_file_that_are_also_judged_are_left_out(features):
    train = subset(features, torch.arange(72) < 60)
    rest = subset(features, torch.arange(72) % 6 == 0)
    found = intervene(rest, train, replicates=0)
    assert any("10 images to estimate on are also judged" in note for note in found.notes)
    with pytest.raises(DataError, match="all 72 images to estimate moves on are among those"):
        intervene(features, features)


def test_a_training_file_is_matched_by_name(features):
    train = subset(features, torch.arange(72) % 2 == 0)
    rest = subset(features, torch.arange(72) % 2 == 1)
    order = [3, 0, 5, 1, 4, 2]
    back = torch.tensor(order).argsort()
    other = replace(
        train, label=back[train.label], text=train.text[order],
        classnames=tuple(train.classnames[k].upper().replace(" ", "_") for k in order),
    )  # fmt: skip
    assert intervene(rest, other).rows == intervene(rest, train).rows


def test_classes_without_a_training_image_are_new_and_judged_among_themselves(features):
    train = subset(features, (torch.arange(72) % 2 == 0) & (features.label < 4))
    rest = subset(features, torch.arange(72) % 2 == 1)
    row = at(found := intervene(rest, train), "text_to_means", 1.0)
    text = features.text[4:]
    new = rest.label >= 4
    unit = torch.nn.functional.normalize
    chosen = (unit(rest.image[new]) @ unit(text).T).argmax(dim=1) + 4
    wanted = (chosen == rest.label[new]).float().mean()
    assert at(found, "whiten", 0.0)["new_accuracy"] == pytest.approx(float(wanted))
    assert row["new_accuracy"] == pytest.approx(float(wanted))  # their text is not moved
    assert row["new_change"] == {"value": 0, "low": 0, "high": 0}
    assert row["seen_accuracy"] is not None


def test_the_interval_holds_the_change_and_is_none_without_replicates(features):
    change = at(intervene(features), "snap_text", 1.0)["change"]
    assert change["low"] <= change["value"] <= change["high"]
    bare = at(intervene(features, replicates=0), "snap_text", 1.0)["change"]
    assert bare["low"] is None


def test_a_collapsed_model_is_left_as_it_is():
    features = collapsed(each=6)
    noise = 1e-4 * torch.randn(features.image.shape, generator=torch.Generator().manual_seed(0))
    for row in intervene(replace(features, image=features.image + noise), replicates=0).rows:
        assert row["accuracy"] == 1


def test_images_that_are_all_one_vector_a_class_leave_nothing_to_judge_by():
    with pytest.raises(DataError, match="all 15 images to estimate moves on are among those"):
        intervene(collapsed(each=6))


def test_equal_texts_have_no_nearest_simplex(features):
    found = intervene(replace(features, text=features.text[:1].expand(6, -1).clone()))
    assert "snap_text" not in {row["move"] for row in found.rows}
    assert "snap_text left out: the text features are all equal" in found.notes


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"image": None, "label": None}, "there are no image features"),
        ({"text": None}, "there are no text features"),
        ({"text": torch.randn(72, 6, 16)}, "the text depends on the image"),
    ],
)
def test_what_cannot_be_moved_is_refused(features, change, said):
    with pytest.raises(DataError, match=said):
        intervene(replace(features, **change))
    report = analyze(replace(features, **change), intervene=True, bootstrap=0)
    assert report.records[0]["interventions"] == []
    assert any(said in warning for warning in report.records[0]["warnings"])


def test_a_training_file_of_other_width_or_classes_is_refused(features):
    with pytest.raises(ShapeError, match="9 wide and these 16"):
        intervene(features, noisy(width=9))
    with pytest.raises(DataError, match="shares no class"):
        intervene(features, replace(features, classnames=tuple("uvwxyz")))
    with pytest.raises(ShapeError, match=r"lie in \[0, 1\]"):
        intervene(features, steps=[2.0])


def test_sentences_name_a_cost_only_where_the_interval_leaves_zero_out():
    assert effect({"value": -0.031, "low": -0.04, "high": -0.022}) == "costs 3.1 points [2.2, 4.0]"
    assert effect({"value": 0.01, "low": 0.004, "high": 0.02}) == "gains 1.0 points [0.4, 2.0]"
    said = effect({"value": -0.01, "low": -0.02, "high": 0.001})
    assert said == "makes no difference that these images can tell (−1.0 points [−2.0, +0.1])"


def test_the_report_carries_moves_into_every_file(features, tmp_path):
    report = analyze(features, intervene=True, bootstrap=0)
    [record] = report.records
    assert len(what_if(record)) == len(MOVES)
    assert len(move_rows([record], ["a"])) == 1 + len(MOVES) * len(STEPS)
    report.save(tmp_path, html=False)
    assert "move,whiten 0.5,change," in (tmp_path / "metrics.csv").read_text()
    assert '"move": "whiten"' in (tmp_path / "metrics.json").read_text()
