"""A short run of every method, from its options to what other commands make of it."""

# Features made here have both sides, which their type leaves open.
# pyright: reportArgumentType=false

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

import ncscope
from ncscope.checkpoint.inspect import inspect
from ncscope.toy.model import load_toy_clip
from ncscope.tuning import record as tune_record
from ncscope.tuning import train
from ncscope.tuning.evaluate import split_features
from ncscope.tuning.recipe import METHODS, TEXT_FIXED, TOY
from ncscope.tuning.save import export
from ncscope.zoo.settings import LearnerOptions
from tests.pictures import SORTED, save_pictures

FILES = {
    "checkpoint.safetensors", "config.json", "log.jsonl", "log.txt", "metrics.json",
    "state.before.safetensors", "state.safetensors", "trajectory.safetensors",
}  # fmt: skip
PUBLISHED = {
    "coop": "CoOp", "cocoop": "CoCoOp", "kgcoop": "KgCoOp", "prograd": "ProGrad", "vpt": "VPT",
    "ivlp": "IVLP", "maple": "MaPLe", "promptsrc": "PromptSRC", "tcp": "TCP",
    "taskres": "TaskRes", "clip-adapter": "CLIP-Adapter",
}  # fmt: skip
PER_IMAGE = LearnerOptions(condition="per-image")


@pytest.fixture(scope="module")
def clip():
    return load_toy_clip()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return save_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory, clip, data):
    """A run of a method, made once, and its folder."""
    made = {}

    def run(method):
        if method not in made:
            folder = tmp_path_factory.mktemp("runs") / method
            made[method] = (short(clip, data, method, out=folder), folder)
        return made[method]

    return run


def short(clip, data, method, *, out=None, epochs=2, shots=3, tau=0.4, batch_size=4, lcd=0.1):
    lcd = 0.0 if method in TEXT_FIXED else lcd  # a term of what is not trained is refused
    return ncscope.tune(
        *(str(method),),
        data=data, backbone=clip, recipe="toy", shots=shots, tau=tau, epochs=epochs, out=out,
        batch_size=batch_size, lcd_weight=lcd, mid_weight=0.1, eval_every=2, log_every=1,
        cache="off",
    )  # fmt: skip


def read(folder, name):
    return json.loads((folder / name).read_text())


every_method = pytest.mark.parametrize("method", METHODS)


