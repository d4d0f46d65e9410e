"""ImageNet and its four variants: folders by WordNet name or by number, named in `classnames.txt`.

CoOp takes the images of a class in the order in which the file system lists them; here they are
sorted. A few-shot draw of ImageNet is therefore not CoOp's: its few-shot files tell what that was.
"""

import os
from pathlib import Path

from ncscope.data.folders import Listing, stray
from ncscope.data.known import KnownData
from ncscope.errors import DataError, brief, shown
from ncscope.opening import read_text


def list_imagenet(known: KnownData, home: Path, *, part: str | None) -> Listing:
    """List ImageNet's or a variant's images, classes in the order of their folders.

    ImageNet's own validation images are its test part, as in all that is published; there is no
    other validation part. The variants are test sets: A and R have 200 classes, the others 1000.

    Raises:
        DataError: another part, no `classnames.txt` or one that does not fit the folders, folders
            of classes that are missing where the data set has all.
    """
    parts = ("train", "test") if known.listing == "imagenet" else ("test",)
    chosen = part or "test"
    if chosen not in parts:
        hint = "; its validation images are the test part" if len(parts) > 1 else ""
        raise DataError(f"{known.name}: no part `{chosen}`; it has {', '.join(parts)}{hint}")
    folder = home / known.images
    if known.listing == "imagenet":
        folder /= "train" if chosen == "train" else "val"
    name_of = read_synsets(_classnames_file(home))
    places = _class_folders(folder)
    if known.listing == "numbered":
        names = _names_of_numbers(folder, places, tuple(name_of.values()))
        places.sort(key=int)
    else:
        names = _names_of_synsets(folder, places, name_of, whole=known.whole)
    rows = [
        (f"{place}/{name}", label)
        for label, place in enumerate(places)
        for name in _names_in(folder / place, folders=False)
    ]
    return Listing(
        classnames=names,
        paths=tuple(folder / item for item, _ in rows),
        items=tuple(item for item, _ in rows),
        labels=tuple(label for _, label in rows),
        part=chosen,
    )


def _classnames_file(home: Path) -> Path:
    """The data set's `classnames.txt`, or that of ImageNet beside it: they are the same file."""
    beside = [home.parent / "imagenet", home.resolve().parent / "imagenet"]  # ROOT may be `.`
    places = [folder / "classnames.txt" for folder in (home, *beside)]
    for path in places:
        if path.is_file():
            return path
    raise DataError(
        f"{places[0]}: no such file; it names the classes (`n01440764 tench`, …): CoOp's "
        f"DATASETS.md (github.com/KaiyangZhou/CoOp) links it, under ImageNet"
    )


def read_synsets(path: Path) -> dict[str, str]:
    """Class names by folder, in the file's order: lines such as `n01440764 tench`."""
    try:
        lines = read_text(path, encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as folders and class names ({error})") from None
    name_of: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        folder, _, name = line.strip().partition(" ")
        if not folder:
            continue
        if not name.strip() or folder in name_of:
            raise DataError(
                f"{path}: line {number} is {line[:60]!r}; expected a folder, named once, and its "
                f"class name, as in `n01440764 tench`"
            )
        name_of[folder] = name.strip()
    if not name_of:
        raise DataError(f"{path}: no class names in it")
    return name_of


def _class_folders(folder: Path) -> list[str]:
    found = _names_in(folder, folders=True)
    if found:
        return found
    files = _names_in(folder, folders=False)
    hint = f"; its {len(files)} files, {brief(files[0])} among them," if files else "; the images"
    raise DataError(
        f"{folder}: no folders of classes in it{hint} belong in a folder a class, as "
        f"n01440764/: docs/paper.md has the commands"
    )


def _names_in(folder: Path, *, folders: bool) -> list[str]:
    """Names of the folders, or of the files, in a folder, sorted; stray ones passed over."""
    try:
        with os.scandir(folder) as entries:
            seen = [entry.name for entry in entries if entry.is_dir() == folders]
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise DataError(f"{folder}: expected a folder of class folders ({reason})") from None
    return sorted(name for name in seen if not stray(name))


def _names_of_numbers(folder: Path, places: list[str], names: tuple[str, ...]) -> tuple[str, ...]:
    """ImageNetV2: folder `i` holds class i in the order of `classnames.txt`."""
    wanted, there = [str(label) for label in range(len(names))], set(places)
    if there != set(wanted):
        missing = [place for place in wanted if place not in there]
        lack = f"{len(missing)} are missing: {shown(missing)}" if missing else "none is missing"
        raise DataError(
            f"{folder}: expected the folders 0..{len(names) - 1}, one a line of classnames.txt; "
            f"got {len(places)} folders, {brief(places[0])} among them, and {lack}"
        )
    return names


def _names_of_synsets(
    folder: Path, places: list[str], name_of: dict[str, str], *, whole: bool
) -> tuple[str, ...]:
    unknown = [place for place in places if place not in name_of]
    if unknown:
        raise DataError(
            f"{folder}: {len(unknown)} of {len(places)} folders are not in classnames.txt: "
            f"{shown([ascii(place)[1:-1] for place in unknown])}"
        )
    there = set(places)
    missing = [place for place in name_of if place not in there]
    if whole and missing:
        raise DataError(
            f"{folder}: {len(missing)} of {len(name_of)} class folders are missing: "
            f"{shown(missing)}; expected one a line of classnames.txt: unpack the rest"
        )
    return tuple(name_of[place] for place in places)
