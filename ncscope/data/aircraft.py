"""FGVC-Aircraft's own text files: `variants.txt` and `images_variant_{train,val,test}.txt`."""

from pathlib import Path

from ncscope.data.folders import Listing
from ncscope.data.lists import safe_path
from ncscope.data.parts import choose_part, note_of_part
from ncscope.errors import DataError


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
        return path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise DataError(
            f"{path}: no such file; it comes with the images, in the folder `data` of "
            f"fgvc-aircraft-2013b"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as lines of text ({error})") from None
