"""Classes that share a name, as two pairs of ImageNet's do, from tuning to analysis."""

import json
from functools import partial

import pytest
from PIL import Image

import ncscope
from ncscope.errors import CheckpointError
from ncscope.toy.model import load_toy_clip
from ncscope.zoo.learners.learner import rows_of
from ncscope.zoo.settings import Settings

SYNSETS = ("n01440764", "n03773504", "n04008634", "n04355933")
NAMES = ("tench", "missile", "missile", "sunglasses")


@pytest.fixture(scope="module")
def clip():
    return load_toy_clip()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """ImageNet's layout: four classes, two of one name, each of its own colour."""
    root = tmp_path_factory.mktemp("data")
    home = root / "imagenet"
    for part, count in (("train", 3), ("val", 5)):
        for k, synset in enumerate(SYNSETS):
            folder = home / "images" / part / synset
            folder.mkdir(parents=True)
            for i in range(count):
                Image.new("RGB", (32, 32), (80 * k, 20 * i, 250 - 80 * k)).save(folder / f"{i}.png")
    lines = (f"{synset} {name}\n" for synset, name in zip(SYNSETS, NAMES, strict=True))
    (home / "classnames.txt").write_text("".join(lines))
    return root


@pytest.mark.parametrize("csc", [False, True])
def test_classes_of_one_name_are_trained_tested_and_analysed_apart(clip, root, tmp_path, csc):
    out, data = tmp_path / "run", f"imagenet:{root}"
    tuned = ncscope.tune(
        "coop", data=data, split="all", backbone=clip, recipe="toy", shots=2, epochs=8, csc=csc,
        out=out, cache="off",
    )  # fmt: skip
    log = (out / "log.txt").read_text()
    assert "# classes  4" in log
    assert "* total: 20" in log
    shares = [tuned.accuracy[group] for group in ("head", "medium", "tail")]
    assert None not in shares
    features = ncscope.extract(out, data=data, backbone=clip, cache="off")
    [run] = ncscope.analyze(features).runs
    assert run.record["classes"] == 4
    assert run.record["summary"]["accuracy"]["top1"] == pytest.approx(tuned.accuracy["all"])
    assert json.loads((out / "metrics.json").read_text())["tune"]["accuracy"] == tuned.accuracy


def test_some_of_the_classes_of_one_name_cannot_be_asked_for():
    settings = Settings(where="file", method="CoOp", classnames=NAMES)
    take = partial(rows_of, settings=settings, count=4, what="has rows of its own")
    assert take(["sunglasses", "missile", "missile"]) == [3, 1, 2]
    assert take(["tench"]) == [0]
    with pytest.raises(CheckpointError, match="2 training classes are called 'missile' and 1 of"):
        take(["missile", "tench"])
