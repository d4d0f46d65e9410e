"""Tuning on stored features: the learners behind the towers, without towers."""

# Features made here have both sides, which their type leaves open.
# pyright: reportArgumentType=false, reportOptionalMemberAccess=false
# pyright: reportOptionalSubscript=false, reportOptionalOperand=false

import json

import numpy as np
import pytest
import torch
import torch.nn.functional as F

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
    known = {"shots": 4, "epochs": 30, "lr": 0.02, "bootstrap": None, "log_every": 0}
    return ncscope.tune(method, data=data, **{**known, **options})


@pytest.mark.parametrize("method", ON_FEATURES)
def test_a_run_ends_better_and_its_features_are_measured_alike(file, method, tmp_path):
    split = "base" if method in ("clip-adapter", "shared-text") else "all"
    run = tuned(method, file, out=tmp_path / "o", split=split)
    before, after = run.record["before"], run.record["accuracy"]
    first = "base" if split == "base" else "all"
    start = 1.0 if method == "linear-probe" else after[first]  # class means are hard to better
    assert before[first] <= start
    for name in ("base", "new") if split == "base" else ("all",):
        found = ncscope.analyze(tmp_path / "o" / f"features-{name}.npz", bootstrap=0)
        assert found.summary["accuracy"]["top1"] == pytest.approx(after[name], abs=1e-6)
    config = json.loads((tmp_path / "o" / "config.json").read_text())
    assert config["views"] == 1
    assert (config["backbone"], config["weights"]) == ("stored features", file)


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


@pytest.mark.parametrize(
    ("method", "options", "words"),
    [
        ("coop", {}, "coop needs the towers, and `data` is .* expected one of taskres, clip-ad"),
        ("taskres", {"views": 4}, "`views` has no effect on features"),
        ("taskres", {"template": "a {}."}, "`template` has no effect on features"),
        ("taskres", {"rank": 4}, "`rank` has no effect on taskres; it is for shared-text"),
        ("shared-text", {"data": "toy:shapes"}, "shared-text is trained on features, and `data`"),
        ("shared-text", {"rank": 0}, "`rank` is 0; expected 1 or more"),
    ],
)
def test_what_cannot_be_done_is_refused(file, method, options, words):
    with pytest.raises(DataError, match=words):
        tuned(method, options.pop("data", file), **options)


def test_without_text_only_a_probe_can_be_trained(file, tmp_path):
    arrays = {name: value for name, value in np.load(file).items() if name != "text"}
    np.savez(tmp_path / "f.npz", **arrays)
    run = tuned("linear-probe", str(tmp_path / "f.npz"), split="all")
    assert (run.accuracy["all"] or 0) > 0.9
    with pytest.raises(DataError, match="no text features in it, which this method starts from"):
        tuned("taskres", str(tmp_path / "f.npz"))
    assert "linear-probe" not in METHODS
