"""One process against two under torchrun, one thread each: extraction, tuning, analysis.

    python benchmarks/processes.py [extract] [tune] [analyze] [--images 512] [--samples 320000]

extract: images a second of ViT-B/32 with random weights on noise in memory, after a warm-up, until
every process has all features. tune: an epoch of MaPLe, which trains both towers, on augmented
pictures of toy:colours with evaluation after it, and what it is trained to. analyze: the whole
command on a feature file of width 512 with its page, 10 and 100 classes. Needs two free cores: look
at the load before believing a ratio of wall time; CPU seconds of each process are printed beside.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
JOBS = ("extract", "tune", "analyze")
TWO = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def extract(count: int, _folder: str) -> dict[str, float]:
    from PIL import Image

    from ncscope.clip.backbone import load_backbone
    from ncscope.clip.prompts import ZeroShot
    from ncscope.data.images import ImageSet
    from ncscope.features.forward import encode_images
    from ncscope.features.processes import joined

    learner = ZeroShot(load_backbone("ViT-B-32", pretrained="random", random_seed=0))
    picture = Image.effect_noise((224, 224), 50).convert("RGB")

    def images(size: int) -> ImageSet:
        items = tuple(map(str, range(size)))
        return ImageSet("noise", ("noise",), (0,) * size, items, "noise", lambda _: picture)

    with joined() as spread:
        encode_images(learner, images(16), batch_size=8, spread=spread)
        began = time.perf_counter()
        encode_images(learner, images(count), batch_size=16, spread=spread)
        return {"images a second": count / (time.perf_counter() - began)}


def tune(shots: int, folder: str) -> dict[str, float]:
    """Seconds of the second epoch: from its first logged step to that of the third."""
    import ncscope

    began, ce = {}, {}

    def listen(event: dict[str, Any]) -> None:
        if event["event"] == "step" and event["epoch"] not in began:
            began[event["epoch"]], ce[event["epoch"]] = time.perf_counter(), event["ce"]

    ncscope.tune(
        "maple", data="toy:colours", out=folder, recipe="toy", shots=shots, epochs=3,
        batch_size=32, views="online", log_every=1, eval_every=shots, cache="off", workers=0,
        listener=listen,
    )  # fmt: skip
    return {"seconds an epoch": began[2] - began[1], "ce": ce[2]} if began else {}


def analyze(_classes: int, folder: str) -> dict[str, float]:
    from ncscope_cli.main import app

    began = time.perf_counter()
    app(["analyze", f"{folder}/f.safetensors", "--out", folder, "--quiet"], standalone_mode=False)
    return {"seconds": time.perf_counter() - began}


def worker(job: str, size: int, folder: str) -> None:
    import torch

    torch.set_num_threads(1)
    found = {"extract": extract, "tune": tune, "analyze": analyze}[job](size, folder)
    rank = int(os.environ.get("RANK", "0"))
    kinds = ("plotly", "ncscope.page.page", "ncscope.figures.figures", "sklearn")
    found |= {"CPU seconds": time.process_time()}
    heavy = [name for name in kinds if name in sys.modules]
    print("\n" + json.dumps({"rank": rank, **found, "imported": heavy}), flush=True)


def run(job: str, size: int, folder: str, *, two: bool) -> list[dict[str, Any]]:
    """What each process says, by rank, and the wall time of all."""
    words = [__file__, "--worker", job, "--size", str(size), "--folder", folder]
    path = os.pathsep.join([str(ROOT), str(ROOT / "cli"), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *(TWO if two else []), *words],
        capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    wall = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(done.stderr)
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"rank')]
    return [{**one, "command": wall} for one in sorted(found, key=lambda one: one["rank"])]


def shown(name: str, one: list[dict[str, Any]], two: list[dict[str, Any]], key: str) -> None:
    before, after = one[0][key], two[0][key]
    gain = after / before if key == "images a second" else before / after
    cpu = " and ".join(f"{process['CPU seconds']:.1f}" for process in two)
    print(
        f"{name}: {key} {before:.2f}, two {after:.2f}, {gain:.2f}x as fast; CPU seconds "
        f"{one[0]['CPU seconds']:.1f}, two {cpu}; the command {one[0]['command']:.1f} s, two "
        f"{two[0]['command']:.1f} s",
        flush=True,
    )


def difference(folders: list[Path]) -> float:
    """The largest relative difference of the trained weights."""
    from safetensors.torch import load_file

    one, two = (load_file(folder / "checkpoint.safetensors") for folder in folders)
    return max(
        float((two[key] - one[key]).norm() / one[key].norm())
        for key in one
        if one[key].is_floating_point()
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("jobs", nargs="*", choices=[*JOBS, []], default=[])
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--shots", type=int, default=64)
    parser.add_argument("--samples", type=int, default=320_000)
    parser.add_argument("--classes", type=int, nargs="+", default=[10, 100])
    for name in ("worker", "folder"):
        parser.add_argument(f"--{name}", help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        worker(given.worker, given.size, given.folder)
        return
    jobs = given.jobs or JOBS
    with tempfile.TemporaryDirectory() as folder:
        if "extract" in jobs:
            found = [run("extract", given.images, folder, two=two) for two in (False, True)]
            shown("extract", found[0], found[1], "images a second")
        if "tune" in jobs:
            folders = [Path(folder, name) for name in ("one", "two")]
            found = [run("tune", given.shots, str(f), two=f.name == "two") for f in folders]
            shown("tune", found[0], found[1], "seconds an epoch")
            change = abs(found[1][0]["ce"] / found[0][0]["ce"] - 1)
            print(f"tune: loss differs by {change:.1e}, weights by {difference(folders):.1e}")
        for classes in given.classes if "analyze" in jobs else ():
            made(given.samples, classes, Path(folder, "f.safetensors"))
            found = [run("analyze", classes, folder, two=two) for two in (False, True)]
            shown(
                f"analyze, {given.samples} x 512, {classes} classes", found[0], found[1], "seconds"
            )
            print(f"the second process imported {', '.join(found[1][1]['imported']) or 'no page'}")


def made(samples: int, classes: int, path: Path) -> None:
    import torch
    from report import features

    import ncscope

    torch.set_num_threads(1)
    ncscope.write_features(features(samples, classes), path)


if __name__ == "__main__":
    main()
