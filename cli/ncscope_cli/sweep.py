"""`ncscope sweep`: a grid of tuning runs, several at a time, resumable, here or on a cluster."""

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ncscope_cli import options
from ncscope_cli.help import DATA, OUTPUT, RUNNING, SOURCE
from ncscope_cli.terminal import answer, say
from ncscope_cli.unused import say_unused

if TYPE_CHECKING:
    from ncscope.grids.sweep import Swept

EPILOG = """\b
Examples:
  ncscope sweep toy-figure1 --out f1
  ncscope sweep grid.toml --out runs --jobs 2

\b
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
    spec: Annotated[
        str | None,
        typer.Argument(
            metavar="SPEC",
            rich_help_panel=SOURCE,
            help="A ready grid by name, see --list; or SPEC.toml, see below.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", rich_help_panel=OUTPUT, help="One folder a run; also logs/ and locks/."
        ),
    ] = None,
    list_ready: Annotated[
        bool,
        typer.Option(
            "--list", rich_help_panel=SOURCE, help="Print the ready grids, and do nothing."
        ),
    ] = False,
    root: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", rich_help_panel=DATA, help="Where the data are: {root} in the grid."
        ),
    ] = None,
    jobs: Annotated[
        int,
        typer.Option(
            min=1,
            rich_help_panel=RUNNING,
            help="Runs at a time, here; with --slurm, jobs of the array.",
        ),
    ] = 1,
    one_by_one: Annotated[
        bool,
        typer.Option(
            "--one-by-one",
            rich_help_panel=RUNNING,
            help="A process and a log for every run, also where runs could train together.",
        ),
    ] = False,
    gpus: Annotated[
        int,
        typer.Option(
            min=0,
            rich_help_panel=RUNNING,
            help="GPUs of a run, by torchrun if several; of a job of --slurm.",
        ),
    ] = 0,
    slurm: Annotated[
        bool,
        typer.Option(
            "--slurm", rich_help_panel=RUNNING, help="Submit to SLURM, by submitit, and return."
        ),
    ] = False,
    partition: Annotated[
        str | None, typer.Option(metavar="NAME", rich_help_panel=RUNNING, help="Of SLURM.")
    ] = None,
    time: Annotated[
        int,
        typer.Option(
            metavar="MINUTES", min=1, rich_help_panel=RUNNING, help="Of a job of --slurm, at most."
        ),
    ] = 240,
    cpus: Annotated[
        int,
        typer.Option(
            min=1,
            rich_help_panel=RUNNING,
            help="Cores of a job of --slurm; it waits for ever for too many.",
        ),
    ] = 4,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", rich_help_panel=OUTPUT, help="Print the runs as commands, and do none."
        ),
    ] = False,
    quiet: options.Quiet = False,
) -> None:
    """Do a grid of tune runs: skip what is done, resume what was cut off, share it with others.

    Start it as often as you like, on any machines that share the folder: no run is done twice.
    """
    every = [name for name in locals() if name != "list_ready"]
    from ncscope.errors import NcscopeError

    if list_ready:
        say_unused(every, "with --list")
        answer(listing())
        return
    if spec is None or out is None:
        raise typer.BadParameter("SPEC and --out are needed, or --list")
    if dry_run:
        others = [name for name in every if name not in ("spec", "out", "root", "dry_run")]
        say_unused(others, "with --dry-run")
        _dry(spec, out, root)
        return
    if slurm:
        from ncscope.grids.slurm import Share, submit

        share = Share(minutes=time, partition=partition, gpus=gpus, cpus=cpus)
        submitted = submit(
            spec, out=out, jobs=jobs, share=share, root=root, together=not one_by_one
        )
        answer(f"submitted {', '.join(job.job_id for job in submitted)}; words in {out}/slurm")
        return
    say_unused(["partition", "time", "cpus"], "without --slurm")
    states = _sweep(spec, out, root, jobs=jobs, gpus=gpus, together=not one_by_one, quiet=quiet)
    counts = {state: states.count(state) for state in dict.fromkeys(states)}
    total = len(states)
    answer(f"{total} runs: {', '.join(f'{n} {state}' for state, n in counts.items())}")
    if "failed" in counts:
        raise NcscopeError(
            f"{counts['failed']} of {total} runs failed; their words are in {out / 'logs'}; start "
            f"the sweep again to try them once more"
        )


def listing() -> str:
    """The ready grids: what each makes, its runs, its time, and what to do then."""
    from ncscope.grids.spec import FOLDER, read_about, read_spec, ready_names, spec_path

    lines = []
    for name in ready_names():
        about, runs = read_about(spec_path(name)), read_spec(spec_path(name), root="ROOT")
        lines += [f"{name}: {about['makes']}", f"  {len(runs)} runs; {about['time']}",
                  f"  then: {about['then']}"]  # fmt: skip
    return "\n".join([*lines, f"Files to copy and change: {FOLDER}"])


def _dry(spec: str, out: Path, root: Path | None) -> None:
    import shlex

    from ncscope.grids.spec import read_spec, spec_path

    for run in read_spec(spec_path(spec), root=root):
        words = [*run.arguments(), "--out", str(out / run.name)]
        answer(f"ncscope tune {shlex.join(words)}")


def _sweep(
    spec: str, out: Path, root: Path | None, *, jobs: int, gpus: int, together: bool, quiet: bool
) -> list[str]:
    from ncscope.grids import sweep as library
    from ncscope.grids.children import terminated_as_interrupted
    from ncscope.grids.run import command_on
    from ncscope.grids.spec import read_spec, spec_path

    runs = read_spec(spec_path(spec), root=root)  # once: it may be a pipe
    total, ended, lock = len(runs), 0, threading.Lock()

    def show(swept: "Swept") -> None:
        nonlocal ended
        with lock:
            ended += swept.state != "elsewhere"  # it is waited for, and told again
            failed = swept.state == "failed"
            if failed or not quiet:
                words = f"; {swept.why or f'see {swept.log}'}" if failed else ""
                say(f"{ended}/{total} {swept.state}: {swept.run.name}{words}")

    with terminated_as_interrupted():
        found = library.sweep(
            runs, out=out, jobs=jobs, together=together, command=command_on(gpus),
            progress=show,
        )  # fmt: skip
    return [one.state for one in found]
