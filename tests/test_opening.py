"""What is no regular file is refused at once, wherever a path is opened."""

import os
import resource
import threading
from pathlib import Path

import pytest
from PIL import Image

from ncscope.checkpoint.reading import read_checkpoint
from ncscope.checkpoint.runlog import read_runlog
from ncscope.clip.backbone import load_backbone
from ncscope.comparison.read import read_outcomes
from ncscope.data.classes import read_classnames
from ncscope.data.files import inspect_files, read_image
from ncscope.data.images import open_images
from ncscope.data.lists import read_json
from ncscope.data.tables import list_table, read_class_counts, read_counts, read_train_counts
from ncscope.diagnosis.training import read_log, read_trajectory
from ncscope.errors import BackboneError, NcscopeError
from ncscope.features.bundle import read_features
from ncscope.features.cache import read_cached
from ncscope.grids.spec import read_spec
from ncscope.opening import is_there, open_regular, read_bytes, read_text, require_regular
from ncscope.tuning.state import read_state
from tests.peak import held
from tests.tiny_clip import save_folder


def within(seconds, call):
    """What the call gives or raises; a test that would wait for ever fails instead."""
    result = []

    def run():
        try:
            result.append(call())
        except Exception as error:
            result.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert result, "it waits"
    return result[0]


@pytest.fixture(params=["pipe", "link to a pipe", "link to a device"])
def no_file(request, tmp_path):
    """Makes, of a name, a pipe or a link to one or to a device under it."""

    def make(name):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if request.param == "pipe":
            os.mkfifo(path)
        elif request.param == "link to a pipe":
            os.mkfifo(tmp_path / "pipe")
            path.symlink_to(tmp_path / "pipe")
        else:
            path.symlink_to("/dev/zero")
        return path

    return make


READERS = {
    "m.pth": read_checkpoint,
    "clip.pt": load_backbone,
    "metrics.json": lambda path: read_outcomes([path]),
    "names.txt": read_classnames,
    "train_counts.csv": read_train_counts,
    "a.png": read_image,
    "split.json": read_json,
    "table.csv": lambda path: list_table(path, part=None, classnames=None),
    "counts.csv": read_class_counts,
    "counts.txt": read_counts,
    "log.jsonl": read_log,
    "trajectory.safetensors": read_trajectory,
    "f.npz": read_features,
    "f.safetensors": read_features,
    "grid.toml": read_spec,
    "state.safetensors": read_state,
}


@pytest.mark.parametrize("name", READERS)
def test_a_reader_refuses_a_pipe_or_a_device_in_one_line(no_file, name):
    path = no_file(name)
    error = within(5, lambda: READERS[name](path))
    assert isinstance(error, NcscopeError), error
    assert "\n" not in str(error)
    assert name in str(error)


def test_a_pipe_among_the_images_of_a_class_is_named_and_what_it_is(no_file):
    path = no_file("images/cat/a.png")
    Image.new("RGB", (8, 8)).save(path.parent / "b.png")
    error = within(5, lambda: open_images(path.parents[1]))
    assert "cat/a.png" in str(error)
    assert "not a regular file" in str(error)
    found = within(5, lambda: open_images(path.parents[1], skip_bad=True))
    assert found.items == ("cat/b.png",)


def test_pipes_beside_a_run_are_passed_over_or_named(no_file, tmp_path):
    assert within(5, lambda: read_cached(no_file("kept.safetensors"), num_images=1)) is None
    log = tmp_path / "log.txt"
    os.mkfifo(log)
    assert within(5, lambda: read_runlog([log])) is None


def test_a_pipe_in_a_backbone_folder_is_refused(no_file, tmp_path):
    folder = save_folder(tmp_path / "clip")
    (folder / "open_clip_config.json").unlink()
    no_file("clip/open_clip_config.json")
    error = within(5, lambda: load_backbone(folder))
    assert isinstance(error, NcscopeError)


def test_a_regular_file_and_a_link_to_one_are_read(tmp_path):
    path, link = tmp_path / "a.txt", tmp_path / "b.txt"
    path.write_bytes("é\r\nb\rc\n".encode())
    link.symlink_to(path)
    assert read_text(link) == path.read_text(encoding="utf-8") == "é\nb\nc\n"
    assert require_regular(path) == len(read_bytes(link)) == 8
    with open_regular(path) as file:
        assert os.get_blocking(file.fileno()) is False


@pytest.mark.parametrize(
    ("path", "words"),
    [("/dev/null", "a device, not a regular file"), (".", "a folder, not a file")],
)
def test_what_it_is_instead_is_said(path, words):
    with pytest.raises(OSError, match=words):
        open_regular(Path(path))


def test_a_file_larger_than_the_limit_is_not_read(tmp_path):
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(1001)
    assert len(read_bytes(path, most=1001)) == 1001
    with pytest.raises(OSError, match="1,001 bytes; at most 1,000 are read"):
        read_bytes(path, most=1000)


def test_reading_takes_the_memory_of_the_file_and_not_of_the_limit(tmp_path):
    path = tmp_path / "small"
    path.write_bytes(b"abc")
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (held() + 100 * 2**20, before[1]))
    try:
        assert read_bytes(path, most=2**30) == b"abc"
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "nothing"])
def test_a_name_that_is_none_leads_nowhere(tmp_path, name):
    assert not is_there(tmp_path / name)
    assert is_there(tmp_path)
    with pytest.raises(BackboneError, match="is no open_clip model, file or folder"):
        load_backbone(name)


def test_the_file_that_stands_there_when_it_is_opened_counts(tmp_path, monkeypatch):
    pipe, file = tmp_path / "pipe", tmp_path / "file"
    os.mkfifo(pipe)
    file.write_text("x")
    looked = file.stat()
    monkeypatch.setattr(Path, "stat", lambda *_, **__: looked)
    error = within(5, lambda: open_regular(pipe))
    assert "a named pipe" in str(error)


def test_files_that_are_no_images_are_told_apart(tmp_path):
    (tmp_path / "a").write_text("no image")
    os.mkfifo(tmp_path / "b")
    found = within(5, lambda: inspect_files([tmp_path / "a", tmp_path / "b"]))
    assert found == [(False, ""), (False, "a named pipe, not a regular file")]
