"""The measures beside packages of others that compute some of the same, where they are installed.

    pip install kowalski einops jaxtyping    # in an environment of your own: no dependency of ours
    python benchmarks/peers.py [--samples 10000] [--classes 10 100] [--repeats 2]

Features of width 512 in memory, overlapping classes, one thread; both sides in turns in one
process, the least CPU-seconds of each. kowalski (PyPI) has within-class variability, ETF
convergence, self-duality, bias collapse and CDNV, from one tensor a class, and holds N x D x D
numbers of a class at a time; ours are NC1, equinorm, equiangular, NC3, CDNV and NC4 of
`benchmarks/measures.py`. rhubarbwu/neural-collapse and felixsh/nc-toolbox are on no registry: they
would come from their repositories by `pip install git+https://github.com/NAME`.
"""

import argparse
import importlib.util
import time
from collections.abc import Callable

import torch
from measures import make, ours

PEER = "kowalski"
ON_NO_REGISTRY = ("rhubarbwu/neural-collapse", "felixsh/nc-toolbox")


def theirs(rows: list[torch.Tensor], text: torch.Tensor) -> None:
    """All that kowalski has, from (n, D) images of each class and a classifier without a bias."""
    from kowalski.neural_collapse import (  # pyright: ignore[reportMissingImports]
        neural_collapse_metrics,
    )

    neural_collapse_metrics(rows, text, torch.zeros(len(text)))


def seconds(run: Callable[[], object]) -> float:
    begun = time.process_time()
    run()
    return time.process_time() - begun


def compare(samples: int, classes: int, repeats: int) -> None:
    features, labels, text = make(samples, classes, 2.0)
    by_class = [features[labels == k] for k in range(classes)]
    ways: tuple[Callable[[], object], ...] = (
        lambda: theirs(by_class, text),
        lambda: ours(features, labels, text),
    )
    rounds = [[seconds(run) for run in ways] for _ in range(repeats)]
    peer, own = (min(side) for side in zip(*rounds, strict=True))
    what = f"measures, {samples} x 512, K = {classes}"
    print(f"| {what} | kowalski 0.0.2 | {peer:.2f} | {own:.3f} | {peer / own:.0f}x |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--classes", type=int, nargs="+", default=[10, 100])
    parser.add_argument("--repeats", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(f"absent, on no registry: {', '.join(ON_NO_REGISTRY)}")
    if importlib.util.find_spec(PEER) is None:
        print(f"absent: {PEER}, which pip install {PEER} einops jaxtyping brings")
        return
    small = make(300, 3, 2.0)  # first use of kernels and imports
    theirs([small[0][small[1] == k] for k in range(3)], small[2])
    ours(*small)
    for classes in given.classes:
        compare(given.samples, classes, given.repeats)


if __name__ == "__main__":
    main()
