"""The data sets of the prompt-learning literature, where CoOp's users keep them, and `NAME:ROOT`.

Layout and names are those of CoOp's DATASETS.md: ROOT is the folder that holds all data sets, or
one data set's own folder.
"""

from dataclasses import dataclass
from pathlib import Path

from ncscope.errors import DataError

_WHERE = "the folder that holds the data sets in CoOp's layout, or the data set's own"
_MANYS = ("", "images", "jpg")  # folders of images that tell nothing of whose they are
_OWN_MARK = {"lists": "variants.txt", "imagenet": "images/val"}


@dataclass(frozen=True)
class KnownData:
    """Where one data set's files are, relative to the folder that holds all data sets.

    `listing` says what lists the images: a `split` file; `train/` and `val/` of ImageNet's
    folders; those `folders` alone; folders by `number`; or Aircraft's own `lists`.
    """

    name: str  # as CoOp's configurations and tables of templates have it
    folder: str
    images: str = ""  # relative to `folder`; "" is the folder itself
    listing: str = "split"
    aliases: tuple[str, ...] = ()
    whole: bool = True  # has every class of its `classnames.txt`

    @property
    def split_file(self) -> str:
        return f"split_zhou_{self.name}.json"


KNOWN = (
    KnownData("Caltech101", "caltech-101", "101_ObjectCategories"),
    KnownData("OxfordPets", "oxford_pets", "images", aliases=("pets",)),
    KnownData("StanfordCars", "stanford_cars", aliases=("cars",)),
    KnownData("OxfordFlowers", "oxford_flowers", "jpg", aliases=("flowers102", "flowers")),
    KnownData("Food101", "food-101", "images"),
    KnownData("FGVCAircraft", "fgvc_aircraft", "images", "lists", aliases=("aircraft",)),
    KnownData("SUN397", "sun397", "SUN397"),
    KnownData("DescribableTextures", "dtd", "images", aliases=("dtd",)),
    KnownData("EuroSAT", "eurosat", "2750"),
    KnownData("UCF101", "ucf101", "UCF-101-midframes"),
    KnownData("ImageNet", "imagenet", "images", "imagenet", aliases=("imagenet1k",)),
    KnownData("ImageNetV2", "imagenetv2", "imagenetv2-matched-frequency-format-val", "numbered"),
    KnownData("ImageNetSketch", "imagenet-sketch", "images", "folders"),
    KnownData(
        "ImageNetA",
        "imagenet-adversarial",
        "imagenet-a",
        "folders",
        aliases=("imagenet-adversarial",),
        whole=False,
    ),
    KnownData(
        "ImageNetR",
        "imagenet-rendition",
        "imagenet-r",
        "folders",
        aliases=("imagenet-rendition",),
        whole=False,
    ),
)


def is_named(spec: str) -> bool:
    """Whether DATA looks like NAME:ROOT: a word, no drive letter, a colon, and no path that is."""
    name, colon, _ = spec.partition(":")
    plain = plain_name(name)
    return bool(colon) and len(plain) > 1 and plain.isalnum() and not _exists(spec)


def parse_known(spec: str | Path) -> tuple[KnownData, Path] | None:
    """Split `NAME:ROOT` of a known data set; None where DATA is something else.

    Names are matched without case, `-`, `_` and spaces: `imagenet-r`, `ImageNetR`. A path that
    exists is a path, whatever it is called.
    """
    name, colon, root = str(spec).partition(":")
    known = _by_name().get(plain_name(name))
    if known is None or not colon or _exists(spec):
        return None
    if not root:
        raise DataError(f"{spec}: no folder after the colon; expected {name}:ROOT, {_WHERE}")
    return known, Path(root).expanduser()


def home_of(known: KnownData, root: Path) -> Path:
    """The data set's own folder: `root`'s folder of its name, or `root` itself.

    Raises:
        DataError: neither is there.
    """
    if (root / known.folder).is_dir():
        return root / known.folder
    marks = [known.split_file, *([known.images] if known.images not in _MANYS else [])]
    if known.listing in _OWN_MARK:
        marks = [_OWN_MARK[known.listing]]
    if root.is_dir() and (
        root.resolve().name == known.folder or any((root / mark).exists() for mark in marks)
    ):
        return root
    found = "no such folder" if not root.is_dir() else f"no folder {known.folder}/ in it"
    raise DataError(f"{root}: {found}; expected {_WHERE}, {known.folder}/ for {known.name}")


def name_of_known(name: str) -> str:
    """The tables' spelling of a known data set's name: `OxfordPets` for `pets` or `oxford_pets`.

    Raises:
        DataError: an unknown name.
    """
    known = _by_name().get(plain_name(name))
    if known is None:
        names = ", ".join(one.name for one in KNOWN)
        raise DataError(f"{name!r} is no data set with a template of its own; there are {names}")
    return known.name


def one_name(name: str) -> str:
    """One name for all of a known data set's: its folder, `oxford_pets` for `pets`."""
    known = _by_name().get(plain_name(name))
    return name.lower() if known is None else known.folder


def _by_name() -> dict[str, KnownData]:
    return {plain_name(name): known for known in KNOWN for name in (known.name, *known.aliases)}


def plain_name(name: str) -> str:
    """A name without what its spellings differ in: case, `-`, `_` and spaces."""
    return "".join(letter for letter in name.casefold() if letter not in "-_ ")


def _exists(spec: str | Path) -> bool:
    try:
        return Path(spec).exists()
    except (OSError, ValueError):  # longer than a path can be
        return False
