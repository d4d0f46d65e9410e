"""`ncscope demo`: the main job on the embedded toy suite, offline, without arguments."""

from pathlib import Path
from typing import Annotated

import typer

from ncscope_cli import options


def demo(
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="For metrics.json, metrics.csv and report.html.")
    ] = Path("demo"),
    quiet: options.Quiet = False,
) -> None:
    """Measure the embedded toy CLIP, zero-shot, on several toy tasks, and write a report."""
    from ncscope.report.demo import demo_report
    from ncscope.report.tables import make_folder

    def say(task: str) -> None:
        if not quiet:
            typer.echo(f"ncscope: rendering and measuring {task}", err=True)

    make_folder(out)
    report = demo_report(progress=say)
    written = report.save(out)
    typer.echo("The toy CLIP, zero-shot, on tasks of the toy suite (docs/toy.md). It is a toy: its")
    typer.echo(
        "text cone and modality gap are installed, and nothing here is a claim about CLIP.\n"
    )
    typer.echo(report.table())
    if not quiet:
        typer.echo(f"ncscope: wrote {', '.join(str(path) for path in written)}", err=True)
