"""A full disk, a bad source among good ones: what is there is whole, and what is not is named."""

import errno
import json
import os
import resource
import signal
from pathlib import Path

import numpy as np
import pytest

import ncscope
from ncscope.errors import DataError, NcscopeError, ShapeError
from tests.cli.test_terminal import run


def features(path, *, seed=0, nan=False):
    rng = np.random.default_rng(seed)
    text = rng.normal(size=(4, 8)).astype("f4")
    if nan:
        text[1, 2] = np.nan
    image, label = rng.normal(size=(24, 8)).astype("f4"), np.arange(24) % 4
    np.savez(path, text=text, image=image, label=label, classnames=np.array(list("abcd")))
    return path


@pytest.fixture
def report(tmp_path):
    return ncscope.analyze(features(tmp_path / "f.npz"), bootstrap=0)


@pytest.mark.parametrize("kind", ["page", "table", "csv"])
def test_an_analysis_that_cannot_be_finished_leaves_no_metrics_json(
    report, tmp_path, monkeypatch, kind
):
    name = {"page": "report.html", "table": "summary.csv", "csv": "metrics.csv"}[kind]
    sync = os.fsync

    def fsync(number):
        if f".{name}." in Path(f"/proc/self/fd/{number}").readlink().name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(number)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(DataError, match=rf"{name}: cannot be written \(No space left on device\)"):
        report.save(tmp_path / "o", tables_as=["csv"])
    left = {path.name for path in (tmp_path / "o").rglob("*") if path.is_file()}
    assert not left & {"metrics.json", name}
    assert not [other for other in left if other.startswith(".")]
    with pytest.raises(DataError, match="metrics"):
        ncscope.compare(tmp_path / "o")


def test_a_limit_on_files_keeps_the_analysis_before(report, tmp_path):
    (tmp_path / "o").mkdir()
    (tmp_path / "o/metrics.json").write_text("before")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, limits[1]))
    try:
        with pytest.raises(DataError, match="cannot be written"):
            report.save(tmp_path / "o", html=False)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert {path.name: path.read_text() for path in (tmp_path / "o").iterdir()} == {
        "metrics.json": "before"
    }


def test_metrics_json_is_the_last_that_is_written(report, tmp_path):
    written = report.save(tmp_path, tables_as=["csv", "md"])
    times = {path: path.stat().st_mtime_ns for path in written}
    assert max(times, key=lambda path: times[path]).name == "metrics.json"
    assert json.loads(written[0].read_text(encoding="utf-8"))["format"] == 1


@pytest.fixture
def mixed(tmp_path):
    """Two good feature files about a bad one, and one that is not there."""
    return [
        features(tmp_path / "a.npz"),
        features(tmp_path / "nan.npz", nan=True),
        features(tmp_path / "b.npz", seed=1),
        tmp_path / "missing.npz",
    ]


def analyzed(sources, out, *more):
    return run("analyze", *sources, "--out", out, "--no-html", "--bootstrap", 0, *more)


def test_a_bad_source_among_good_ones_is_left_out_by_name(mixed, tmp_path):
    code, out, err = analyzed(mixed, tmp_path / "o", "--quiet")
    found = json.loads((tmp_path / "o/metrics.json").read_text(encoding="utf-8"))
    assert code == 1
    assert [r["source"] for r in found["runs"]] == [str(mixed[0]), str(mixed[2])]
    assert [one["source"] for one in found["left_out"]] == [str(mixed[1]), str(mixed[3])]
    assert "NaN" in found["left_out"][0]["reason"]
    lines = err.splitlines()
    assert lines[0].startswith(f"ncscope: {mixed[1]} is left out: ")
    assert lines[-1] == f"ncscope: left out 2 of 4 sources: {mixed[1]}, {mixed[3]}"
    assert "Accuracy, top-1" in out
    alone = ncscope.analyze(mixed[2], bootstrap=0)
    assert found["runs"][1]["summary"] == alone.records[0]["summary"]
    assert "left_out" not in json.loads(alone.save(tmp_path / "p", html=False)[0].read_text())


def test_strict_lets_one_bad_source_end_all(mixed, tmp_path):
    code, out, err = analyzed(mixed, tmp_path / "o", "--strict")
    assert (code, out) == (1, "")
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "o/metrics.json").exists()
    with pytest.raises(ShapeError, match="NaN"):
        ncscope.analyze(*mixed, bootstrap=0)


def test_bad_sources_alone_are_refused(mixed, tmp_path):
    code, _, err = analyzed([mixed[1], mixed[3]], tmp_path / "o")
    assert code == 1
    assert err.splitlines()[-1].startswith("ncscope: none of 2 sources can be measured; ")
    assert not (tmp_path / "o/metrics.json").exists()
    code, _, err = analyzed([mixed[1]], tmp_path / "o")
    assert (code, len(err.splitlines())) == (1, 1)


def test_all_sources_are_looked_at_before_one_is_encoded(mixed):
    order = []

    def check(source):
        order.append(f"check {source}")
        if source == "bad":
            raise NcscopeError("bad")

    def extract(source):
        order.append(f"extract {source}")
        if source == "worse":  # what no look shows
            raise NcscopeError("worse")
        return ncscope.read_features(mixed[0])

    report = ncscope.analyze(
        "worse", "x", "bad", "y", extract=extract, check=check, strict=False, bootstrap=0,
    )  # fmt: skip
    assert order == [
        "check worse", "check x", "check bad", "check y", "extract worse", "extract x", "extract y",
    ]  # fmt: skip
    assert [one["source"] for one in report.left_out] == ["bad", "worse"]
    assert len(report.runs) == 2


def test_skip_bad_leaves_bad_rows_out_and_measures_the_others(tmp_path):
    path = features(tmp_path / "f.npz")
    arrays = dict(np.load(path))
    good = {k: v[2:] if k in ("image", "label") else v for k, v in arrays.items()}
    np.savez(tmp_path / "good.npz", **good)
    arrays["image"][0], arrays["image"][1, 3] = 0, np.nan
    np.savez(path, **arrays)
    code, _, err = analyzed([path], tmp_path / "o")
    assert (code, len(err.splitlines())) == (1, 1)
    assert "1 of 24 rows: 1" in err
    code, _, err = analyzed([path], tmp_path / "o", "--skip-bad")
    assert code == 0
    assert "left out: 1 image features are zero vectors, at rows 0 (a)" in err
    assert "left out: 1 image features are NaN or infinite, at rows [1]" in err
    (found,) = json.loads((tmp_path / "o/metrics.json").read_text(encoding="utf-8"))["runs"]
    (expected,) = ncscope.analyze(tmp_path / "good.npz", bootstrap=0).records
    assert found["samples"] == expected["samples"] == 22
    for name in ("nc1", "nc3", "modality_gap"):
        assert found["summary"][name] == pytest.approx(expected["summary"][name], rel=1e-9)
