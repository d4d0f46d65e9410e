import pickle

import pytest
from PIL import Image

from ncscope.data.classes import select_classes
from ncscope.data.draw import draw_training
from ncscope.data.files import FileLoader
from ncscope.data.images import ImageSet, Subset, subset
from ncscope.errors import DataError
from tests.data.label_sets import image_set, name_of


def test_a_selection_keeps_order_labels_and_what_loads():
    images = subset(image_set([0, 1, 2, 1]), [3, 0])
    assert (images.items, images.labels) == (("3.png", "0.png"), (1, 0))
    assert images.classnames == ("c0", "c1", "c2")
    assert [images.load(i) for i in range(2)] == [3, 0]
    inner = subset(images, [1])
    assert inner.load == Subset(name_of, (0,))  # pyright: ignore
    assert len({images.digest, inner.digest, "digest"}) == 3
    with pytest.raises(DataError, match=r"set: rows -1\.\.0 asked for; expected 0\.\.3"):
        subset(image_set([0, 1, 2, 1]), [0, -1])


def test_a_drawn_set_loads_after_pickling_and_carries_its_own_paths_only(tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(20)]
    for i, path in enumerate(paths):
        Image.new("RGB", (2, 2), (i, 0, 0)).save(path)
    names = tuple(path.name for path in paths)
    load = FileLoader(tuple(map(str, paths)), names)
    train = ImageSet("set", ("a", "b"), tuple(i % 2 for i in range(20)), names, "digest", load)
    draw = draw_training(train, shots=2, tau=0.5, split="all")
    copy = pickle.loads(pickle.dumps(draw.images.load))
    assert [f"{copy(i).getpixel((0, 0))[0]}.png" for i in range(3)] == list(draw.images.items)
    assert len(copy.paths) == 3
    new = select_classes(draw.images, "new")
    assert f"{new.load(0).getpixel((0, 0))[0]}.png" == new.items[0]  # pyright: ignore
