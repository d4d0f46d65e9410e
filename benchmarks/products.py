"""All measures of many classes with images against the matrix products that they must take.

    python benchmarks/products.py [--classes 5000] [--samples 20000] [--repeats 3]

`measure(features, bootstrap=0)`, width 512, float32, overlapping classes, one thread, in turns in
one process; the median of each. The three products: images x class means (N x D x K), images x
text (N x D x K), images x whitened directions (N x D x min(K - 1, D)), in blocks of 2048 images.
Class by class there are four more, of K x K x D in float64: text with text and means with means,
raw and centred; the second ratio counts them to what must be done.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from ncscope.diagnosis.measure import measure
from ncscope.features.bundle import Features

WIDTH = 512
BLOCK = 2048


def features(samples: int, classes: int) -> Features:
    generator = torch.Generator().manual_seed(0)
    text = torch.randn(classes, WIDTH, generator=generator)
    label = torch.arange(samples) % classes
    image = text[label] + 2 * torch.randn(samples, WIDTH, generator=generator)
    names = tuple(f"class {k}" for k in range(classes))
    return Features(image, label, text, names, logit_scale=torch.tensor(100.0))


def with_images(image: Tensor, others: list[Tensor]) -> None:
    """Each block of images with all rows of each of the others."""
    for rows in image.split(BLOCK):
        for other in others:
            torch.mm(rows, other.T)


def class_by_class(sides: list[Tensor]) -> None:
    for side in sides:
        for rows in side.split(BLOCK):
            torch.mm(rows, side.T)


def seconds(run: Callable[[], object]) -> float:
    begun = time.process_time()
    run()
    return time.process_time() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--classes", type=int, default=5000)
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    measure(features(200, 10), bootstrap=0)  # first use of kernels and imports
    made = features(given.samples, given.classes)
    image, text = made.image, made.text
    assert image is not None
    assert text is not None
    directions = torch.randn(min(given.classes - 1, WIDTH), WIDTH)
    sides = [text.double()] * 4
    ways: dict[str, Callable[[], object]] = {
        "measures": lambda: measure(made, bootstrap=0),
        "three": lambda: with_images(image, [text, text, directions]),
        "classes": lambda: class_by_class(sides),
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(given.repeats):
        for name, run in ways.items():
            found[name].append(seconds(run))
    cpu = {name: statistics.median(values) for name, values in found.items()}
    print(
        f"K = {given.classes}, N = {given.samples}: measures {cpu['measures']:.2f} CPU-s, "
        f"three products {cpu['three']:.2f} ({cpu['measures'] / cpu['three']:.1f}x), "
        f"with the four of classes {cpu['three'] + cpu['classes']:.2f} "
        f"({cpu['measures'] / (cpu['three'] + cpu['classes']):.1f}x)"
    )
    print(
        f"| all measures, K = {given.classes}, N = {given.samples} | their three matrix products | "
        f"{cpu['three']:.2f} | {cpu['measures']:.2f} | {cpu['three'] / cpu['measures']:.2f}x |"
    )


if __name__ == "__main__":
    main()
