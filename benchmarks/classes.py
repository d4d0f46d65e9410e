"""CPU-seconds and memory of all measures over the number of classes, text alone and with images.

    python benchmarks/classes.py [--classes 1000 5000 21841] [--images 2]

Random unit text of width 512 and, in the second row, so many overlapping images a class; one
thread, a fresh process each, intervals as `analyze` gives them by default, no page. Memory is the
peak of resident memory above what was held once torch and the features were loaded. Nothing of K^2
is ever held: with twice the classes it is twice the memory and four times the time.
"""

import argparse
import json
import subprocess
import sys
import time

from measures import WIDTH, peak_kib, reset_peak


def child(classes: int, images: int) -> None:
    """Measure in this process and print a line of JSON."""
    import torch

    from ncscope.diagnosis.measure import measure
    from ncscope.features.bundle import Features

    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)

    def made(size: int, count: int) -> Features:
        text = torch.randn(size, WIDTH, generator=generator)
        label = torch.arange(count * size) % size if count else None
        image = None
        if label is not None:
            image = text[label] + 2 * torch.randn(len(label), WIDTH, generator=generator)
        names = tuple(f"class {k}" for k in range(size))
        return Features(image, label, text, names, logit_scale=torch.tensor(100.0))

    measure(made(10, images))  # first use of kernels and imports is not what is measured
    features = made(classes, images)
    before, start = reset_peak(), time.process_time()
    measure(features)
    spent = time.process_time() - start
    print(json.dumps({"cpu": spent, "mb": (peak_kib() - before) / 1024}))


def main() -> None:
    parser = argparse.ArgumentParser(description="All measures over the number of classes.")
    parser.add_argument("--classes", type=int, nargs="+", default=[1000, 5000, 21841])
    parser.add_argument("--images", type=int, default=2, help="a class")
    parser.add_argument("--child", type=int, nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        child(*asked.child)
        return
    print("classes  images  CPU-s  extra MB")
    for classes in asked.classes:
        for images in (0, asked.images):
            command = [sys.executable, __file__, "--child", str(classes), str(images)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found = json.loads(done.stdout)
            print(f"{classes:7d} {classes * images:7d} {found['cpu']:6.1f} {found['mb']:9.0f}")


if __name__ == "__main__":
    main()
