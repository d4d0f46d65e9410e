"""Part 2 of docs/real-study.md: what moving each measure does to accuracy, on the tasks of part 1.

    python benchmarks/real_levers.py ROOT [KIND ...]      # ROOT of benchmarks/real_tasks.py

Every move of `ncscope analyze --intervene`, estimated on four images a class and judged on three
others: once with all classes of a task, and once with the first half (base), where the other half
(new) is judged among itself. Means over the twenty tasks, 95 % of a bootstrap of whole tasks.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from real_observe import interval, table

import ncscope
from ncscope.diagnosis.interventions import intervene

OWN = {  # move: the measure it brings home, in `summary`
    "close_gap": ("modality_gap",), "centre_text": ("delta_lcd", "raw"),
    "centre_images": ("delta_mid", "raw"), "centre_both": ("delta_mid", "raw"),
    "rotate_text": ("delta_mid", "centred"), "snap_text": ("delta_lcd", "centred"),
    "snap_to_images": ("etf_distance", "cross", "centred"), "text_to_means": ("nc3",),
    "whiten": ("nc1",),
}  # fmt: skip
STEPS = (0.25, 0.5, 1.0)


def features(arrays: np.lib.npyio.NpzFile, *splits: str, classes: int | None = None):
    """Images of some splits, of the first classes only where a number is given."""
    image = np.concatenate([arrays[f"image_{split}"] for split in splits])
    label = np.concatenate([arrays[f"label_{split}"] for split in splits])
    kept = label < (classes or label.max() + 1)
    return ncscope.Features(
        image=torch.from_numpy(image[kept]),
        label=torch.from_numpy(label[kept]),
        text=torch.from_numpy(arrays["text"]),
        logit_scale=torch.tensor(100.0),
        classnames=tuple(map(str, arrays["classnames"])),
    )


def of(summary: dict, path: tuple[str, ...]) -> float:
    for name in path:
        summary = summary[name]
    return float(summary)  # pyright: ignore[reportArgumentType]


def points(values: list[float]) -> str:
    """A mean of differences of accuracy, in points, bold where its interval leaves out 0."""
    low, high = (100 * end for end in interval(np.array(values)))
    sure = "**" if low > 0 or high < 0 else ""
    mean = 100 * float(np.mean(values))
    return f"{sure}{mean:+.1f}{sure} [{low:+.1f}, {high:+.1f}]".replace("-", "−")


def main(root: Path, kinds: list[str]) -> None:
    for kind in kinds:
        changes: dict[tuple[str, float, str], list[float]] = {}
        measures: dict[tuple[str, float], list[float]] = {}
        for path in sorted((root / kind).glob("*.npz")):
            arrays = np.load(path)
            judged = features(arrays, "val", "test")
            for name, classes in (("all", None), ("halves", len(arrays["text"]) // 2)):
                train = features(arrays, "train", classes=classes)
                rows = intervene(judged, train, steps=STEPS, replicates=2).rows
                parts = {"all": "accuracy"} if classes is None else {
                    "base": "seen_accuracy", "new": "new_accuracy"}  # fmt: skip
                start = next(row for row in rows if row["step"] == 0)
                for row in rows:
                    key = row["move"], row["step"]
                    for part, field in parts.items():
                        changes.setdefault((*key, part), []).append(row[field] - start[field])
                    if name == "all" and row["move"] in OWN:
                        measures.setdefault(key, []).append(of(row["summary"], OWN[row["move"]]))
        table(
            f"{kind} tasks: points of accuracy that a move buys",
            ["move", "its measure, from → to", *(f"all, step {step:g}" for step in STEPS),
             "base, step 1", "new, step 1"],
            [
                [f"`{move}`", f"{' '.join(own)} {np.mean(measures[move, 0.0]):.2f} → "
                 f"{np.mean(measures[move, 1.0]):.2f}",
                 *(points(changes[move, step, "all"]) for step in STEPS),
                 *(points(changes[move, 1.0, part]) for part in ("base", "new"))]
                for move, own in OWN.items()
            ],
        )  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or ["related", "random", "mixed"])
