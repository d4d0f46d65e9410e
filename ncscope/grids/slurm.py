"""A grid on a cluster: an array of jobs that each take what is left of it, by submitit."""

import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ncscope.errors import DataError, NcscopeError
from ncscope.grids.children import terminated_as_interrupted
from ncscope.grids.run import command_on
from ncscope.grids.spec import Planned, read_spec, spec_path
from ncscope.grids.sweep import Swept, sweep


@dataclass(frozen=True)
class Share:
    """What a job asks of the cluster, and does: its own process takes one run at a time.

    `minutes` a job at most; the next one goes on with what was cut off. `gpus` above 1 spread each
    run that is not trained with others over as many processes. `cpus`: cores of a job; one that
    asks for more than a machine has waits for ever.
    """

    minutes: int = 240
    partition: str | None = None
    gpus: int = 0
    cpus: int = 4


def submit(
    spec: str | Path, *, out: str | Path, jobs: int, share: Share, root: str | Path | None = None,
    together: bool = True, cluster: str = "slurm",
) -> list[Any]:  # fmt: skip
    """Submit `jobs` jobs that share the grid through `out`, which all machines must see.

    Args:
        cluster: `slurm`, or `local` for processes on this machine.

    Returns:
        submitit's jobs; their words are in `out`/slurm.

    Raises:
        DataError: a grid that cannot be read.
        NcscopeError: submitit is not installed, there is no cluster here, or it refuses the jobs.
    """
    try:
        import submitit
        from submitit.core.utils import FailedJobError
    except ImportError:
        raise NcscopeError('a cluster needs submitit: pip install "ncscope[slurm]"') from None
    if jobs < 1:
        raise DataError(f"`jobs` is {jobs}; expected 1 or more")
    where = None if root is None else Path(root).resolve()
    runs = read_spec(spec_path(spec), root=where)  # a mistake is told here, not by every job
    folder = Path(out).resolve()
    try:
        executor = submitit.AutoExecutor(folder=folder / "slurm" / "%j", cluster=cluster)
    except RuntimeError as error:
        raise NcscopeError(f"no SLURM here: {error}; use --jobs without --slurm") from None
    executor.update_parameters(
        name="ncscope", timeout_min=share.minutes, cpus_per_task=share.cpus,
        gpus_per_node=share.gpus,
        **({"slurm_partition": share.partition} if share.partition else {}),
    )  # fmt: skip
    try:
        with executor.batch():
            return [
                executor.submit(
                    work_on, runs, out=folder,
                    together=together, command=command_on(share.gpus),
                )
                for _ in range(jobs)
            ]  # fmt: skip
    except FailedJobError as error:  # what sbatch says, its last line
        said = [line.strip() for line in str(error).splitlines() if line.strip()] or ["no reason"]
        raise NcscopeError(f"SLURM refused the jobs: {said[-1]}") from None


def work_on(runs: Sequence[Planned], **options: Any) -> list[Swept]:
    """What a job does: `sweep`, until the grid is done, or SLURM ends the job.

    SLURM's warning that a job's time is nearly over, which would end every process that knows
    nothing of it, is ignored, here and by inheritance in the runs: it is used to the end.
    """
    for sign in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(sign, signal.SIG_IGN)
    try:
        with terminated_as_interrupted():
            return sweep(runs, **options)
    except KeyboardInterrupt:
        print("ncscope: the job was ended; another goes on with what is left", file=sys.stderr)
        return []
