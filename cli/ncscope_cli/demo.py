"""`ncscope demo`: the main job on the embedded toy suite, offline, without arguments."""

from pathlib import Path
from typing import Annotated

import typer

from ncscope_cli import options
from ncscope_cli.terminal import answer, say

EPILOG = """\b
Example:
  ncscope demo --out demo"""


def demo(
    out: Annotated[
        Path,
        typer.Option(
            metavar="DIR", help="Folder for report.html, metrics.json and a folder a run."
        ),
    ] = Path("demo"),
    quiet: options.Quiet = False,
) -> None:
    """Tune the embedded toy CLIP with and without NPT, balanced and long-tailed, and report."""
    from ncscope.demo import TASK, run_demo, table
    from ncscope.writing import make_folder

    def show(run: str) -> None:
        if not quiet:
            say(f"{TASK}: {run}")

    make_folder(out)
    found = run_demo(out, progress=show)
    written = found.report.save(out)
    answer(f"The toy CLIP on {TASK} (docs/toy.md): accuracies in per cent, 16 shots, one seed.")
    answer(
        "It is a toy: its text cone and modality gap are installed, and nothing here is a claim\n"
        "about CLIP, or that one method is better than another.\n"
    )
    answer(table(found.rows))
    if not quiet:
        say(f"wrote {', '.join(str(path) for path in written)}")
