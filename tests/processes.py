"""A script in a process of its own, or in several of torchrun's that know of each other."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
LAUNCH = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def together(*arguments: object) -> subprocess.CompletedProcess[str]:
    """A run of the command line in two processes."""
    command = [*LAUNCH, "-m", "ncscope_cli.main", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


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
