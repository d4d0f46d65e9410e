"""What a user waits for around the measures: their intervals and the report, in CPU seconds.

    python benchmarks/report.py [--samples 50000] [--classes 10 100 1000] [--no-intervals]

Features of width 512 made in memory. The baseline is `analyze --bootstrap 0` in the same process;
printed are its CPU seconds, those of the default `analyze`, which resamples images and classes
where that does not take minutes, and those of writing `report.html` and its files.
"""

import argparse
import tempfile
import time

import torch

import ncscope
from ncscope.page.report import Report

WIDTH = 512


def features(samples: int, classes: int) -> ncscope.Features:
    """Class centres, noise about them, and text near them."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(classes, WIDTH, generator=generator)
    label = torch.randint(classes, (samples,), generator=generator)
    image = torch.empty(samples, WIDTH)
    for rows, own in zip(image.split(20_000), label.split(20_000), strict=True):
        rows.copy_(centres[own] + 2 * torch.randn(len(own), WIDTH, generator=generator))
    return ncscope.Features(
        image=image,
        label=label,
        text=centres + 0.3 * torch.randn(classes, WIDTH, generator=generator),
        classnames=tuple(f"class {k}" for k in range(classes)),
        logit_scale=torch.tensor(100.0),
        provenance={"source": "made", "data": "made"},
    )


def analyzed(given: ncscope.Features, bootstrap: int | None) -> tuple[float, Report]:
    begun = time.process_time()
    report = ncscope.analyze(given, bootstrap=bootstrap)
    return time.process_time() - begun, report


def written(report: Report) -> float:
    with tempfile.TemporaryDirectory() as folder:
        begun = time.process_time()
        report.save(folder)
        return time.process_time() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--samples", type=int, default=50_000)
    parser.add_argument("--classes", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--no-intervals", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(1)
    written(analyzed(features(500, 10), 0)[1])  # imports
    for classes in given.classes:
        made = features(given.samples, classes)
        alone, report = analyzed(made, 0)
        line = f"{given.samples} x {WIDTH}, K = {classes}: measures {alone:.2f} s"
        if not given.no_intervals:
            whole, with_intervals = analyzed(made, None)
            left = [w for w in with_intervals.records[0]["warnings"] if "left out" in w]
            line += f", with intervals {whole:.2f} s ({whole / alone:.1f}x"
            line += f"; {left[0].split(':')[0]})" if left else ")"
        print(f"{line}, report {written(report):.2f} s", flush=True)


if __name__ == "__main__":
    main()
