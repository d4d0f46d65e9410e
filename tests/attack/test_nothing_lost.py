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
from ncscope.errors import DataError


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
