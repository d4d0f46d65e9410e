"""Parts 1 and 4 of docs/real-study.md: which measure goes with zero-shot accuracy, and predicts it.

    python benchmarks/real_observe.py tasks ROOT      # ROOT of benchmarks/real_tasks.py
    python benchmarks/real_observe.py classes DATA    # DATA of benchmarks/real_tasks.py
    python benchmarks/real_observe.py sets FILE       # texts of whole data sets: text_vitb16.npz
    python benchmarks/real_observe.py images DATA     # images of whole data sets, four a class

Every table says over what it is taken, with 95 % intervals of a bootstrap of whole tasks, of groups
of classes, or of data sets. Images that measure never judge, but where a column says "same images".
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from real_tasks import DRAWS, related, unit

import ncscope
from ncscope.comparison import correlation as correlations
from ncscope.comparison.paired import group_weights, paired

MEASURES = {  # its name in the tables: its name in metrics.json, and whether images enter it
    "ETF distance, text, centred": ("etf_distance/text/centred", False),
    "Δ LCD, raw": ("delta_lcd/cosine/raw", False),
    "Δ LCD, centred": ("delta_lcd/cosine/centred", False),
    "nearest text cosine, raw": ("nearest_cosine/text/raw", False),
    "nearest text cosine, centred": ("nearest_cosine/text/centred", False),
    "effective rank, text": ("effective_rank/text/centred", False),
    "Δ MID, raw": ("delta_mid/cosine/raw", True),
    "Δ MID, centred": ("delta_mid/cosine/centred", True),
    "modality gap": ("modality_gap", True),
    "NC1": ("nc1/default", True),
    "CDNV": ("cdnv", True),
    "NC2 equiangular, image": ("equiangular/image/centred", True),
    "NC3": ("nc3/centred", True),
    "effective rank, image": ("effective_rank/image/centred", True),
}
# Zero-shot top-1 of CLIP ViT-B/16 with "a photo of a {}.", in per cent (Shu et al., Test-Time
# Prompt Tuning, arXiv:2209.07511, tables 1 and 2). The text features are of written descriptions.
PUBLISHED = {
    "ImageNet": 66.73, "ImageNetA": 47.87, "ImageNetR": 73.98, "OxfordFlowers": 67.44,
    "DescribableTextures": 44.27, "OxfordPets": 88.25, "StanfordCars": 65.48, "UCF101": 65.13,
    "Caltech101": 93.35, "Food101": 83.65, "SUN397": 62.59, "FGVCAircraft": 23.67, "EuroSAT": 42.01,
}  # fmt: skip
# Top-1 of CoOp with 16 images a class, ViT-B/16 (Zanella and Ben Ayed, CLIP-LoRA,
# arXiv:2405.18541, where the mean of the eleven is given as 79.9).
TUNED = {
    "ImageNet": 71.9, "SUN397": 74.9, "FGVCAircraft": 43.2, "EuroSAT": 85.0, "StanfordCars": 82.9,
    "Food101": 84.2, "OxfordPets": 92.0, "OxfordFlowers": 96.8, "Caltech101": 95.8,
    "DescribableTextures": 69.7, "UCF101": 83.1,
}  # fmt: skip
IMAGE_SETS = {  # files of DATA whose first four images a class are measured, and those that judge
    "caltech101": "train16shots", "dtd": "val", "fgvc": "train16shots",
    "oxford_flowers": "train16shots", "oxford_pets": "train16shots", "ucf101": "train16shots",
}  # fmt: skip
DRAWN = 2000


Labelled = tuple[np.ndarray, np.ndarray]  # (N, D) images and their (N,) labels


def measured(
    text: np.ndarray, image: np.ndarray | None = None, label: np.ndarray | None = None
) -> dict[str, Any]:
    """The record of `ncscope analyze` without intervals."""
    features = ncscope.Features(
        image=None if image is None else torch.from_numpy(image.astype(np.float32)),
        label=None if label is None else torch.from_numpy(label),
        text=torch.from_numpy(text.astype(np.float32)),
        logit_scale=torch.tensor(100.0),
        classnames=tuple(map(str, range(len(text)))),
    )
    record = ncscope.measure(features, bootstrap=0).record
    raw = unit(text)
    for form, some in (("raw", raw), ("centred", unit(raw - raw.mean(axis=0)))):
        record["measures"][f"nearest_cosine/text/{form}"] = float(nearest(some).mean())
    return record


def correlation(first: np.ndarray, second: np.ndarray, groups: np.ndarray | None = None) -> str:
    """Spearman's ρ with the interval of a bootstrap over rows, or over whole groups of them."""
    member = np.unique(np.arange(len(first)) if groups is None else groups, return_inverse=True)[1]
    weights = group_weights(member.max() + 1, replicates=DRAWN, seed=0)[:, member]
    low, high = np.nanpercentile(correlations.spearman(first, second, weights), [2.5, 97.5])
    (value,) = correlations.spearman(first, second, np.ones((1, len(first))))
    sure = "**" if low > 0 or high < 0 else ""
    return f"{sure}{value:+.2f}{sure} [{low:+.2f}, {high:+.2f}]".replace("-", "−")


