"""A script in a process of its own, or in several of torchrun's that know of each other."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
LAUNCH = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def together(*arguments: object) -> subprocess.CompletedProcess[str]:
    """A run of the command line in two processes."""
    command = [*LAUNCH, "-m", "ncscope_cli.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


def assert_same_measures(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Two runs' measures, to 1e-6; corrected ones to 1e-5, of what few images leave over."""
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        near = 1e-5 if "corrected" in name else 1e-6
        close = value if value is None else pytest.approx(value, rel=near, abs=1e-6)
        assert found[name] == close, name


def run_script(folder: Path, script: str, *arguments: str, processes: int = 2) -> None:
    """Run it with arguments, from the project's root; what went wrong is in the failure's words."""
    path = folder / "script.py"
    path.write_text(script)
    start = [sys.executable]
    if processes > 1:
        start += ["-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
        start += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]  # any free port
    done = subprocess.run(
        [*start, str(path), *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}:{ROOT / 'cli'}"},
        cwd=ROOT, capture_output=True, text=True, timeout=400,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
