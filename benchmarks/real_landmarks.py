"""The landmarks of docs/real-study.md: the measures of CLIP as it is, to read one's own by.

    python benchmarks/real_landmarks.py DATA ROOT FILE

DATA and ROOT are those of benchmarks/real_tasks.py, FILE the texts of whole data sets. Means and
ranges over twenty tasks of fifty classes, with all seven images a class, and over thirteen lists.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from real_observe import MEASURES, PUBLISHED, measured, table

SHOWN = {"accuracy": "accuracy/top1", **{name: key for name, (key, _) in MEASURES.items()}}
IDEAL = {
    "accuracy": "1", "ETF distance, text, centred": "0", "Δ LCD, raw": "0", "Δ LCD, centred": "0",
    "nearest text cosine, raw": "−1/(K−1)", "nearest text cosine, centred": "−1/(K−1)",
    "effective rank, text": "K − 1", "Δ MID, raw": "0", "Δ MID, centred": "0",
    "modality gap": "0", "NC1": "0", "CDNV": "0", "NC2 equiangular, image": "0", "NC3": "0",
    "effective rank, image": "K − 1",
}  # fmt: skip


def main(data: Path, root: Path, file: Path) -> None:
    images, texts = (np.load(data / f"imagenet_{name}.npz") for name in ("7shot", "text"))
    whole = measured(texts["text"], images["image"], images["label"])["measures"]
    columns: dict[str, list[dict[str, float]]] = {}
    for kind in ("related", "random"):
        for path in sorted((root / kind).glob("*.npz")):
            task = np.load(path)
            image, label = (
                np.concatenate([task[f"{part}_{split}"] for split in ("train", "val", "test")])
                for part in ("image", "label")
            )
            columns.setdefault(kind, []).append(measured(task["text"], image, label)["measures"])
    lists = np.load(file)
    of_text = [measured(lists[name])["measures"] for name in PUBLISHED if name in lists.files]
    rows = []
    for name, key in SHOWN.items():
        text = not (name == "accuracy" or MEASURES[name][1])
        rows.append([name, IDEAL[name], number(whole[key]),
                     *(spread([one[key] for one in columns[kind]]) for kind in columns),
                     spread([one[key] for one in of_text]) if text else ""])  # fmt: skip
    heads = ["measure", "ideal", "ImageNet, 1000 classes", *(f"50 {kind} ones" for kind in columns),
             f"{len(of_text)} lists of texts"]  # fmt: skip
    table("CLIP as it is: ViT-B/32, ViT-B/16 in the last column; mean (least to most)", heads, rows)


def number(value: float) -> str:
    return f"{value:.3g}".replace("-", "−")


def spread(values: Sequence[float]) -> str:
    mean, low, high = (number(float(some)) for some in (np.mean(values), min(values), max(values)))
    return f"{mean} ({low} to {high})"


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
