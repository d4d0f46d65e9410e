"""Tasks of docs/real-study.md from real CLIP ViT-B/32 features of ImageNet.

    python benchmarks/real_tasks.py DATA ROOT

DATA is a folder with `imagenet_7shot.npz` (seven image features a class, in three draws) and
`imagenet_text.npz` (two prompt sets). ROOT gets three folders of twenty disjoint tasks of fifty
classes each: `related`, `random` and `mixed`, a feature file a task, with the draw of four images
as `train`, of two as `test` and of one as `val`. Nothing of it belongs into the repository.
"""

import sys
from pathlib import Path

import numpy as np

TASKS, SIZE = 20, 50
DRAWS = {"train": 4, "test": 2, "val": 1}  # split: the images a class that were drawn together


def related(text: np.ndarray) -> np.ndarray:
    """(20, 50) classes, alike in `text`: cut in 2, 2 and 5 along the first principal axis.

    `text` is the prompt set that no task holds, so that the texts that are measured did not choose
    their own company (the two sets are of course alike).
    """
    groups = [np.arange(len(text))]
    for parts in (2, 2, 5):
        groups = [part for group in groups for part in cut(text, group, parts)]
    return np.stack(groups)


def cut(text: np.ndarray, group: np.ndarray, parts: int) -> list[np.ndarray]:
    """`group` in equal parts along the first principal axis of its texts."""
    rows = text[group] - text[group].mean(axis=0)
    axis = np.linalg.svd(rows, full_matrices=False)[2][0]
    return np.split(group[np.argsort(rows @ axis, kind="stable")], parts)


def task_classes(text: np.ndarray) -> dict[str, np.ndarray]:
    """The three kinds of tasks, (20, 50) classes each; within a kind no class comes twice.

    The order within a task is drawn, so that its first half (base) and second (new) are alike.
    """
    draw = np.random.default_rng(0)
    near = draw.permuted(related(text), axis=1)
    others = draw.permutation(near[:, SIZE // 2 :].ravel()).reshape(TASKS, -1)
    mixed = np.concatenate([near[:, : SIZE // 2], others], axis=1)
    return {
        "related": near,
        "random": draw.permutation(len(text)).reshape(TASKS, SIZE),
        "mixed": draw.permuted(mixed, axis=1),
    }


def unit(rows: np.ndarray) -> np.ndarray:
    rows = rows.astype(np.float64)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def main(data: Path, root: Path) -> None:
    images, texts = (np.load(data / f"imagenet_{name}.npz") for name in ("7shot", "text"))
    image, label, drawn = images["image"].astype(np.float32), images["label"], images["drawn_in"]
    text = texts["text"].astype(np.float32)
    for kind, tasks in task_classes(unit(texts["text_other"])).items():
        (root / kind).mkdir(parents=True, exist_ok=True)
        for number, classes in enumerate(tasks):
            place = np.full(len(text), -1)
            place[classes] = np.arange(SIZE)
            arrays = {
                "text": text[classes],
                "classnames": unique(texts["classnames"][classes]),
                "logit_scale": np.float32(100),
            }
            for split, size in DRAWS.items():
                rows = np.flatnonzero((drawn == size) & (place[label] >= 0))
                arrays |= {f"image_{split}": image[rows], f"label_{split}": place[label[rows]]}
            np.savez(root / kind / f"{number:02}.npz", allow_pickle=False, **arrays)


def unique(names: np.ndarray) -> np.ndarray:
    """Names, those that come again with a number: ImageNet has two "missile" and two cardigans."""
    seen: dict[str, int] = {}
    found = []
    for name in map(str, names):
        folded = name.casefold()
        seen[folded] = seen.get(folded, 0) + 1
        found.append(name if seen[folded] == 1 else f"{name} {seen[folded]}")
    return np.array(found)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
