"""`ncscope sweep`: a grid of tuning runs, several at a time, resumable."""

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ncscope_cli import options

if TYPE_CHECKING:
    from ncscope.experiments.sweep import Swept

EXAMPLE = """\b
SPEC.toml, with the options of `ncscope tune` as keys (`_` for `-`):
  [grid]                      # a run for each combination
  method = ["maple"]
  data = ["toy:shapes", "toy:fish"]
  tau = [1.0, 0.05]
  seed = [1, 2, 3]
  weights = [{}, {lcd_weight = 0.1, mid_weight = 1.0}]
  [fixed]                     # what all of them share
  recipe = "toy"
"""


def sweep(
    spec: Annotated[Path, typer.Argument(metavar="SPEC.toml", help="The grid, see below.")],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="One folder a run; also logs/ and locks/.")
    ],
    jobs: Annotated[int, typer.Option(min=1, help="Runs at a time, here.")] = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the runs as commands, and do none.")
    ] = False,
    quiet: options.Quiet = False,
) -> None:
    """Do a grid of tune runs: skip what is done, resume what was cut off, share it with others.

    Start it as often as you like, on any machines that share the folder: no run is done twice. On a
    SLURM cluster: sbatch --array=1-20 --wrap "ncscope sweep SPEC.toml --out DIR".
    """
    import shlex

    from ncscope.errors import NcscopeError
    from ncscope.experiments import sweep as library
    from ncscope.experiments.spec import read_spec

    if dry_run:
        for run in read_spec(spec):
            words = [*run.arguments(), "--out", str(out / run.name)]
            typer.echo(f"ncscope tune {shlex.join(words)}")
        return
    total, ended, lock = len(read_spec(spec)), 0, threading.Lock()

    def say(swept: "Swept") -> None:
        nonlocal ended
        with lock:
            ended += 1
            failed = swept.state == "failed"
            if failed or not quiet:
                words = f"; see {swept.log}" if failed else ""
                typer.echo(f"ncscope: {ended}/{total} {swept.state}: {swept.run.name}{words}",
                           err=True)  # fmt: skip

    states = [one.state for one in library.sweep(spec, out=out, jobs=jobs, progress=say)]
    counts = {state: states.count(state) for state in dict.fromkeys(states)}
    typer.echo(f"{total} runs: {', '.join(f'{n} {state}' for state, n in counts.items())}")
    if "failed" in counts:
        raise NcscopeError(
            f"{counts['failed']} of {total} runs failed; their words are in {out / 'logs'}; start "
            f"the sweep again to try them once more"
        )
