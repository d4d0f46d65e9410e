"""Every row of docs/performance.md's speed tables, each against its baseline in the same run.

    python -m benchmarks [--small]

Runs the scripts of this folder one after the other with the sizes the page quotes, which
takes an hour or two on one core and 13 GB for CoCoOp's 77-token step. `--small` takes sizes that
fit into minutes and 2 GB: its ratios are of those sizes, and say only that everything runs.
"""

import argparse
import os
import pathlib
import platform
import subprocess
import sys

RUNS = {  # what: script, arguments for the page's rows, arguments for --small
    "measures": ("measures.py", "", "--samples 5000 --classes 10 100 --repeats 2"),
    "intervals and report": ("report.py", "", "--samples 3000 --classes 10"),
    "text tower": ("text_tower.py", "", "--classes 10 --repeats 1 --rows coop maple"),
    "zero-shot text": ("zero_shot.py", "", "--names 6 --templates 3 --rounds 1"),
    "training steps": (
        "tune.py",
        "--rows coop epoch maple",
        "--rows coop maple --classes 10 --repeats 1",
    ),
    "whole runs": ("runs.py", "", "--rounds 1 --epochs 2 --runs 2 --states 20"),
    "CoCoOp's training step": ("tune.py", "--rows cocoop --classes 50", ""),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--small", action="store_true", help="sizes that fit into minutes and 2 GB")
    small = parser.parse_args().small
    here = pathlib.Path(__file__).parent
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    print(f"{platform.machine()}, {os.cpu_count()} cores{load}, {platform.python_version()}")
    failed = []
    for name, (script, full, reduced) in RUNS.items():
        arguments = (reduced if small else full).split()
        if small and not arguments:
            continue
        print(f"\n{name}: python benchmarks/{' '.join([script, *arguments])}", flush=True)
        done = subprocess.run([sys.executable, str(here / script), *arguments], check=False)
        failed += [name] if done.returncode else []
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
