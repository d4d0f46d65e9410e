"""CPU-seconds and extra memory of the measures against a plain torch two-sweep reference.

    python benchmarks/measures.py [--samples 50000] [--classes 10 100 1000] [--repeats 5]

"apart": within-class spread small against the distance of class means, as in collapsed features;
the library then decides most samples by the triangle inequality. "mixed": classes overlap and no
such short cut applies. Both compute NC1, equinorm, equiangular, NC3, CDNV and NC4 on the same (N,
D) float32 features in memory, one thread. Each measurement runs in a fresh process; the two
alternate, and the median of the repeats is printed with the ratio reference / ours. Extra memory
is the peak resident size above what was held once the features and torch were loaded.
"""

import argparse
import contextlib
import json
import pathlib
import resource
import statistics
import subprocess
import sys
import time

WIDTH = 512


NOISE = {"apart": 0.5, "mixed": 2.0}


def make(samples: int, classes: int, noise: float):
    """Class-structured float32 features, labels and a classifier; not normalised."""
    import torch

    generator = torch.Generator().manual_seed(0)
    means = torch.randn(classes, WIDTH, generator=generator)
    labels = torch.randint(classes, (samples,), generator=generator)
    features = torch.randn(samples, WIDTH, generator=generator).mul_(noise)
    for start in range(0, samples, 8192):
        features[start : start + 8192] += means[labels[start : start + 8192]]
    text = means + 0.3 * torch.randn(classes, WIDTH, generator=generator)
    return features, labels, text


def ours(features, labels, text) -> dict[str, float]:
    """The library's two accumulators, features used as given."""
    from ncscope import metrics

    first = metrics.MomentsAccumulator(len(text), WIDTH, normalise=False)
    first.update(features, labels)
    moments = first.compute()
    second = metrics.SampleAccumulator(moments, text=text, normalise=False)
    second.update(features, labels)
    samples = second.compute()
    assert samples.nc4 is not None
    means = moments.means
    spread = metrics.ClassMoments(moments.counts, means, samples.spreads)
    return {
        "nc1": float(samples.nc1),
        "equinorm": float(metrics.equinorm(means, centred=True)),
        "max_angle": float(metrics.max_angle(means, centred=True)),
        "nc3": float(metrics.self_duality(means, text.double())),
        "cdnv": float(metrics.cdnv(spread)),
        "nc4": float(samples.nc4),
    }


def reference(features, labels, text, block: int = 4096) -> dict[str, float]:
    """What a careful user would write in torch: two sweeps, small algebra in float64."""
    import torch

    classes, count = len(text), len(features)
    counts = torch.bincount(labels, minlength=classes).double()
    sums = torch.zeros(classes, WIDTH)
    sums.index_add_(0, labels, features)
    means = sums.double() / counts[:, None]
    offsets = means - means.mean(0)
    between = offsets.T @ offsets / classes
    values, vectors = torch.linalg.eigh(between)
    rank = min(classes - 1, WIDTH)
    white = (vectors[:, -rank:] / values[-rank:].sqrt()).float()
    means32 = means.float()
    half = 0.5 * means32.square().sum(1)
    traces, spreads = torch.zeros(classes).double(), torch.zeros(classes).double()
    agree = 0
    for start in range(0, count, block):
        rows, targets = features[start : start + block], labels[start : start + block]
        residual = rows - means32[targets]
        traces.index_add_(0, targets, (residual @ white).square().sum(1).double())
        spreads.index_add_(0, targets, residual.square().sum(1).double())
        nearest = (rows @ means32.T - half).argmax(1)
        agree += int(((rows @ text.T).argmax(1) == nearest).sum())
    spreads /= counts
    norms = offsets.norm(dim=1)
    units = offsets / norms[:, None]
    upper = torch.triu_indices(classes, classes, 1)
    cosines = (units @ units.T)[upper[0], upper[1]]
    gram = offsets @ offsets.T
    squared = gram.diagonal()[:, None] + gram.diagonal() - 2 * gram
    pairs = (spreads[:, None] + spreads)[upper[0], upper[1]] / (2 * squared[upper[0], upper[1]])
    weights = text.double()
    return {
        "nc1": float((traces / counts).mean() / classes),
        "equinorm": float(norms.std(correction=0) / norms.mean()),
        "max_angle": float((cosines + 1 / (classes - 1)).abs().mean()),
        "nc3": float((weights / weights.norm() - means / means.norm()).norm()),
        "cdnv": float(pairs.mean()),
        "nc4": agree / count,
    }


def reset_peak() -> int:
    """Start the peak of resident memory anew (Linux) and give the present size in KiB."""
    with contextlib.suppress(OSError):
        pathlib.Path("/proc/self/clear_refs").write_text("5")
    return peak_kib()


def peak_kib() -> int:
    """Peak resident memory in KiB."""
    status = pathlib.Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1])


def child(which: str, samples: int, classes: int, noise: float) -> None:
    """Measure one implementation in this process and print a line of JSON."""
    import torch

    torch.set_num_threads(1)
    data = make(samples, classes, noise)
    small = make(1000, 5, noise)
    run = {"ours": ours, "reference": reference}[which]
    run(*small)  # first use of kernels and imports is not what is measured
    before = reset_peak()
    start = time.process_time()
    found = run(*data)
    spent = time.process_time() - start
    extra = peak_kib() - before
    print(json.dumps({"cpu": spent, "extra_mb": extra / 1024, "values": found}))


def measure(which: str, samples: int, classes: int, noise: float) -> dict:
    """One measurement in a fresh process."""
    command = [sys.executable, __file__, "--child", which, str(samples), str(classes), str(noise)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description="Benchmark of the measures.")
    parser.add_argument("--samples", type=int, default=50_000)
    parser.add_argument("--classes", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        which, samples, classes, noise = args.child
        child(which, int(samples), int(classes), float(noise))
        return
    print(f"N = {args.samples}, D = {WIDTH}, float32, one thread; median of {args.repeats}")
    print("data      K  ours CPU-s  +MB  reference CPU-s  +MB  reference/ours  largest difference")
    for name, noise in NOISE.items():
        for classes in args.classes:
            row(name, args.samples, classes, noise, args.repeats)


def row(name: str, samples: int, classes: int, noise: float, repeats: int) -> None:
    """Measure both in turn and print a line."""
    runs = {"ours": [], "reference": []}
    for _ in range(repeats):
        for which, found in runs.items():
            found.append(measure(which, samples, classes, noise))
    cpu = {w: statistics.median(r["cpu"] for r in found) for w, found in runs.items()}
    extra = {w: statistics.median(r["extra_mb"] for r in found) for w, found in runs.items()}
    left, right = runs["ours"][0]["values"], runs["reference"][0]["values"]
    gap = max(abs(left[k] - right[k]) / max(abs(right[k]), 1e-9) for k in left)
    print(
        f"{name:5s} {classes:5d} {cpu['ours']:11.3f} {extra['ours']:4.0f} "
        f"{cpu['reference']:16.3f} {extra['reference']:4.0f} "
        f"{cpu['reference'] / cpu['ours']:15.2f} {gap:19.1e}"
    )
    print(
        f"| measures, {samples} x {WIDTH}, K = {classes}, classes {name} | plain two-sweep torch | "
        f"{cpu['reference']:.2f} | {cpu['ours']:.2f} | {cpu['reference'] / cpu['ours']:.1f}x |",
        flush=True,
    )


if __name__ == "__main__":
    main()
