"""`ncscope demo`: a first look, offline, without arguments."""

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
    """Measure a small generated feature set in three stages of collapse, and write a report."""
    import ncscope
    from ncscope.report.demo import STAGES, demo_features

    report = ncscope.analyze(*(demo_features(stage) for stage in STAGES))
    written = report.save(out)
    typer.echo("Generated features: 4 classes around a simplex ETF. No model, no images.\n")
    typer.echo(report.table())
    if not quiet:
        typer.echo(f"ncscope: wrote {', '.join(str(path) for path in written)}", err=True)
