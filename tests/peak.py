"""The memory that a process or a piece of code takes."""

import os
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).parents[1]
_TAIL = """
import resource
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def held() -> int:
    """Bytes of data that this process has mapped, which RLIMIT_DATA bounds."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    [line] = [line for line in status.splitlines() if line.startswith("VmData:")]
    return int(line.split()[1]) * 1024


def peak_of(code: str) -> int:
    """Bytes of resident memory at the peak of a Python process that runs `code`."""
    done = subprocess.run(
        [sys.executable, "-c", code + _TAIL],
        env={**os.environ, "PYTHONPATH": f"{_ROOT}:{_ROOT / 'cli'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return int(done.stdout.split()[-1]) * 1024
