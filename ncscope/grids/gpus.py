"""The GPUs that this process may use, and which of them each of several runs at a time gets."""

import os
import subprocess
from collections.abc import Sequence

from ncscope.errors import DataError

VARIABLE = "CUDA_VISIBLE_DEVICES"


def visible_gpus() -> list[str]:
    """As that variable names them: those in it, else all of the machine; none where unknown.

    torch is not asked: it takes seconds and memory that the runs want.
    """
    said = os.environ.get(VARIABLE)
    if said is not None:
        names = [part.strip() for part in said.split(",")]
        return [name for name in names if name not in ("", "-1")]
    try:
        done = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    count = sum(line.startswith("GPU ") for line in done.stdout.splitlines())
    return [str(index) for index in range(count)]


def shares(gpus: Sequence[str], *, jobs: int, each: int) -> list[str | None]:
    """What each of `jobs` runs at a time sees; None, all of it, where there is nothing to share.

    Runs that are more than there are GPUs for take turns in sharing them.

    Raises:
        DataError: one run wants more than there are.
    """
    if 0 < len(gpus) < each:
        names = ", ".join(gpus)
        raise DataError(f"`gpus` is {each}; expected {len(gpus)} or fewer: {VARIABLE} are {names}")
    if jobs == 1 or len(gpus) < 2:
        return [None] * jobs
    parts = [gpus[i : i + each] for i in range(0, len(gpus) - each + 1, each)]
    return [",".join(parts[i % len(parts)]) for i in range(jobs)]
