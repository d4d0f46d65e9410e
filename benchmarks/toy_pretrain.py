"""How long pretraining the toy CLIP takes, from 25 steps of each stage: run it on idle cores.

`python benchmarks/toy_pretrain.py` prints wall and CPU seconds of a step and what the whole of the
2,620 steps come to: a sum of measured steps, not a measured run. The bar is 40 minutes.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from ncscope.toy.making.lessons import Curriculum
from ncscope.toy.making.pretrain import train

_STEPS = 25  # `train` says something every so many steps
Mark = tuple[float, float]  # wall and CPU seconds


def now() -> Mark:
    return time.perf_counter(), time.process_time()


def marks_of(short: Curriculum) -> list[Mark]:
    """The times at which training began and said something: the pool, then every 25th step."""
    marks = [now()]
    with tempfile.TemporaryDirectory() as folder:
        train(short, Path(folder), save_every=short.steps, say=lambda _: marks.append(now()))
    return marks


def between(marks: Sequence[Mark], first: int) -> Mark:
    wall, cpu = (b - a for a, b in zip(marks[first], marks[first + 1], strict=True))
    return wall, cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pool", type=int, default=Curriculum().pool)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    whole = Curriculum(pool=chosen.pool, threads=chosen.threads)
    double = 2 * _STEPS
    short = replace(whole, warm_up_steps=double, contrastive_steps=double, settling_steps=double)
    marks = marks_of(short)
    pool = between(marks, 0)
    print(f"{chosen.threads} threads, load {os.getloadavg()[0]:.1f} of {os.cpu_count()} cores")
    print(f"pool of {whole.pool} scenes   {pool[0]:6.1f} s wall {pool[1]:6.1f} s CPU")
    totals = list(pool)
    steps = (whole.warm_up_steps, whole.contrastive_steps, whole.settling_steps)
    for stage, count in enumerate(steps):
        # marks: begin, pool, steps 0, 25, 50 (the first of stage 2), ...; 25 steps lie within
        a_step = [seconds / _STEPS for seconds in between(marks, 2 + 2 * stage)]
        print(
            f"stage {stage + 1}: a step   {a_step[0]:6.3f} s wall {a_step[1]:6.3f} s CPU  x {count}"
        )
        totals = [total + count * seconds for total, seconds in zip(totals, a_step, strict=True)]
    print(f"sum                   {totals[0] / 60:6.1f} min wall {totals[1] / 60:6.1f} min CPU")


if __name__ == "__main__":
    main()
