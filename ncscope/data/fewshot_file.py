"""Few-shot lists that others drew: CoOp's pickles and JSON indices, read as data.

CoOp keeps `split_fewshot/shot_16-seed_1.pkl`, pickled `Datum` objects with the absolute paths of
the machine it ran on. The JSON indices hold `impath`, `label` and `classname`. Paths are taken
from the data set's folder on; nothing of a pickle is imported or called.
"""

from pathlib import Path
from typing import Any

from ncscope.data.folders import Listing
from ncscope.data.images import ImageSet
from ncscope.data.known import KnownData
from ncscope.data.lists import Row, checked_row, listed_images, names_of_labels, read_json
from ncscope.data.open_known import find_known
from ncscope.errors import DataError, shown
from ncscope.opening import open_regular
from ncscope.pickles.objects import MalformedError, Record, StorageRef
from ncscope.pickles.reading import Bounded, read_pickle


def open_few_shot(
    spec: str,
    path: str | Path | None = None,
    *,
    shots: int = 16,
    seed: int = 1,
    part: str = "train",
    skip_bad: bool = False,
) -> ImageSet:
    """Open the images that a few-shot list names, in its order.

    Give the set to `draw_training(..., listed=True)` for base or new classes and long tails.

    Args:
        spec: `NAME:ROOT`, as for `open_known`.
        path: a `.pkl` or `.json` list. None takes the one CoOp's code has kept for `shots` and
            `seed` below the data set's folder.
        part: `train`, or `val` where the list has it.

    Raises:
        DataError: no such list, or not of this form; images that are missing.
    """
    known, home = find_known(spec)
    default = home / "split_fewshot" / f"shot_{shots}-seed_{seed}.pkl"
    file = default if path is None else Path(path)
    content = read_json(file) if file.suffix.lower() == ".json" else _read_pickle(file)
    entries = content.get(part)
    if isinstance(entries, dict):
        entries = entries.get("data")
    if not isinstance(entries, list) or not entries:
        found = shown([repr(str(key)[:40]) for key in content]) or "nothing"
        raise DataError(f"{file}: no images of part `{part}`; it has {found}")
    rows = [_row(f"{file}: {part}[{i}]", entry, known) for i, entry in enumerate(entries)]
    listing = Listing(
        classnames=names_of_labels(str(file), rows),
        paths=tuple(home / known.images / row[0] for row in rows),
        items=tuple(row[0] for row in rows),
        labels=tuple(row[1] for row in rows),
        part=part,
    )
    return listed_images(f"{spec} ({file.name})", listing, skip_bad=skip_bad)


def _read_pickle(path: Path) -> dict[Any, Any]:
    try:
        size = path.stat().st_size
        with open_regular(path) as file:
            content, _ = read_pickle(Bounded(file, size), _no_tensors, records=frozenset({"Datum"}))
    except FileNotFoundError:
        raise DataError(f"{path}: no such few-shot list") from None
    except (OSError, MalformedError) as error:
        raise DataError(f"{path}: cannot be read as a pickled few-shot list ({error})") from None
    if not isinstance(content, dict):
        raise DataError(f"{path}: expected the parts train and val of a few-shot list")
    return content


def _no_tensors(_: object) -> StorageRef:
    raise MalformedError("a tensor in it, where image paths were expected")


def _row(where: str, entry: object, known: KnownData) -> Row:
    """Path relative to the images' folder, label and class name of a `Datum` or a JSON object."""
    if isinstance(entry, Record):
        entry = {str(key).removeprefix("_"): value for key, value in entry.attributes.items()}
    if not isinstance(entry, dict):
        raise DataError(f"{where}: expected an image's path, label and class name")
    path = entry.get("impath")
    if isinstance(path, str):
        path = _rerooted(path.replace("\\", "/"), known)
    return checked_row(where, path, entry.get("label"), entry.get("classname"))


def _rerooted(path: str, known: KnownData) -> str:
    """What follows the data set's folder and its images' in a path of another machine."""
    whole = "/".join(filter(None, (known.folder, known.images)))
    for marker in filter(None, (whole, known.images)):
        _, found, after = f"/{path}".rpartition(f"/{marker}/")
        if found:
            return after
    return path.removeprefix("./")
