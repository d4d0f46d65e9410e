"""Tuning on stored features: the learners behind the towers, without towers."""

# Features made here have both sides, which their type leaves open.
# pyright: reportArgumentType=false, reportOptionalMemberAccess=false
# pyright: reportOptionalSubscript=false, reportOptionalOperand=false

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

import ncscope
from ncscope.errors import DataError
from ncscope.features.bundle import read_features
from ncscope.tuning.recipe import METHODS, ON_FEATURES

K, D, N = 6, 16, 8


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Clouds about text features that are turned by one rotation, the same for all classes."""
    generator = torch.Generator().manual_seed(0)
    text = F.normalize(torch.randn(K, D, generator=generator), dim=-1)
    turn, _ = torch.linalg.qr(torch.eye(D) + 0.35 * torch.randn(D, D, generator=generator))
    arrays = {"text": text.numpy(), "logit_scale": np.float32(20)}
    arrays["classnames"] = np.array([f"kind_{k}" for k in range(K)])
    for part in ("train", "val", "test"):
        label = torch.arange(K).repeat(N)
        noise = 0.15 * torch.randn(K * N, D, generator=generator)
        arrays[f"image_{part}"] = (text[label] @ turn.T + noise).numpy()
        arrays[f"label_{part}"] = label.numpy()
    path = tmp_path_factory.mktemp("features") / "f.npz"
    np.savez(path, **arrays)
    return str(path)


def tuned(method, data, **options):
    known = {"shots": 4, "epochs": 12, "lr": 0.05, "bootstrap": 0, "log_every": 0}
    return ncscope.tune(method, data=data, **{**known, **options})


@pytest.mark.parametrize("method", ON_FEATURES)
def test_a_run_ends_better_and_its_features_are_measured_alike(file, method, tmp_path):
    split = "base" if method in ("clip-adapter", "shared-text") else "all"
    run = tuned(method, file, out=tmp_path / "o", split=split)
    before, after = run.record["before"], run.record["accuracy"]
    first = "base" if split == "base" else "all"
    start = 1.0 if method == "linear-probe" else after[first]  # class means are hard to better
    assert before[first] <= start
    if method == "tip-adapter-f":
        return  # its cache decides beside the features
    for name in ("base", "new") if split == "base" else ("all",):
        found = ncscope.analyze(tmp_path / "o" / f"features-{name}.npz", bootstrap=0)
        assert found.summary["accuracy"]["top1"] == pytest.approx(after[name], abs=1e-6)
    config = json.loads((tmp_path / "o" / "config.json").read_text())
    assert config["views"] == 1
    assert (config["backbone"], config["data"]) == ("stored features", file)


def test_shared_text_begins_at_the_text_and_moves_the_classes_it_never_saw(file):
    run = tuned("shared-text", file, rank=4)
    stored = {part: np.load(file)[part] for part in ("text", "image_test", "label_test")}
    new = stored["label_test"] >= K // 2
    unit = [F.normalize(torch.from_numpy(stored[n]), dim=-1) for n in ("image_test", "text")]
    logits = unit[0][new] @ unit[1][K // 2 :].T
    labels = torch.from_numpy(stored["label_test"][new]) - K // 2
    accuracy = float((logits.argmax(1) == labels).float().mean())
    assert run.record["before"]["new"] == pytest.approx(accuracy, abs=1e-6)
    moved = run.features[f"{file} new"].text
    assert moved is not None
    assert not torch.allclose(moved, unit[1][K // 2 :], atol=1e-3)
    shift = moved - unit[1][K // 2 :]
    assert torch.linalg.matrix_rank(shift - shift.mean(0), tol=1e-4) <= 4


def test_terms_and_losses_change_what_is_learned(file):
    plain = tuned("taskres", file, tau=0.25, epochs=3)
    for more in (
        {"lcd_weight": 1.0, "mid_weight": 1.0, "centred": True},
        {"loss": "logit-adjusted"},
        {"regulariser": "cpt"},
    ):
        other = tuned("taskres", file, tau=0.25, epochs=3, **more)
        rows = [run.features[f"{file} base"].text for run in (plain, other)]
        assert not torch.equal(*rows), more
    assert plain.record["counts"] == [4, 2, 1]


def test_a_run_goes_on_where_it_was_cut_off(file, tmp_path):
    whole = tuned("shared-text", file, epochs=4)
    tuned("shared-text", file, epochs=2, out=tmp_path / "o")
    with pytest.raises(ncscope.CheckpointError, match="epochs"):
        tuned("shared-text", file, epochs=4, out=tmp_path / "o", resume=True)
    again = tuned("shared-text", file, epochs=4, out=tmp_path / "p")
    for name in whole.features:
        assert torch.equal(whole.features[name].text, again.features[name].text)
    assert read_features(tmp_path / "p" / "features-new.npz").classnames[0] == "kind_3"


def test_tip_adapter_decides_by_its_formula_and_searches_on_validation_images_only(file, tmp_path):
    run = tuned("tip-adapter-f", file, split="all", out=tmp_path / "o", epochs=2)
    kept = load_file(tmp_path / "o" / "checkpoint.safetensors")
    data = np.load(file)
    unit = {part: F.normalize(torch.from_numpy(data[f"image_{part}"]), dim=-1)
            for part in ("val", "test")}  # fmt: skip
    labels = {part: data[f"label_{part}"] for part in unit}
    text = F.normalize(torch.from_numpy(data["text"]), dim=-1)
    keys, values = kept["tip_adapter.keys"].double(), kept["tip_adapter.values"].double()

    def accuracy(part, alpha, beta):
        image = unit[part].double()
        cached = torch.exp(-beta * (1 - image @ keys.T)) @ values
        logits = 20 * image @ text.T.double() + alpha * cached
        return float((logits.argmax(1).numpy() == labels[part]).mean())

    alpha, beta = kept["tip_adapter.alpha_beta"].tolist()
    assert run.accuracy["all"] == pytest.approx(accuracy("test", alpha, beta))
    tried = [(0.1 + 0.145 * a, 0.1 + 0.0345 * b) for b in range(0, 200, 9) for a in range(20)]
    assert accuracy("val", alpha, beta) >= max(accuracy("val", *pair) for pair in tried)
    arrays = {name: data[name] for name in data.files if not name.endswith("_val")}
    np.savez(tmp_path / "f.npz", **arrays)
    other = tuned("tip-adapter-f", str(tmp_path / "f.npz"), split="all", epochs=2, alpha=0.0)
    said = "there are no validation images: alpha and beta are not searched and stay as they are"
    assert said in other.warnings
    zero_shot = (20 * unit["test"] @ text.T).argmax(1).numpy() == labels["test"]
    assert other.accuracy["all"] == pytest.approx(zero_shot.mean())  # alpha 0: no cache


@pytest.mark.parametrize(
    ("method", "options", "words"),
    [
        ("coop", {}, "coop needs the towers, and `data` is .* expected one of taskres, clip-ad"),
        ("taskres", {"views": 4}, "`views` has no effect on features"),
        ("taskres", {"template": "a {}."}, "`template` has no effect on features"),
        ("taskres", {"rank": 4}, "`rank` has no effect on taskres; it is for shared-text"),
        ("shared-text", {"data": "toy:shapes"}, "shared-text is trained on features, and `data`"),
        ("tip-adapter-f", {"lcd_weight": 1.0}, "tip-adapter-f trains its cache, and neither text"),
        ("tip-adapter-f", {"accumulate": 2}, "tip-adapter-f trains with whole batches"),
        ("shared-text", {"rank": 0}, "`rank` is 0; expected 1 or more"),
    ],
)
def test_what_cannot_be_done_is_refused(file, method, options, words):
    with pytest.raises(DataError, match=words):
        tuned(method, options.pop("data", file), **options)


def renamed(file, path, **changes):
    """The same file with other arrays: another data set of other names."""
    names = np.array([f"other_{k}" for k in range(K)])
    np.savez(path, **{**np.load(file), "classnames": names, **changes})
    return str(path)


@pytest.mark.parametrize("method", ["shared-text", "clip-adapter"])
def test_another_data_sets_features_are_a_target(file, tmp_path, method):
    given = np.load(file)
    other = renamed(file, tmp_path / "other.npz")
    turned = renamed(
        file,
        tmp_path / "turned.npz",
        text=np.roll(given["text"], 1, axis=0),
        classnames=np.array([f"third_{k}" for k in range(K)]),
    )
    targets = [other, file, turned]
    run = tuned(method, file, split="all", targets=targets)
    own, renamed_too, itself, wrong = (
        one.record["summary"]["accuracy"]["top1"]
        for one in run.report.runs
        if one.record["stage"] == "after"
    )
    assert (renamed_too, itself) == (own, own)  # the same rows by other names
    assert abs(wrong - own) > 0.1  # other texts, other answers


def test_targets_that_do_not_fit_are_refused(file, tmp_path):
    given = np.load(file)
    rolled = np.roll(given["text"], 1, axis=0)
    cases = {
        "its class 'kind_0' has other text features than that of": {
            "text": rolled, "classnames": given["classnames"],
        },
        "text features are 3 wide; expected `text`, 16 wide": {
            key: given[key][:, :3] for key in given if given[key].ndim == 2
        },
    }  # fmt: skip
    for words, changes in cases.items():
        target = renamed(file, tmp_path / "t.npz", **changes)
        with pytest.raises(DataError, match=words):
            tuned("shared-text", file, split="all", targets=[target], epochs=1)
    with pytest.raises(DataError, match="'toy:fish' is of pictures, and training is on features"):
        tuned("shared-text", file, split="all", targets=["toy:fish"], epochs=1)
    with pytest.raises(DataError, match="has parameters for its own classes only"):
        tuned("taskres", file, split="all", targets=[renamed(file, tmp_path / "t.npz")], epochs=1)


def test_without_text_only_a_probe_can_be_trained(file, tmp_path):
    arrays = {name: value for name, value in np.load(file).items() if name != "text"}
    np.savez(tmp_path / "f.npz", **arrays)
    run = tuned("linear-probe", str(tmp_path / "f.npz"), split="all")
    assert (run.accuracy["all"] or 0) > 0.9
    with pytest.raises(DataError, match="no text features in it, which this method starts from"):
        tuned("taskres", str(tmp_path / "f.npz"))
    assert "linear-probe" not in METHODS
