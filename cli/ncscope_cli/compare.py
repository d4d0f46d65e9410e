"""`ncscope compare`: tables, paired tests and correlations over many runs."""

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from ncscope_cli import options
from ncscope_cli.help import MEASURES, OUTPUT, RUNNING, SOURCE
from ncscope_cli.terminal import answer, say

EPILOG = """\b
Examples:
  ncscope compare runs --baseline maple --out table.html
  ncscope compare runs --layout ablation --tau 0.05 --out ablation.tex"""


class Layout(str, Enum):
    """Which tables."""

    auto = "auto"
    base_to_new = "base-to-new"
    cross_dataset = "cross-dataset"
    domain = "domain"
    ablation = "ablation"
    measures = "measures"


class Which(str, Enum):
    """Of which measures there are correlations."""

    none = "none"
    headline = "headline"
    all = "all"


class Duplicates(str, Enum):
    """What to do with a run that comes twice."""

    error = "error"
    newest = "newest"


def compare(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR_OR_FILE...",
            rich_help_panel=SOURCE,
            help="Folders of runs, searched at any depth for metrics.json, or such files.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            rich_help_panel=OUTPUT,
            help="The table; its suffix says how: .txt, .csv, .md, .tex, or .html, with plots.",
        ),
    ],
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", rich_help_panel=MEASURES, help="Row that all others are tested against."
        ),
    ] = None,
    layout: Annotated[
        Layout, typer.Option(rich_help_panel=OUTPUT, help="Which tables; auto: all with runs.")
    ] = Layout.auto,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="SETTING,...",
            rich_help_panel=OUTPUT,
            help="Settings that make rows of their own, as lcd_weight,lr; all that differ if not "
            "said.",
        ),
    ] = None,
    tau: Annotated[
        list[float] | None,
        typer.Option(metavar="T", rich_help_panel=SOURCE, help="Only runs trained at this ratio."),
    ] = None,
    before: Annotated[
        bool,
        typer.Option(
            "--before", rich_help_panel=SOURCE, help="Also what each tuning started from, as rows."
        ),
    ] = False,
    duplicates: Annotated[
        Duplicates,
        typer.Option(rich_help_panel=SOURCE, help="Of two runs of one row: refuse, or the newest."),
    ] = Duplicates.error,
    correlations: Annotated[
        Which,
        typer.Option(
            rich_help_panel=MEASURES,
            help="Of measures with accuracies; in .html with scatter plots.",
        ),
    ] = Which.none,
    seed: Annotated[
        int,
        typer.Option(
            min=0, max=options.MOST_SEED, rich_help_panel=RUNNING, help="Of the bootstrap."
        ),
    ] = 0,
    quiet: options.Quiet = False,
) -> None:
    """Compare many runs: tables as the field prints them, paired tests, correlations."""
    from ncscope.comparison import compare as library
    from ncscope.comparison.rows import counted

    library.check_suffix(out)
    comparison = library.compare(
        *paths,
        baseline=baseline,
        layout=layout.value,
        by=None if by is None else [key.strip() for key in by.split(",") if key.strip()],
        tau=tau or None,
        before=before,
        duplicates=duplicates.value,
        correlations=correlations.value,
        seed=seed,
    )
    written = comparison.save(out)
    answer(comparison.table())
    if not quiet:
        say(f"{counted(comparison.rows)}; wrote {written}")
