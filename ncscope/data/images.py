"""Labelled images: what the rest of the library asks of a data set, and any selection of them."""

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from ncscope.data.files import FileLoader, inspect_files
from ncscope.data.folders import Listing, list_folder
from ncscope.data.tables import list_table
from ncscope.errors import DataError, shown


@dataclass(frozen=True, eq=False)
class ImageSet:
    """N labelled images of K classes that are loaded one by one.

    `load` must be picklable where images are decoded in worker processes: a function of a module
    or a frozen dataclass with `__call__`, not a lambda.
    """

    name: str  # what the user asked for, for provenance
    classnames: tuple[str, ...]  # index = label
    labels: tuple[int, ...]  # one an image, -1 unknown
    items: tuple[str, ...]  # what identifies an image in messages: its path relative to the root
    digest: str  # of everything that decides the content: see `image_digest`
    load: Callable[[int], Image.Image]  # RGB; DataError names the item that is no readable image
    part: str | None = None  # "train", "val", "test"; None: the data are not divided
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.labels) != len(self.items):
            raise DataError(
                f"{self.name}: {len(self.labels)} labels for {len(self.items)} images; "
                f"expected one label an image"
            )
        low, high = min(self.labels, default=0), max(self.labels, default=0)
        if self.labels and (low < -1 or high >= len(self.classnames)):
            raise DataError(
                f"{self.name}: labels {low}..{high}; expected 0..{len(self.classnames) - 1} for "
                f"{len(self.classnames)} classes, or -1 where unknown"
            )

    def __len__(self) -> int:
        return len(self.items)


def image_digest(
    classnames: Sequence[str],
    items: Sequence[str],
    labels: Sequence[int],
    contents: Sequence[str],
) -> str:
    """Return the sha256 of class names, item names, labels and contents, in their order.

    `contents` holds one digest an image, of its size and bytes. The folder the images lie in is
    not hashed: data that were moved or copied keep their digest.
    """
    digest = hashlib.sha256(json.dumps(["ncscope images 1", *classnames]).encode())
    for row in zip(items, labels, contents, strict=True):
        digest.update(json.dumps(row).encode())
    return digest.hexdigest()


def open_images(
    spec: str | Path,
    *,
    part: str | None = None,
    classnames: Sequence[str] | None = None,
    skip_bad: bool = False,
) -> ImageSet:
    """Open a folder of class folders, a folder of parts of such, or a `.csv` table.

    Classes are in natural order of their names (`class2` before `class10`), images in natural
    order of their paths, whatever the file system says. A class without images keeps its label
    and is a warning.

    Args:
        spec: a folder or a `.csv` file; `ncscope.data.folders` and `.tables` say what they hold.
        part: `train`, `val` or `test`. None takes `test` where the data are divided, else `val`,
            else `train`, and everything where they are not.
        classnames: what the labels of a table without class names mean; not used otherwise
            (`ncscope.data.classes.reorder_classes` brings a set into another class order).
        skip_bad: leave out files that are no image, with a warning, instead of refusing the set.

    Raises:
        DataError: nothing there, no classes, no images, files that are no images.
    """
    _check_text("the path", [str(spec)])
    root = Path(spec)
    if root.is_dir():
        listing = list_folder(root, part=part)
    elif root.suffix.lower() == ".csv" and root.is_file():
        listing = list_table(root, part=part, classnames=classnames)
    elif root.exists():
        raise DataError(f"{spec}: expected a folder of class folders or a .csv file, got a file")
    else:
        raise DataError(f"{spec}: no such folder or file")
    _check_text(f"{spec}: the class name", listing.classnames)
    return _image_set(str(spec), listing, skip_bad=skip_bad)


def _check_text(what: str, texts: Sequence[str]) -> None:
    """Refuse names that are bytes of another encoding: no message or file could hold them."""
    for text in texts:
        if any(0xD800 <= ord(letter) < 0xE000 for letter in text):
            raise DataError(f"{what} {text!a} is not UTF-8; rename it")