@every_method
def test_a_run_writes_every_file_and_no_other(finished, method):
    tuned, folder = finished(method)
    assert {entry.name for entry in folder.iterdir()} == FILES
    assert read(folder, "metrics.json")["tune"] == tuned.record
    lines = (folder / "log.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == tuned.events
    assert [e["step"] for e in tuned.events if e["event"] == "step"] == [0, 1, 2, 3]
    assert {e["step"] for e in tuned.events if e["event"] == "eval"} == {0, 2, 4}


@every_method
def test_the_method_is_recognised_with_its_classes_settings_and_accuracy(finished, method):
    tuned, folder = finished(method)
    seen = inspect(folder)
    assert seen.method == PUBLISHED[method]
    assert seen.class_names is not None
    assert seen.class_names.names == SORTED[:3]
    assert all("--condition" in warning for warning in seen.warnings)
    assert seen.log is not None
    assert seen.log.accuracy == pytest.approx(100 * tuned.accuracy["base"], abs=0.006)
    assert (seen.log.seed, seen.log.shots) == (1, 3)


@every_method
def test_features_read_from_the_files_give_the_accuracy_in_metrics_json(
    finished, clip, data, method
):
    tuned, folder = finished(method)
    options = PER_IMAGE if method == "cocoop" else None
    for name, own in tuned.features.items():
        split = name.rsplit(" ", 1)[1]
        features = ncscope.extract(
            folder, data=data, split=split, backbone=clip, cache="off", options=options
        )
        torch.testing.assert_close(features.text, own.text, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(features.image, own.image, rtol=1e-4, atol=1e-4)
        top1 = ncscope.measure(features).record["summary"]["accuracy"]["top1"]
        assert top1 == pytest.approx(tuned.accuracy[split])
    assert set(tuned.features) == {f"{data} {s}" for s in splits(method)}


def splits(method):
    return ("base",) if method == "taskres" else ("base", "new")


@every_method
def test_a_run_from_a_checkpoint_begins_with_exactly_its_features(finished, clip, data, method):
    tuned, folder = finished(method)
    second = short(clip, data, folder / "checkpoint.safetensors", epochs=1)
    assert second.record["method"] == method
    assert second.record["before"]["base"] == tuned.accuracy["base"]
    assert second.record["before"]["new"] == tuned.accuracy["new"]
    before = [run.features for run in second.report.runs if run.record["stage"] == "before"]
    for then, now in zip(tuned.features.values(), before, strict=True):
        assert torch.equal(then.text, now.text)
        assert torch.equal(then.image, now.image)
    after = next(iter(second.features.values()))
    assert not (
        torch.equal(after.text, before[0].text) and torch.equal(after.image, before[0].image)
    )


@every_method
def test_an_exported_run_opens_as_the_authors_open_it_and_is_recognised(
    finished, clip, data, tmp_path, method
):
    _, folder = finished(method)
    written = export(folder, tmp_path / "out")
    assert written.name == "model.pth.tar-2"
    opened = torch.load(written, weights_only=True)
    assert opened["epoch"] == 2
    learned = load_file(folder / "checkpoint.safetensors")
    assert all(torch.equal(opened["state_dict"][key], learned[key]) for key in learned)
    assert inspect(tmp_path / "out").method == PUBLISHED[method]
    both = [
        ncscope.extract(source, data=data, split="base", backbone=clip, cache="off")
        for source in (folder, tmp_path / "out")
    ]
    torch.testing.assert_close(both[0].text, both[1].text)  # sums' rounding depends on alignment


def test_metrics_json_holds_measures_before_and_after_by_split_and_frequency(finished, data):
    _, folder = finished("coop")
    record = read(folder, "metrics.json")
    stages = [(run["stage"], run["split"]) for run in record["runs"]]
    assert stages == [("after", "base"), ("after", "new"), ("before", "base"), ("before", "new")]
    assert all(run["data"] == data for run in record["runs"])
    for name in ("delta_lcd", "delta_mid"):
        assert all(run["summary"][name]["raw"] is not None for run in record["runs"])
    tune = record["tune"]
    assert (tune["shots"], tune["tau"], tune["counts"]) == (3, 0.4, [3, 1, 1])
    assert tune["realised_tau"] == pytest.approx(1 / 3)
    assert {"base", "new", "h", "ece", "head", "medium", "tail"} == set(tune["accuracy"])
    base, new = tune["accuracy"]["base"], tune["accuracy"]["new"]
    assert tune["accuracy"]["h"] == pytest.approx(2 * base * new / (base + new))
    groups = record["runs"][0]["groups"]
    assert not any(groups.values())  # 3, 1 and 1 images: medium and tail are not told apart


def test_config_json_holds_every_value_in_force(finished, clip):
    config = read(finished("maple")[1], "config.json")
    recipe = TOY["maple"]
    assert (config["lr"], config["ctx"], config["depth"]) == (recipe.lr, recipe.ctx, recipe.depth)
    assert (config["momentum"], config["weight_decay"]) == (0.9, 5e-4)
    assert (config["epochs"], config["batch_size"], config["views"]) == (2, 4, 1)
    assert (config["lcd_weight"], config["mid_form"]) == (0.1, "push_pull")
    assert config["classnames"] == list(SORTED[:3])
    assert config["backbone_digest"] == clip.digest
    assert (config["seed"], config["processes"], config["drawn_class_order"]) == (1, 1, [0, 1, 2])


def test_the_trajectory_holds_a_frame_an_evaluation_that_ends_in_the_final_features(finished):
    tuned, folder = finished("coop")
    with safe_open(folder / "trajectory.safetensors", framework="pt") as file:
        steps, text = file.get_tensor("step"), file.get_tensor("text")
        assert json.loads((file.metadata() or {})["classnames"]) == list(SORTED[:3])
    assert steps.tolist() == [0, 2, 4]
    final = next(iter(tuned.features.values())).text
    torch.testing.assert_close(text[-1], torch.nn.functional.normalize(final, dim=-1))


@pytest.mark.parametrize(("method", "times"), [("maple", 2), ("promptsrc", 3)])
def test_test_images_are_taken_once_before_and_once_after(clip, data, monkeypatch, method, times):
    """PromptSRC is evaluated at its last step, too, before its states are averaged."""
    seen = []

    def noted(learner, split, **options):
        seen.append(split.name)
        return split_features(learner, split, **options)

    for module in (train, tune_record):
        monkeypatch.setattr(module, "split_features", noted)
    tuned = ncscope.tune(
        method, data=data, backbone=clip, recipe="toy", shots=2, epochs=1, log_every=0,
        eval_every=0, cache="off",
    )  # fmt: skip
    assert sorted(seen) == ["base"] * times + ["new"] * times
    events = [event for event in tuned.events if event["event"] == "eval"]
    for event, stage in ((events[0], "before"), (events[-1], "accuracy")):
        for name in ("base", "new"):
            assert event[name]["accuracy"] == pytest.approx(tuned.record[stage][name])


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(clip, data):
    torch.manual_seed(5)
    first, second, other = (
        ncscope.tune(
            "cocoop", data=data, backbone=clip, recipe="toy", shots=2, epochs=1, seed=seed,
            views=2, cache="off",
        )
        for seed in (0, 0, 3)
    )  # fmt: skip
    assert torch.equal(text(first), text(second))
    assert not torch.equal(text(first), text(other))
    assert first.events == second.events


def text(tuned):
    return next(iter(tuned.features.values())).text


def test_a_context_for_every_class_is_tested_on_its_own_classes_only(clip, data, tmp_path):
    tuned = ncscope.tune(
        "coop", data=data, backbone=clip, recipe="toy", shots=2, epochs=1, csc=True,
        out=tmp_path / "run", cache="off",
    )  # fmt: skip
    assert tuned.accuracy["new"] is None
    assert tuned.accuracy["h"] is None
    assert inspect(tmp_path / "run").method == "CoOp (class-specific)"
    with safe_open(tmp_path / "run" / "checkpoint.safetensors", framework="pt") as file:
        assert file.get_slice("ctx").get_shape()[:2] == [3, 4]
    with pytest.raises(ncscope.DataError, match="parameters for its own classes only"):
        ncscope.tune(
            "taskres", data=data, backbone=clip, recipe="toy", shots=2, epochs=1,
            targets=["toy:textures"], cache="off",
        )  # fmt: skip


def test_all_classes_and_another_data_set_as_target(clip, data):
    tuned = ncscope.tune(
        "coop", data=data, backbone=clip, recipe="toy", shots=None, epochs=1, split="all",
        targets=["toy:textures"], cache="off", sampler="balanced", batch_size=5,
    )  # fmt: skip
    assert set(tuned.accuracy) == {"all", "ece", "head", "medium", "tail"}
    assert tuned.record["counts"] == [4] * 6
    assert [run.record["data"] for run in tuned.report.runs] == [data, "toy:textures"] * 2


def test_views_are_cached_and_taken_online(clip, data, tmp_path):
    runs = [
        ncscope.tune(
            "clip-adapter", data=data, backbone=clip, recipe="toy", shots=2, epochs=2, views=views,
            cache=tmp_path,
        )
        for views in ("online", "2", 1)
    ]  # fmt: skip
    adapted = [next(iter(run.features.values())).image for run in runs]
    assert not torch.equal(adapted[0], adapted[2])
    assert not torch.equal(adapted[1], adapted[2])
    assert [run.config["views"] for run in runs] == ["online", 2, 1]
    assert list(Path(tmp_path).rglob("*.safetensors"))
