"""Zero-shot accuracy and geometry of the toy CLIP: `python -m ncscope.toy.making.evaluate`.

N images, K classes, D embedding width.
"""

import argparse
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.clip.prompts import class_prompts
from ncscope.data.images import ImageSet
from ncscope.metrics import (
    class_moments,
    delta_lcd,
    delta_mid,
    modality_gap,
    normalise_rows,
    off_diagonal,
    pairwise_cosines,
    top1,
)
from ncscope.toy.images import PER_CLASS, toy_images
from ncscope.toy.making.shipping import write_json
from ncscope.toy.model import NAME, SHIPPED, load_toy_clip, provenance
from ncscope.toy.tasks import TASKS, find_task
from ncscope.toy.world import STYLES

_BATCH = 256


@dataclass(frozen=True)
class TaskRow:
    """One task: accuracies in per cent, geometry of unit text features and image class means.

    `zero_shot` is over all classes, `base` and `new` among the classes of their half.
    """

    task: str
    classes: int
    chance: float
    zero_shot: float
    base: float
    new: float
    text_cosine: float
    image_cosine: float
    gap: float
    delta_lcd: float
    delta_lcd_centred: float
    delta_mid: float
    delta_mid_centred: float


def evaluate_task(
    backbone: Backbone,
    name: str,
    *,
    seed: int = 0,
    per_class: int | None = None,
    space: str = "reporting",
) -> TaskRow:
    """Zero-shot accuracy and geometry on the test images of `NAME` or `NAME@DOMAIN`."""
    task, _ = find_task(name)
    images = toy_images(name, seed=seed, per_class=per_class, space=space)
    text, features, labels = zero_shot_features(backbone, images, task.template)
    return measure_row(images.name.removeprefix("toy:"), text, features, labels)


@torch.inference_mode()
def zero_shot_features(
    backbone: Backbone, images: ImageSet, template: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Unit text features (K, D), unit image features (N, D) and labels (N,)."""
    text = backbone.encode_text(class_prompts(images.classnames, template))
    parts = []
    for start in range(0, len(images), _BATCH):
        batch = range(start, min(start + _BATCH, len(images)))
        pixels = torch.stack([backbone.preprocess(images.load(i)) for i in batch])
        parts.append(backbone.encode_image(pixels.to(backbone.device)))
    labels = torch.tensor(images.labels, device=text.device)
    return normalise_rows(text), normalise_rows(torch.cat(parts)), labels


def measure_row(name: str, text: Tensor, features: Tensor, labels: Tensor) -> TaskRow:
    """The row of a task from unit text (K, D) and image (N, D) features."""
    num_classes = len(text)
    half = (num_classes + 1) // 2
    means = class_moments(features, labels, num_classes).means.to(text.dtype)
    logits = features @ text.T
    base, new = halves(logits, labels, base=half)
    measured = {
        "zero_shot": 100 * top1(logits, labels),
        "base": base,
        "new": new,
        "text_cosine": off_diagonal(pairwise_cosines(text)).mean(),
        "image_cosine": off_diagonal(pairwise_cosines(means)).mean(),
        "gap": modality_gap(means, text),
        "delta_lcd": delta_lcd(text),
        "delta_lcd_centred": delta_lcd(text, centred=True),
        "delta_mid": delta_mid(means, text),
        "delta_mid_centred": delta_mid(means, text, centred=True),
    }
    numbers = {key: round(float(value), 4) for key, value in measured.items()}
    return TaskRow(task=name, classes=num_classes, chance=round(100 / num_classes, 2), **numbers)


def halves(logits: Tensor, labels: Tensor, *, base: int) -> tuple[float, float]:
    """Top-1 in per cent among the first `base` classes and among the others."""
    old = labels < base
    shares = (
        top1(logits[old][:, :base], labels[old]),
        top1(logits[~old][:, base:], labels[~old] - base),
    )
    return shares[0].item() * 100, shares[1].item() * 100


def suite(*, domains: bool = False) -> list[str]:
    """Names of all tasks; with `domains`, the other three domains of shapes and source, too."""
    names = list(TASKS)
    if domains:
        names += [f"{task}@{style}" for task in ("shapes", "source") for style in STYLES[1:]]
    return names


def table(rows: Iterable[TaskRow]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| task | K | chance % | zero-shot % | base / new % | text cos | image cos | gap "
        "| delta_lcd raw / centred | delta_mid raw / centred |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            f"| {row.task} | {row.classes} | {row.chance:.1f} | {row.zero_shot:.1f} "
            f"| {row.base:.1f} / {row.new:.1f} | {row.text_cosine:.2f} | {row.image_cosine:.2f} "
            f"| {row.gap:.2f} | {row.delta_lcd:.3f} / {row.delta_lcd_centred:.3f} "
            f"| {row.delta_mid:.3f} / {row.delta_mid_centred:.3f} |"
        )
    return "\n".join(lines)


def record(folder: Path, rows: list[TaskRow], *, seed: int, per_class: int | None) -> None:
    """Write the evaluation into the provenance of the weights."""
    found = {"space": "reporting", "seed": seed, "per_class": per_class or PER_CLASS["test"]}
    found |= {"tasks": {row.task: asdict(row) for row in rows}}
    write_json((folder / NAME).with_suffix(".json"), provenance(folder) | {"evaluation": found})


def main() -> None:
    parser = argparse.ArgumentParser(description="Zero-shot table of the toy suite.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--per-class", type=int, default=None)
    parser.add_argument("--space", default="reporting", help="reporting, tuning or difficulty")
    parser.add_argument("--domains", action="store_true", help="the other domains of two tasks")
    parser.add_argument("--plain", action="store_true", help="without the installed geometry")
    parser.add_argument("--weights", type=Path, default=SHIPPED, help="folder of the weights")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--record", action="store_true", help="into the weights' provenance")
    chosen = parser.parse_args()
    backbone = load_toy_clip(installed=not chosen.plain, folder=chosen.weights)
    rows = [
        evaluate_task(
            backbone, name, seed=chosen.seed, per_class=chosen.per_class, space=chosen.space
        )
        for name in suite(domains=chosen.domains)
    ]
    print(json.dumps([asdict(row) for row in rows], indent=1) if chosen.json else table(rows))
    if chosen.record:
        record(chosen.weights, rows, seed=chosen.seed, per_class=chosen.per_class)


if __name__ == "__main__":
    main()
