"""`ncscope export`: a tuned run in the layout that the methods' own code loads."""

from pathlib import Path
from typing import Annotated

import typer

from ncscope_cli import options
from ncscope_cli.terminal import say

EPILOG = """\b
Example:
  ncscope export tuned --format dassl --out tuned-dassl"""


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a tuned run.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the authors' layout is written.")],
    format: Annotated[str, typer.Option(metavar="dassl", help="Whose layout.")] = "dassl",
    quiet: options.Quiet = False,
) -> None:
    """Write a tuned learner as model.pth.tar in the folder its authors' code looks in."""
    from ncscope.tuning.save import export as write

    written = write(run, out, format=format)
    if not quiet:
        say(f"wrote {written}")
