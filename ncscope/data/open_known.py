"""`NAME:ROOT` to images: the data sets of the prompt-learning literature in CoOp's layout.

Each is read from its split file, from FGVC-Aircraft's text files or from ImageNet's folders.
Without a split file, class folders are read, all in one part, only where they alone say which
class an image is of and what the class is called.
"""

from pathlib import Path

from ncscope.data.folders import Listing, choose_part, list_folder, note_of_part
from ncscope.data.imagenet import list_imagenet
from ncscope.data.images import ImageSet
from ncscope.data.known import KNOWN, KnownData, home_of, parse_known
from ncscope.data.lists import list_split, listed_images, safe_path
from ncscope.errors import DataError
from ncscope.opening import read_text

_LEFT_OUT = {"Caltech101": ("BACKGROUND_Google", "Faces_easy")}  # no class, and one twice
_RENAMED: dict[str, dict[str, str]] = {
    "Caltech101": {
        "Faces": "face",
        "Leopards": "leopard",
        "Motorbikes": "motorbike",
        "airplanes": "airplane",
    },
    "EuroSAT": {
        "AnnualCrop": "Annual Crop Land",
        "Forest": "Forest",
        "HerbaceousVegetation": "Herbaceous Vegetation Land",
        "Highway": "Highway or Road",
        "Industrial": "Industrial Buildings",
        "Pasture": "Pasture Land",
        "PermanentCrop": "Permanent Crop Land",
        "Residential": "Residential Buildings",
        "River": "River",
        "SeaLake": "Sea or Lake",
    },
    "DescribableTextures": {},
    "Food101": {},
}


def open_known(spec: str, *, part: str | None = None, skip_bad: bool = False) -> ImageSet:
    """Open a part of a known data set, classes and images in the order of its lists.

    Images are not opened, and the digest does not cover their bytes: see `listed_images`.

    Args:
        spec: `eurosat:/data`, `imagenet-r:/data`, …; the folder is the one that holds the data
            sets in CoOp's layout, or the data set's own.
        part: `train`, `val` or `test`; None is test.
        skip_bad: leave out images that are missing, with a warning, instead of refusing the set.

    Raises:
        DataError: an unknown name, missing folders, lists or images, lists that are not as
            expected.
    """
    known, home = find_known(spec)
    return listed_images(spec, _listing(known, home, part=part), skip_bad=skip_bad)


def find_known(spec: str) -> tuple[KnownData, Path]:
    """The data set that `NAME:ROOT` names, and its own folder."""
    parsed = parse_known(spec)
    if parsed is None:
        names = ", ".join(known.name for known in KNOWN)
        raise DataError(f"{spec}: expected NAME:ROOT of a known data set: {names}")
    known, root = parsed
    return known, home_of(known, root)


def _listing(known: KnownData, home: Path, *, part: str | None) -> Listing:
    if known.listing == "lists":
        return list_aircraft(home, home / known.images, part=part)
    if known.listing != "split":
        return list_imagenet(known, home, part=part)
    split = home / known.split_file
    if not split.is_file():
        return list_class_folders(known, home, part=part)
    return list_split(split, home / known.images, part=part)


def list_class_folders(known: KnownData, home: Path, *, part: str | None) -> Listing:
    """List every image; classes in the byte order of their folders, called as CoOp calls them.

    Raises:
        DataError: a part is asked for, or the data set is not one of class folders.
    """
    if known.name not in _RENAMED or part is not None or not (home / known.images).is_dir():
        raise DataError(
            f"{home / known.split_file}: no such file; it divides {known.name} into train, val and "
            f"test. CoOp's DATASETS.md (github.com/KaiyangZhou/CoOp) links it, and "
            f"github.com/linzhiqiu/cross_modal_adaptation has it in `splits/`"
        )
    whole = list_folder(home / known.images, part=None)
    left_out = _LEFT_OUT.get(known.name, ())
    folders = sorted(name for name in whole.classnames if name not in left_out)
    label_of = {folder: label for label, folder in enumerate(folders)}
    found = [label_of.get(whole.classnames[label]) for label in whole.labels]
    kept = [row for row, label in enumerate(found) if label is not None]
    names = _RENAMED[known.name]
    return Listing(
        classnames=tuple(names.get(folder, folder) for folder in folders),
        paths=tuple(whole.paths[row] for row in kept),
        items=tuple(whole.items[row] for row in kept),
        labels=tuple(label for label in found if label is not None),
        part=None,
        warnings=(
            f"no {known.split_file} in {home.name}/: all images of its class folders were taken; "
            f"numbers are not those of the published test split",
        ),
    )


def list_aircraft(home: Path, images: Path, *, part: str | None) -> Listing:
    """List one part, in the file's order; classes in the order of `variants.txt`.

    Raises:
        DataError: a file that is missing or not of this form, an unknown variant, a path that
            leaves `images`.
    """
    variants = tuple(line.strip() for line in _lines(home / "variants.txt") if line.strip())
    index = {name: label for label, name in enumerate(variants)}
    if not variants or len(index) < len(variants):
        raise DataError(f"{home / 'variants.txt'}: no variants, or one twice; expected one a line")
    parts = [p for p in ("train", "val", "test") if _list_file(home, p).is_file()]
    chosen = choose_part(str(home), part, parts)
    if chosen is None:
        raise DataError(f"{_list_file(home, 'test')}: no such file; it lists the images")
    items, labels = list[str](), list[int]()
    for number, line in enumerate(_lines(_list_file(home, chosen)), 1):
        where = f"{_list_file(home, chosen)}: line {number}"
        image, _, variant = line.strip().partition(" ")
        if variant not in index:
            raise DataError(
                f"{where}: {line[:60]!r}; expected the name of an image and one of the "
                f"{len(variants)} variants in variants.txt"
            )
        items.append(safe_path(where, f"{image}.jpg"))
        labels.append(index[variant])
    return Listing(
        classnames=variants,
        paths=tuple(images / item for item in items),
        items=tuple(items),
        labels=tuple(labels),
        part=chosen,
        warnings=note_of_part(home.name, part, chosen),
    )


def _list_file(home: Path, part: str) -> Path:
    return home / f"images_variant_{part}.txt"


def _lines(path: Path) -> list[str]:
    try:
        return read_text(path).splitlines()
    except FileNotFoundError:
        raise DataError(
            f"{path}: no such file; it comes with the images, in the folder `data` of "
            f"fgvc-aircraft-2013b"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as lines of text ({error})") from None
