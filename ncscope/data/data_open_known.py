"""`NAME:ROOT` to images: the data sets of the prompt-learning literature in CoOp's layout."""

from pathlib import Path

from ncscope.data.aircraft import list_aircraft
from ncscope.data.folders import Listing
from ncscope.data.imagenet import list_imagenet
from ncscope.data.images import ImageSet
from ncscope.data.known import KNOWN, KnownData, home_of, parse_known
from ncscope.data.lists import listed_images
from ncscope.data.open_known import list_class_folders
from ncscope.data.split_file import list_split
from ncscope.errors import DataError


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
