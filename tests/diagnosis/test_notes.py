import pytest

from ncscope.diagnosis.notes import self_check, warnings_of


def record(*, top1: float | None = 0.7435, split: str = "base", part: str = "test", **run):
    said = {"accuracy": 74.36, "subsample": "base", "classes": 5, "images": 200, **run}
    return {
        "summary": {"accuracy": {"top1": top1}},
        "classes": 5,
        "samples": 200,
        "provenance": {"learner": {"run": said}, "split": split, "part": part},
    }


def test_a_run_is_reproduced_within_three_tenths_of_a_point():
    check = self_check(record())
    assert check is not None
    assert check["agrees"] is True
    assert check["says"] == "reproduces 74.36 % (log) with 74.35 %"
    assert warnings_of(check) == []
    assert all(self_check(record(top1=p))["agrees"] for p in (0.74065, 0.74655))  # pyright: ignore


@pytest.mark.parametrize("top1", [0.7403, 0.7469, 0.0])
def test_a_run_that_is_not_reproduced_is_a_warning_with_both_numbers(top1):
    check = self_check(record(top1=top1))
    assert check is not None
    assert check["agrees"] is False
    assert warnings_of(check) == [check["says"]]
    assert f"does not reproduce 74.36 % (log): {100 * top1:.2f} % here" in check["says"]


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"part": "train"}, "of the test images: these are part train"),
        ({"split": "new"}, "of the base classes: these are the new ones"),
        ({"classes": 10}, "of 10 classes: here are 5"),
        ({"images": 201}, "of 201 images: here are 200"),
    ],
)
def test_accuracies_of_other_data_are_not_compared_and_that_is_said(changed, why):
    check = self_check(record(**changed))
    assert check is not None
    assert check["agrees"] is None
    assert check["says"].endswith(why)
    assert warnings_of(check) == [check["says"]]


def test_what_the_log_does_not_say_does_not_stand_in_the_way():
    check = self_check(record(classes=None, images=None, subsample=None))
    assert check is not None
    assert check["agrees"] is True


def test_without_either_accuracy_there_is_no_check():
    assert self_check(record(accuracy=None)) is None
    assert self_check(record(accuracy="74.36")) is None
    assert self_check(record(top1=None)) is None
    assert self_check({**record(), "provenance": {}}) is None
    assert self_check({**record(), "provenance": {"learner": "mine"}}) is None


def test_an_accuracy_of_another_epoch_is_not_compared():
    check = self_check(record(accuracy_is="of epoch 50: this file is of epoch 10"))
    assert check is not None
    assert check["agrees"] is None
    assert check["says"].endswith("in log.txt, which is of epoch 50: this file is of epoch 10")


def test_a_rule_that_is_not_the_features_is_not_applied_even_where_the_numbers_agree():
    check = self_check(record(not_by_cosine="it decides by a cache"))
    assert check is not None
    assert check["agrees"] is None
    assert check["says"] == (
        "74.36 % in log.txt: not applicable to these features: it decides by a cache"
    )
    assert warnings_of(check) == [check["says"]]


@pytest.mark.parametrize(("accuracy", "agrees"), [(74.3, True), (80.0, False)])
def test_the_methods_own_rule_is_compared_where_it_is_there(accuracy, agrees):
    ruled = {"accuracy": accuracy, "rule": "DePT's own"}
    check = self_check(record(top1=0.1, by_rule=ruled, not_by_cosine="it has a probe"))
    assert check is not None
    assert (check["agrees"], check["found"]) == (agrees, accuracy)
    assert "decided by DePT's own" in check["says"]


@pytest.mark.parametrize(("used", "agrees"), [("fused", None), ("class", True)])
def test_the_image_feature_of_the_task_is_the_one_compared(used, agrees):
    found = record(image_feature="class")
    found["provenance"]["learner"]["image_feature"] = used
    check = self_check(found)
    assert check is not None
    assert check["agrees"] is agrees
    assert ("--image-feature class" in check["says"]) == (agrees is None)


RUN = ("accuracy", "accuracy_is", "not_by_cosine", "image_feature", "by_rule", "subsample",
       "classes", "images", "epoch")  # fmt: skip
NASTY = (None, True, 5, -1e300, "x", "", [], ["base"], {}, {"accuracy": "x"}, {"accuracy": None},
         {"accuracy": True, "rule": [1]})  # fmt: skip


@pytest.mark.parametrize("key", RUN)
def test_whatever_a_strangers_file_says_of_its_run_the_measures_stand(key):
    for value in NASTY:
        for learner in ({}, {"image_feature": value}):
            one = record(**{key: value})  # pyright: ignore[reportArgumentType]
            one["provenance"]["learner"] |= learner
            check = self_check(one)
            assert check is None or (isinstance(check["says"], str) and check["found"] >= 0)
