"""A folder of toy pictures, few of six classes, for runs that take a second."""

from pathlib import Path

from ncscope.toy.images import toy_images

NAMES = ("striped", "grid", "plain", "dotted", "checkered", "wavy")
SORTED = ("checkered", "dotted", "grid", "plain", "striped", "wavy")


def save_pictures(root: Path, *, train: int = 4, test: int = 3) -> str:
    """Write `train/` and `test/` with class folders; the folder, as DATA."""
    for part, count in (("train", train), ("test", test)):
        images = toy_images("toy:textures", part=part)
        for name in NAMES:
            label = images.classnames.index(name)
            rows = [i for i, other in enumerate(images.labels) if other == label][:count]
            (root / part / name).mkdir(parents=True)
            for i in rows:
                images.load(i).save(root / part / name / f"{i}.png")
    return str(root)
