"""What a user waits for around the measures: their intervals and the report, in CPU seconds.

    python benchmarks/report.py [--samples 50000] [--classes 10 100 1000] [--no-intervals]

Features of width 512. The baseline is the same without intervals (`--bootstrap 0`), timed as often
and in turns, and the fastest of each counts: first `ncscope.analyze` in this process, then the
whole command `ncscope analyze FILE --out DIR`, which imports, reads the file and writes the report.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

import ncscope
from ncscope.features.bundle import write_features
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


def command(file: Path, *options: str) -> float:
    """CPU seconds of `ncscope analyze` on a feature file, a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        verb = [sys.executable, "-m", "ncscope_cli.main", "analyze", str(file), "--out", folder]
        spent = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([*verb, *options], check=True, capture_output=True)
        now = resource.getrusage(resource.RUSAGE_CHILDREN)
    return now.ru_utime + now.ru_stime - spent.ru_utime - spent.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--samples", type=int, default=50_000)
    parser.add_argument("--classes", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--no-intervals", action="store_true")
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    written(analyzed(features(500, 10), 0)[1])  # imports
    for classes in given.classes:
        made = features(given.samples, classes)
        rounds = range(given.rounds)
        if given.no_intervals:
            alone, report = min((analyzed(made, 0) for _ in rounds), key=lambda one: one[0])
            line = f"measures {alone:.2f} s"
        else:
            pairs = [(analyzed(made, 0), analyzed(made, None)) for _ in rounds]
            alone, whole = (min(pair[side][0] for pair in pairs) for side in (0, 1))
            report = pairs[0][0][1]
            left = [w for w in pairs[0][1][1].records[0]["warnings"] if "left out" in w]
            line = f"measures {alone:.2f} s, with intervals {whole:.2f} s ({whole / alone:.1f}x"
            line += f"; {left[0].split(':')[0]})" if left else ")"
        line += f", report {min(written(report) for _ in rounds):.2f} s"
        if not given.no_intervals:
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "features.safetensors"
                write_features(made, file)
                turns = [(command(file, "--bootstrap", "0"), command(file)) for _ in rounds]
            alone, whole = (min(turn[side] for turn in turns) for side in (0, 1))
            line += f"; command {alone:.2f} s, with intervals {whole:.2f} s ({whole / alone:.2f}x)"
            print(
                f"| analyze, {given.samples} x {WIDTH}, K = {classes} | with --bootstrap 0 | "
                f"{alone:.2f} | {whole:.2f} | {alone / whole:.2f}x |",
                flush=True,
            )
        print(f"{given.samples} x {WIDTH}, K = {classes}: {line}", flush=True)


if __name__ == "__main__":
    main()
