"""Known data sets without their split file: all images of their class folders, in one part.

Only where the folders alone say which class an image is of and what the class is called. The
other data sets need their split file.
"""

from pathlib import Path

from ncscope.data.folders import Listing, list_folder
from ncscope.data.known import KnownData
from ncscope.errors import DataError

LEFT_OUT = {"Caltech101": ("BACKGROUND_Google", "Faces_easy")}  # no class, and one twice
RENAMED: dict[str, dict[str, str]] = {
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


def list_class_folders(known: KnownData, home: Path, *, part: str | None) -> Listing:
    """List every image; classes in the byte order of their folders, called as CoOp calls them.

    Raises:
        DataError: a part is asked for, or the data set is not one of class folders.
    """
    if known.name not in RENAMED or part is not None or not (home / known.images).is_dir():
        raise DataError(missing_split(known, home))
    whole = list_folder(home / known.images, part=None)
    left_out = LEFT_OUT.get(known.name, ())
    folders = sorted(name for name in whole.classnames if name not in left_out)
    label_of = {folder: label for label, folder in enumerate(folders)}
    found = [label_of.get(whole.classnames[label]) for label in whole.labels]
    kept = [row for row, label in enumerate(found) if label is not None]
    names = RENAMED[known.name]
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


def missing_split(known: KnownData, home: Path) -> str:
    """The line that says which file is missing and where people get it."""
    return (
        f"{home / known.split_file}: no such file; it divides {known.name} into train, val and "
        f"test. CoOp's DATASETS.md (github.com/KaiyangZhou/CoOp) links it, and "
        f"github.com/linzhiqiu/cross_modal_adaptation has it in `splits/`"
    )
