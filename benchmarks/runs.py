"""A run, from start to end: CPU seconds of whole commands, processes that they start among them.

    python benchmarks/runs.py [--rounds 3] [--epochs 20] [--runs 8] [--states 200]

Each beside its baseline, in turns; the fastest round counts. A tuning run beside the import of
torch alone, which no command can do without; the single runs of a grid, forked, beside a process
started for each; a run on stored features beside one that writes its state after every epoch;
training pixels decoded by processes that stay beside processes started anew every epoch.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

COMMAND = "from ncscope_cli.main import entry; entry()"
ANEW = f"from ncscope.grids.forking import Parent; Parent.fork = lambda *_: None; {COMMAND}"
EVERY_EPOCH = f"import ncscope.tuning.state as state; state._SHARE = float('inf'); {COMMAND}"
NOT_STAYING = (
    "import ncscope.tuning.pixels as pixels; new = pixels.new_loader; "
    f"pixels.new_loader = lambda *a, stay, **k: new(*a, **k); {COMMAND}"
)
FEATURES = """
import sys, numpy as np
draw = np.random.default_rng(0)
text, label = draw.normal(size=(10, 512)), np.arange(400) % 10
image = text[label] + draw.normal(size=(400, 512))
parts = {f"{key}_{part}": value for part in ("train", "test")
         for key, value in (("image", image), ("label", label))}
np.savez(sys.argv[1], text=text, logit_scale=np.array(100.0),
         classnames=np.array([f"class {k}" for k in range(10)]), **parts)
"""
GRID = """
[grid]
method = "coop"
data = "toy:textures"
seed = {seeds}
[fixed]
recipe = "toy"
shots = 4
epochs = 5
"""


def seconds(code: str, *words: str) -> float:
    """CPU seconds of a process of Python, and of all that it waits for."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, *words], env=environment, capture_output=True, check=False
    )
    if done.returncode:
        sys.exit(done.stderr.decode())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def row(
    name: str, beside: str, ours: str, theirs: str, words: list[str], *, rounds: int, out: Path
) -> None:
    """Both as often, in turns, each round in folders of its own."""
    best = [float("inf")] * 2
    for turn in range(rounds):
        for place, code in enumerate((ours, theirs)):
            folder = out / f"{name.replace(' ', '-').replace(',', '')}-{turn}-{place}"
            best[place] = min(best[place], seconds(code, *words, "--out", str(folder), "--quiet"))
    print(f"| {name} | {beside} | {best[1]:.2f} | {best[0]:.2f} | {best[1] / best[0]:.2f}x |")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name, usual in (("rounds", 3), ("epochs", 20), ("runs", 8), ("states", 200)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    said = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        toy = ["tune", "coop", "--data", "toy:colours", "--epochs", str(said.epochs)]
        row(
            f"tune coop, {said.epochs} epochs",
            "import torch, which it needs",
            COMMAND,
            "import torch",
            toy,
            rounds=said.rounds,
            out=out,
        )
        (out / "grid.toml").write_text(GRID.format(seeds=list(range(said.runs))))
        grid = ["sweep", str(out / "grid.toml"), "--one-by-one"]
        row(
            f"sweep, {said.runs} single runs",
            "a process started for each",
            COMMAND,
            ANEW,
            grid,
            rounds=said.rounds,
            out=out,
        )
        seconds(FEATURES, str(out / "features.npz"))
        stored = ["tune", "taskres", "--data", str(out / "features.npz"), "--split", "all",
                  "--recipe", "toy", "--epochs", str(said.states), "--log-every", "0"]  # fmt: skip
        row(
            f"tune on features, {said.states} epochs",
            "a state every epoch",
            COMMAND,
            EVERY_EPOCH,
            stored,
            rounds=said.rounds,
            out=out,
        )
        pixels = ["tune", "vpt", "--data", "toy:colours", "--recipe", "toy", "--views", "online",
                  "--workers", "2", "--epochs", str(said.epochs)]  # fmt: skip
        row(
            f"tune on pixels, {said.epochs} epochs",
            "workers of an epoch",
            COMMAND,
            NOT_STAYING,
            pixels,
            rounds=said.rounds,
            out=out,
        )


if __name__ == "__main__":
    main()
