"""Every row of the speed tables of README and docs/performance.md, each against its baseline.

    python -m benchmarks [--quick] [--minutes 30]

Runs the scripts of this folder one after the other with the sizes the page quotes, which takes an
hour or two on one core and 13 GB for CoCoOp's 77-token step, and ends with one table of all:
CPU seconds of the baseline and of ours, and their ratio. Baselines are timed as often as ours, in
turns. Packages of others are measured where they are installed, and named where they are not
(`benchmarks/peers.py`). After `--minutes` of wall time nothing more is started, what runs is ended,
and the last line says what is missing. `--quick` takes sizes that fit into a few minutes and 2 GB:
its ratios are of those sizes, and say only that everything runs.
"""

import argparse
import os
import pathlib
import platform
import subprocess
import sys
import threading
import time

RUNS = {  # what: script, arguments for the page's rows, arguments for --quick
    "measures": ("measures.py", "", "--samples 5000 --classes 10 100 --repeats 1"),
    "measures of others": ("peers.py", "", "--samples 2000 --classes 10 --repeats 1"),
    "many classes": ("products.py", "", "--classes 2500 --samples 5000 --repeats 1"),
    "intervals and report": ("report.py", "", "--samples 3000 --classes 10"),
    "text tower": ("text_tower.py", "", "--classes 10 --repeats 1 --rows coop maple"),
    "zero-shot text": ("zero_shot.py", "", "--names 6 --templates 3 --rounds 1"),
    "training steps": (
        "tune.py",
        "--rows coop epoch maple",
        "--rows coop --classes 10 --repeats 1",
    ),
    "whole runs": ("runs.py", "", "--rounds 1 --epochs 2 --runs 2 --states 20"),
    "CoCoOp's training step": ("tune.py", "--rows cocoop --classes 50", ""),
}
HEAD = "| what | baseline | its CPU-s | ours | faster |\n|---|---|---|---|---|"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="sizes that fit into a few minutes")
    parser.add_argument("--minutes", type=float, default=24 * 60, help="most wall time of all")
    given = parser.parse_args()
    quick, ends = given.quick, time.monotonic() + 60 * given.minutes
    here = pathlib.Path(__file__).parent
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"{platform.machine()}, {os.cpu_count()} cores{load}, {platform.python_version()}")
    environment = {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1", **os.environ}
    failed, rows = [], []
    for name, (script, full, reduced) in RUNS.items():
        arguments = (reduced if quick else full).split()
        if quick and not arguments:
            continue
        print(f"\n{name}: python benchmarks/{' '.join([script, *arguments])}", flush=True)
        command = [sys.executable, str(here / script), *arguments]
        if (left := ends - time.monotonic()) <= 0:
            print("not started: the time is over")
            failed.append(name)
            continue
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as run:
            limit = threading.Timer(left, run.kill)
            limit.start()
            for line in run.stdout or ():
                if line.startswith("| "):
                    rows.append(line.rstrip())
                else:
                    print(line, end="", flush=True)
            limit.cancel()
        failed += [name] if run.returncode else []
    print("\n" + "\n".join([HEAD, *rows]))
    if failed:
        sys.exit(f"not to the end: {', '.join(failed)}")


if __name__ == "__main__":
    main()