def _image_set(name: str, listing: Listing, *, skip_bad: bool) -> ImageSet:
    """The images of a listing: looked at, hashed, those that are none refused or left out."""
    checked = inspect_files(listing.paths)
    good = [i for i, (readable, _) in enumerate(checked) if readable]
    bad = [
        f"{listing.items[i]} ({reason})" if reason else listing.items[i]
        for i, (readable, reason) in enumerate(checked)
        if not readable
    ]
    if bad and not skip_bad:
        raise DataError(refusal_of_bad(name, bad, len(checked)))
    if not good:
        raise DataError(f"{name}: none of the {len(checked)} files is a readable image")
    labels = tuple(listing.labels[i] for i in good)
    items = tuple(listing.items[i] for i in good)
    notes = [*listing.warnings, *_wordnet_ids(listing.classnames)]
    if bad:
        notes.append(f"left out {len(bad)} unreadable file(s): {shown(bad)}")
    contents = [checked[i][1] for i in good]
    return ImageSet(
        name=name,
        classnames=listing.classnames,
        labels=labels,
        items=items,
        digest=image_digest(listing.classnames, items, labels, contents),
        load=FileLoader(tuple(str(listing.paths[i]) for i in good), items),
        part=listing.part,
        warnings=(*notes, *note_of_empty(listing.classnames, labels)),
    )


def refusal_of_bad(name: str, bad: Sequence[str], total: int) -> str:
    """The line that refuses a data set with unreadable images."""
    return (
        f"{name}: {len(bad)} of {total} files cannot be read as images: {shown(bad)}; "
        f"remove them; analyze and extract leave them out with --skip-bad (skip_bad=True)"
    )


def _wordnet_ids(classnames: Sequence[str]) -> tuple[str, ...]:
    if not all(re.fullmatch(r"n\d{8}", name) for name in classnames):
        return ()
    return (
        f"the class names are WordNet ids ({classnames[0]}, …), which tell a text encoder nothing; "
        f"ImageNet is read with its names as imagenet:ROOT, other data under names of folders",
    )


def note_of_empty(classnames: Sequence[str], labels: Sequence[int]) -> tuple[str, ...]:
    """Says which classes have no image."""
    empty = sorted(set(range(len(classnames))) - set(labels))
    if not empty:
        return ()
    return (f"{len(empty)} class(es) without images: {shown([classnames[k] for k in empty])}",)


def subset(images: ImageSet, rows: Sequence[int]) -> ImageSet:
    """Keep the images at `rows`, in the order of `rows`; classes and labels stay.

    Raises:
        DataError: a row that is not there.
    """
    rows = tuple(rows)
    if rows and not 0 <= min(rows) <= max(rows) < len(images):
        raise DataError(
            f"{images.name}: rows {min(rows)}..{max(rows)} asked for; expected 0..{len(images) - 1}"
        )
    labels = tuple(images.labels[row] for row in rows)
    return replace(
        images,
        labels=labels,
        items=tuple(images.items[row] for row in rows),
        digest=derived_digest(images.digest, "subset", rows, labels),
        load=narrowed(images.load, rows),
    )


@dataclass(frozen=True)
class Subset:
    """Loads the images of a selection. Picklable if `load` is."""

    load: Callable[[int], Image.Image]
    kept: tuple[int, ...]

    def __call__(self, index: int) -> Image.Image:
        return self.load(self.kept[index])


def narrowed(
    load: Callable[[int], Image.Image], rows: tuple[int, ...]
) -> Callable[[int], Image.Image]:
    """A loader of the images at `rows` that holds no more than it needs.

    Worker processes get a copy each: 16 shots of ImageNet shall not carry 1.28 million paths.
    """
    if isinstance(load, FileLoader):
        return FileLoader(
            tuple(load.paths[row] for row in rows), tuple(load.items[row] for row in rows)
        )
    if isinstance(load, Subset):
        return Subset(load.load, tuple(load.kept[row] for row in rows))
    return Subset(load, rows)


def derived_digest(digest: str, *steps: object) -> str:
    """The digest of a set made from another by the named steps."""
    return hashlib.sha256(json.dumps([digest, *steps]).encode()).hexdigest()