def table(title: str, head: list[str], rows: list[list[str]]) -> None:
    print(f"\n{title}\n\n| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")


def tasks(root: Path) -> None:
    """Between the twenty disjoint tasks of a kind: measured on four images a class."""
    found: dict[str, list[dict[str, float]]] = {}
    for path in sorted(root.glob("*/*.npz")):
        arrays = np.load(path)
        there, *judge = ((arrays[f"image_{split}"], arrays[f"label_{split}"]) for split in DRAWS)
        numbers = measured(arrays["text"], *there)["measures"]
        image, label = (np.concatenate(some) for some in zip(*judge, strict=True))
        others = image, label
        numbers["held out"] = measured(arrays["text"], *others)["measures"]["accuracy/top1"]
        numbers["tuned"] = cached(arrays["text"], there, others)
        found.setdefault(path.parent.name, []).append(numbers)
    column = {kind: columns(numbers) for kind, numbers in found.items()}
    for kind, of in column.items():
        scores = 100 * of["held out"]
        print(
            f"{kind}: {len(scores)} tasks, accuracy {scores.mean():.1f} ± {scores.std(ddof=1):.1f}"
        )
    rows = []
    for name, (key, image) in MEASURES.items():
        held = [correlation(of[key], of["held out"]) for of in column.values()]
        same = [
            correlation(of[key], of["accuracy/top1"]) if image else "" for of in column.values()
        ]
        rows.append([name, *held, *same])
    table(
        "ρ with accuracy between tasks of one kind (measure: 4 images a class; accuracy: 3 others)",
        ["measure", *found, *(f"{kind}, same images" for kind in found)],
        rows,
    )
    for kind, of in column.items():
        values = {name: of[key] for name, (key, _) in MEASURES.items()}
        predictions(f"Zero-shot accuracy of {kind} tasks", values, of["held out"])
        predictions(f"Accuracy of {kind} tasks with the cache", values, of["tuned"])


def cached(text: np.ndarray, few: Labelled, others: Labelled) -> float:
    """Accuracy on other images with Tip-Adapter's cache of few, untrained (α 1.17, β 1)."""
    keys, image = unit(few[0]), unit(others[0])
    near = np.exp(-(1 - image @ keys.T)) @ (few[1][:, None] == np.arange(len(text)))
    return float(((100 * image @ unit(text).T + 1.17 * near).argmax(axis=1) == others[1]).mean())


def columns(numbers: list[dict[str, float]]) -> dict[str, np.ndarray]:
    names = ["held out", "tuned", "accuracy/top1", *(key for key, _ in MEASURES.values())]
    return {name: np.array([some[name] for some in numbers]) for name in names}


def predictions(title: str, values: dict[str, np.ndarray], accuracy: np.ndarray) -> None:
    """Each task or data set predicted by a line through all others: mean absolute error, points."""
    rest = [np.delete(np.arange(len(accuracy)), k) for k in range(len(accuracy))]
    base = np.array([abs(accuracy[some].mean() - accuracy[k]) for k, some in enumerate(rest)])
    rows = [["the mean of the others", f"{100 * base.mean():.1f}", ""]]
    for name, value in values.items():
        lines = [np.polynomial.Polynomial.fit(value[some], accuracy[some], 1) for some in rest]
        error = np.array([abs(line(value[k]) - accuracy[k]) for k, line in enumerate(lines)])
        low, high = interval(error - base)
        less = f"{100 * (error - base).mean():+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
        rows.append([name, f"{100 * error.mean():.1f}", less.replace("-", "−")])
    head = ["from", "points", "less the mean's [95 %]"]
    table(f"{title}, one left out: mean absolute error", head, rows)


def interval(differences: np.ndarray) -> tuple[float, float]:
    """95 % of the mean of differences, each of a task or data set of its own."""
    found = paired(differences.tolist(), range(len(differences)))
    assert found.low is not None
    assert found.high is not None
    return found.low, found.high


def classes(data: Path) -> None:
    """Between ImageNet's classes: its own numbers and its accuracy on other images."""
    images, texts = (np.load(data / f"imagenet_{name}.npz") for name in ("7shot", "text"))
    image, label, there = images["image"], images["label"], images["drawn_in"] == 4
    text = texts["text"].astype(np.float32)
    first = measured(text, image[there], label[there])["per_class"]
    second = measured(text, image[~there], label[~there])["per_class"]
    accuracy = np.array([row["accuracy"] for row in second])
    same = np.array([row["accuracy"] for row in first])
    groups = np.empty(len(text), dtype=int)
    for number, group in enumerate(related(unit(texts["text_other"]))):
        groups[group] = number
    raw = unit(text)
    centred = unit(raw - raw.mean(axis=0))
    own = np.array([row["cosine"] for row in first])
    of_text = {
        "text: mean cosine to all others, raw": (raw @ raw.T).mean(axis=1),
        "text: cosine to the nearest, raw": nearest(raw),
        "text: cosine to the nearest, centred": nearest(centred),
    }
    of_images = {
        "cosine of its text and images (1 − its Δ MID), raw": own,
        "the same, centred": np.array([row["cosine_centred"] for row in first]),
        "its margin over the nearest other text": own - next_best(raw, image[there], label[there]),
        "variance of its images": np.array([row["variance"] for row in first]),
        "its NC1": np.array([row["nc1"] for row in first]),
    }
    table(
        "ρ with a class's accuracy, 1000 classes (measure: 4 images; accuracy: 3 others)",
        ["of the class", "ρ [95 %, 20 groups]", "same images"],
        [[name, correlation(value, accuracy, groups), ""] for name, value in of_text.items()]
        + [
            [name, correlation(value, accuracy, groups), correlation(value, same, groups)]
            for name, value in of_images.items()
        ],
    )


