import json
import pickle
import random
from pathlib import Path

import pytest

from ncscope.data.draw import draw_training
from ncscope.data.fewshot_file import open_few_shot
from ncscope.data.open_known import open_known
from ncscope.errors import DataError
from tests.data.coop_trees import known, write_pickle, write_tree

AUTHOR = "/home/kaiyang/data"


def drawn(data, root, *, prefix=f"{AUTHOR}/{{folder}}"):
    """Every other training image, under paths of another machine."""
    train = open_known(f"{data.name}:{root}", part="train")
    below = "/".join(filter(None, (prefix.format(folder=data.folder), data.images)))
    inner = "train/" if data.name == "ImageNet" else ""
    return [
        (f"{below}/{inner}{train.items[i]}", train.labels[i], train.classnames[train.labels[i]])
        for i in range(1, len(train), 2)
    ]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    "name", ["EuroSAT", "StanfordCars", "Caltech101", "FGVCAircraft", "ImageNet"]
)
def test_pickles_are_read_and_paths_of_another_machine_found_here(name, protocol, tmp_path):
    data = known(name)
    home = write_tree(tmp_path, data)
    rows = drawn(data, tmp_path)
    write_pickle(home / "split_fewshot/shot_1-seed_2.pkl", {"train": rows}, protocol=protocol)
    images = open_few_shot(f"{name}:{tmp_path}", shots=1, seed=2)
    assert [Path(item).name for item in images.items] == [Path(row[0]).name for row in rows]
    assert images.labels == tuple(row[1] for row in rows)
    assert images.classnames == open_known(f"{name}:{tmp_path}").classnames
    assert images.load(0).size == (3, 2)
    assert images.part == "train"
    assert draw_training(images, shots=None, split="new").counts == (1,)


@pytest.mark.parametrize(
    "prefix", ["./data/{folder}", "D:\\data\\{folder}", "/mnt/renamed", "../data/{folder}"]
)
def test_json_indices_are_read_whatever_their_folder_was(prefix, tmp_path):
    data = known("EuroSAT")
    write_tree(tmp_path, data)
    rows = drawn(data, tmp_path, prefix=prefix)
    entries = [dict(zip(("impath", "label", "classname"), row, strict=True)) for row in rows]
    content = {"train": {"data": entries, "indices": [0]}, "val": {"data": entries}}
    (tmp_path / "shot_1-seed_1.json").write_text(json.dumps(content))
    for part in ("train", "val"):
        images = open_few_shot(f"eurosat:{tmp_path}", tmp_path / "shot_1-seed_1.json", part=part)
        assert images.labels == tuple(row[1] for row in rows)
        assert images.items[0] == "zebra_crossing/train1.png"


def test_no_code_of_a_pickle_runs(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "touched"), "w"))

    home = write_tree(tmp_path, known("EuroSAT"))
    path = home / "split_fewshot/shot_16-seed_1.pkl"
    path.parent.mkdir()
    path.write_bytes(pickle.dumps({"train": [Bomb()]}))
    with pytest.raises(DataError, match=r"train\[0\]: expected an image's path, label and class"):
        open_few_shot(f"eurosat:{tmp_path}")
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("/elsewhere/x.png", 0, "a"), r"train\[0\]: path '/elsewhere/x\.png' leaves"),
        ((f"{AUTHOR}/eurosat/2750/../../x.png", 0, "a"), r"path '\.\./\.\./x\.png' leaves"),
        ((f"{AUTHOR}/eurosat/2750/x.png", "0", "a"), "label '0'; expected a whole number"),
        ((f"{AUTHOR}/eurosat/2750/x.png", 0, None), "class name None"),
        ((f"{AUTHOR}/eurosat/2750/x.png", 1, "a"), "no image of label 0"),
        ((None, 0, "a"), "expected the path of an image, got None"),
        ((f"{AUTHOR}/eurosat/2750/x.png", 0, "a"), r"1 of 1 listed images are missing.*: x\.png"),
    ],
)
def test_entries_that_name_no_image_here_are_refused(row, message, tmp_path):
    home = write_tree(tmp_path, known("EuroSAT"))
    write_pickle(home / "split_fewshot/shot_16-seed_1.pkl", {"train": [row]})
    with pytest.raises(DataError, match=message):
        open_few_shot(f"eurosat:{tmp_path}")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read as a pickled few-shot list"),
        (pickle.dumps([1, 2]), "expected the parts train and val"),
        (pickle.dumps({"val": []}), "no images of part `train`; it has 'val'"),
        (pickle.dumps({"train": {}}), "no images of part `train`; it has 'train'"),
        (pickle.dumps({"train": [3]}), r"train\[0\]: expected an image's path"),
        (b"\x80\x04X\xff\xff\xff\x7f", "cannot be read as a pickled few-shot list"),
        (b"\x80\x04\x8c\x01xQ.", "a tensor in it, where image paths were expected"),
    ],
)
def test_a_file_that_is_no_few_shot_list_is_refused(content, message, tmp_path):
    write_tree(tmp_path, known("EuroSAT"))
    (tmp_path / "x.pkl").write_bytes(content)
    with pytest.raises(DataError, match=message):
        open_few_shot(f"eurosat:{tmp_path}", tmp_path / "x.pkl")


def test_a_pickle_that_folds_out_to_gigabytes_is_refused_in_no_time(tmp_path):
    folded = ["x"]
    for _ in range(60):
        folded = [folded, folded]
    home = write_tree(tmp_path, known("EuroSAT"))
    good = f"{AUTHOR}/eurosat/2750/x.png"
    for row in ((folded, 0, "a"), (good, folded, "a"), (good, 0, folded)):
        write_pickle(home / "split_fewshot/shot_16-seed_1.pkl", {"train": [row]})  # pyright: ignore
        with pytest.raises(DataError, match=r"train\[0\]: .*list"):
            open_few_shot(f"eurosat:{tmp_path}")


@pytest.mark.parametrize("protocol", [2, 5])
def test_a_damaged_pickle_is_read_or_refused_and_nothing_else(protocol, tmp_path):
    home = write_tree(tmp_path, known("EuroSAT"))
    path = home / "split_fewshot/shot_16-seed_1.pkl"
    write_pickle(path, {"train": drawn(known("EuroSAT"), tmp_path)}, protocol=protocol)
    content = path.read_bytes()
    stream = random.Random(0)
    messages = []
    for _ in range(300):
        damaged = bytearray(content)
        for _ in range(stream.choice([1, 1, 2, 8])):
            damaged[stream.randrange(len(damaged))] = stream.randrange(256)
        path.write_bytes(damaged[: stream.choice([len(damaged), stream.randrange(len(damaged))])])
        try:
            open_few_shot(f"eurosat:{tmp_path}")
        except DataError as error:
            messages.append(str(error))
    assert 200 < len(messages) < 300
    assert all(message.isprintable() for message in messages)


def test_a_list_that_is_not_there_is_refused(tmp_path):
    write_tree(tmp_path, known("EuroSAT"))
    with pytest.raises(DataError, match=r"shot_16-seed_1\.pkl: no such few-shot list"):
        open_few_shot(f"eurosat:{tmp_path}")
    with pytest.raises(DataError, match=r"x\.json: cannot be read as JSON"):
        open_few_shot(f"eurosat:{tmp_path}", tmp_path / "x.json")
