"""What `ncscope.CollapseMetrics` and `ncscope.NPTLoss` cost in somebody's loop, beside a step.

    python benchmarks/streaming.py [--classes 100] [--batch 32]

The step is the least there is: a forward pass of ViT-B/16's image tower (random weights, one
thread), without a gradient and without text. Printed are CPU-milliseconds, the least of the
repeats, and the share of the step. The bar is 2 % for an `update`.
"""

import argparse
import time
from collections.abc import Callable

import torch

import ncscope
from ncscope.clip.backbone import load_backbone

BAR = 0.02


def least(work: Callable[[], object], repeats: int) -> float:
    """CPU-seconds of the quickest of the repeats, after one that does not count."""
    work()
    found = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return min(found)


def main() -> None:
    """Time a step and what comes on top of it."""
    parser = argparse.ArgumentParser(description="CollapseMetrics and NPTLoss beside a step")
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--batch", type=int, default=32)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    backbone = load_backbone("ViT-B-16", pretrained="random")
    pixels = torch.randn(asked.batch, 3, 224, 224)
    with torch.no_grad():
        image = backbone.encode_image(pixels)
        step = least(lambda: backbone.encode_image(pixels), 2)
    label = torch.arange(asked.batch) % asked.classes
    text = torch.randn(asked.classes, image.shape[1], requires_grad=True)
    npt = ncscope.NPTLoss(lcd_weight=1.0, mid_weight=1.0, centred=True)
    kept = ncscope.CollapseMetrics(asked.classes)
    summed = ncscope.CollapseMetrics(asked.classes, samples=False)
    rows: dict[str, Callable[[], object]] = {
        "CollapseMetrics.update": lambda: kept.update(image, label),
        "CollapseMetrics.update, samples=False": lambda: summed.update(image, label),
        "NPTLoss and its gradient": lambda: npt(image, label, text).backward(),
    }
    print(f"{asked.batch} images, {asked.classes} classes; image tower alone {step * 1e3:.0f} ms")
    for name, work in rows.items():
        cost = least(work, 30)
        said = "" if cost < BAR * step or "NPT" in name else ", over 2 %"
        print(f"{name:40} {cost * 1e3:7.2f} ms {cost / step:8.3%}{said}")


if __name__ == "__main__":
    main()