def nearest(rows: np.ndarray) -> np.ndarray:
    return (rows @ rows.T - 2 * np.eye(len(rows))).max(axis=1)


def next_best(text: np.ndarray, image: np.ndarray, label: np.ndarray) -> np.ndarray:
    rows = unit(image)
    means = unit(np.stack([rows[label == k].mean(axis=0) for k in range(len(text))]))
    return (means @ text.T - 4 * np.eye(len(text))).max(axis=1)


def sets(file: Path) -> None:
    """Between data sets: text features alone against published zero-shot accuracies."""
    arrays = np.load(file)
    names = [name for name in PUBLISHED if name in arrays.files]
    records = [measured(arrays[name])["measures"] for name in names]
    accuracy = np.array([PUBLISHED[name] / 100 for name in names])
    size = np.array([len(arrays[name]) for name in names], dtype=float)
    of_text = {name: key for name, (key, image) in MEASURES.items() if not image}
    values = {name: np.array([row[key] for row in records]) for name, key in of_text.items()}
    rows = [
        [name, correlation(value, accuracy), fixed(value, accuracy, size)]
        for name, value in values.items()
    ]
    table(
        f"ρ with published zero-shot accuracy between {len(names)} data sets (texts alone)",
        ["measure", "ρ", "number of classes held fixed"],
        [["K", correlation(size, accuracy), ""], *rows],
    )
    values = {"K": size, "log K": np.log(size), **values}
    predictions("Zero-shot accuracy of data sets", values, accuracy)
    kept = np.array([name in TUNED for name in names])
    tuned = np.array([TUNED[name] / 100 for name in names if name in TUNED])
    few = {name: value[kept] for name, value in values.items()}
    predictions("Accuracy of data sets after CoOp with 16 images a class", few, tuned)


def images(data: Path) -> None:
    """Between data sets: four images a class against the class means' accuracy on test images."""
    parts = {name: [np.load(data / f"{name}_{part}.npz") for part in (of, "test")]
             for name, of in IMAGE_SETS.items()}  # fmt: skip
    sides = {name: [(some["image"], some["label"]) for some in pair]
             for name, pair in parts.items()}  # fmt: skip
    whole = np.load(data / "imagenet_7shot.npz")
    four = whole["drawn_in"] == 4
    sides["imagenet"] = [(whole["image"][some], whole["label"][some]) for some in (four, ~four)]
    found, accuracy, size = [], [], []
    for name, (few, test) in sides.items():
        rows = np.concatenate([np.flatnonzero(few[1] == k)[:4] for k in range(few[1].max() + 1)])
        image, label = unit(few[0][rows]), few[1][rows]
        means = unit(np.stack([image[label == k].mean(axis=0) for k in range(label.max() + 1)]))
        found.append(measured(means, image, label)["measures"])
        accuracy.append(float(((unit(test[0]) @ means.T).argmax(axis=1) == test[1]).mean()))
        size.append(float(len(means)))
        print(f"{name}: {len(means)} classes, {100 * accuracy[-1]:.1f} % by the means of four")
    keys = ("NC1", "CDNV", "NC2 equiangular, image", "effective rank, image")
    values = {name: np.array([row[MEASURES[name][0]] for row in found]) for name in keys}
    nearest_mean = [row["nearest_cosine/text/raw"] for row in found]  # the means stood for the text
    values = {"K": np.array(size), "log K": np.log(size), **values,
              "nearest class mean's cosine": np.array(nearest_mean)}  # fmt: skip
    rows = [[name, correlation(value, np.array(accuracy))] for name, value in values.items()]
    table("ρ with the accuracy of class means, between data sets", ["measure", "ρ"], rows)
    predictions("Accuracy of class means", values, np.array(accuracy))


def fixed(value: np.ndarray, accuracy: np.ndarray, size: np.ndarray) -> str:
    """Partial Spearman's ρ, the number of classes held fixed."""
    (found,) = correlations.partial_spearman(value, accuracy, size, np.ones((1, len(size))))
    return f"{found:+.2f}".replace("-", "−")


if __name__ == "__main__":
    {"tasks": tasks, "classes": classes, "sets": sets, "images": images}[sys.argv[1]](
        Path(sys.argv[2])
    )
