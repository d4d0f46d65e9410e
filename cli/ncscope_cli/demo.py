"""`ncscope demo`: the main job on the embedded toy suite, offline, without arguments."""

from pathlib import Path
from typing import Annotated

import typer

from ncscope_cli import options


def demo(
    out: Annotated[
        Path,
        typer.Option(metavar="DIR", help="For metrics.json, report.html and a folder a run."),
    ] = Path("demo"),
    quiet: options.Quiet = False,
) -> None:
    """Tune the embedded toy CLIP with and without NPT, balanced and long-tailed, and report."""
    from ncscope.demo import TASK, run_demo, table
    from ncscope.writing import make_folder

    def say(run: str) -> None:
        if not quiet:
            typer.echo(f"ncscope: {TASK}: {run}", err=True)

    make_folder(out)
    found = run_demo(out, progress=say)
    written = found.report.save(out)
    typer.echo(f"The toy CLIP on {TASK} (docs/toy.md): accuracies in per cent, 16 shots, one seed.")
    typer.echo(
        "It is a toy: its text cone and modality gap are installed, and nothing here is a claim\n"
        "about CLIP, or that one method is better than another.\n"
    )
    typer.echo(table(found.rows))
    if not quiet:
        typer.echo(f"ncscope: wrote {', '.join(str(path) for path in written)}", err=True)
