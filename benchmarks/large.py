"""Memory and time of a feature file of ImageNet's training set: 1.28M x 512, K = 1000, 2.6 GB.

    python benchmarks/large.py [--samples 1281167] [--classes 1000] [--half] [--unlabelled]
                               [--folder DIR] [--page]

The file is made in a temporary folder, which needs as much room, and deleted afterwards. Two fresh
processes then read it: `analyze` as the command line calls it, which has about ninety measures, and
the plain two-sweep reference of `benchmarks/measures.py`, which has six, rows not normalised. Extra
memory is the peak of RssAnon above what was held once torch and the library were imported: pages of
the mapped file count as RssFile and are given back under pressure.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).parents[1]
WIDTH = 512
BLOCK = 16384


def write(path: pathlib.Path, samples: int, classes: int, *, half: bool, unlabelled: bool) -> None:
    """A feature file made block by block, in a memory map: class centres, noise and text."""
    import torch

    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(classes, WIDTH, generator=generator)
    labels = torch.randint(classes, (samples,), generator=generator)
    text = centres + 0.3 * torch.randn(classes, WIDTH, generator=generator)
    dtype = torch.float16 if half else torch.float32
    given = labels.clone()
    if unlabelled:
        given[::100] = -1
    small = {"label": given, "text": text, "logit_scale": torch.tensor(100.0)}
    head, start = header(small, samples, "F16" if half else "F32", 2 if half else 4)
    with path.open("wb") as file:
        file.write(head)
        for tensor in small.values():
            file.write(tensor.numpy().tobytes())
        assert file.tell() == start
        for first in range(0, samples, BLOCK):
            rows = labels[first : first + BLOCK]
            noise = torch.randn(len(rows), WIDTH, generator=generator)
            file.write((centres[rows] + 2 * noise).to(dtype).numpy().tobytes())


def header(small: dict, samples: int, kind: str, size: int) -> tuple[bytes, int]:
    """The head of a .safetensors file of these and (N, D) images; where the images begin."""
    kinds = {"torch.int64": "I64", "torch.float32": "F32"}
    entries: dict[str, dict] = {}
    at = 0
    for name, tensor in small.items():
        end = at + tensor.numel() * tensor.element_size()
        entries[name] = {"dtype": kinds[str(tensor.dtype)], "shape": list(tensor.shape)}
        entries[name]["data_offsets"] = [at, end]
        at = end
    end = at + samples * WIDTH * size
    entries["image"] = {"dtype": kind, "shape": [samples, WIDTH], "data_offsets": [at, end]}
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text, 8 + len(text) + at


def anonymous() -> float:
    """Resident memory in MB that is of no file."""
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1e3


class Peak:
    """The most `anonymous` memory while a block of code runs, looked at every 5 ms."""

    def __enter__(self) -> "Peak":
        self.start = self.most = anonymous()
        self.stop = threading.Event()
        self.watch = threading.Thread(target=self._watch)
        self.watch.start()
        self.began, self.cpu = time.perf_counter(), time.process_time()
        return self

    def _watch(self) -> None:
        while not self.stop.wait(0.005):
            self.most = max(self.most, anonymous())

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self.began
        self.cpu = time.process_time() - self.cpu
        self.stop.set()
        self.watch.join()

    def result(self, **more: object) -> dict:
        extra = round(self.most - self.start, 1)
        return {
            "seconds": round(self.seconds, 2),
            "cpu": round(self.cpu, 2),
            "extra_mb": extra,
            **more,
        }


def analyzed(path: str, page: bool) -> dict:
    """`ncscope analyze FILE`."""
    import ncscope
    import ncscope.page.page
    from ncscope.page.analyze import analyze

    with Peak() as peak:
        report = analyze(path)
        with tempfile.TemporaryDirectory() as out:
            report.save(out, html=page)
    record = report.records[0]
    numbers = {name: record["measures"][name] for name in ("nc1/default", "cdnv", "accuracy/top1")}
    return peak.result(version=ncscope.__version__, samples=record["samples"], **numbers)


def plain(path: str, page: bool) -> dict:
    """What a careful user would write."""
    from safetensors import safe_open

    sys.path.insert(0, str(ROOT / "benchmarks"))
    from measures import reference

    with Peak() as peak, safe_open(path, framework="pt") as file:
        found = reference(*(file.get_tensor(name) for name in ("image", "label", "text")))
    return peak.result(nc1=found["nc1"], page=page)


WAYS = {"analyze": analyzed, "plain": plain}


def measured(way: str, path: pathlib.Path, page: bool) -> dict:
    command = [sys.executable, __file__, "--way", way, "--file", str(path)]
    command += ["--page"] if page else []
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--samples", type=int, default=1281167)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--half", action="store_true")
    parser.add_argument("--unlabelled", action="store_true")
    parser.add_argument("--page", action="store_true")
    parser.add_argument("--folder", type=pathlib.Path)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--file", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.way:
        print(json.dumps(WAYS[given.way](given.file, given.page)))
        return
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        path = pathlib.Path(folder) / "large.safetensors"
        write(path, given.samples, given.classes, half=given.half, unlabelled=given.unlabelled)
        for way in WAYS:
            print(f"{way:8} {json.dumps(measured(way, path, given.page))}", flush=True)


if __name__ == "__main__":
    main()
