"""`ncscope analyze`: every measure of one or several sources, side by side."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ncscope.text import clean
from ncscope_cli import options
from ncscope_cli.analyze_folder import measure_folder, runs_below, warnings
from ncscope_cli.help import DATA, MEASURES, OUTPUT, SOURCE, Grouped
from ncscope_cli.processes import first, processes
from ncscope_cli.progress import progress_bar
from ncscope_cli.terminal import answer, say
from ncscope_cli.unused import EXTRACTION, say_unused

HALF = "half"  # what --intervene without a file means
_FEATURE_FILES = (".safetensors", ".npz")

EPILOG = f"""\b
Examples:
  ncscope analyze features.npz --out out
  ncscope analyze zero-shot runs/seed1 --data eurosat:/data --split new --out out
  ncscope analyze zero-shot output --data-root /data --backbone ViT-B-16.pt --out out

\b
{options.DATA_FORMS}"""

if TYPE_CHECKING:
    from ncscope.features.bundle import Features
    from ncscope.features.processes import Spread
    from ncscope.page.report import Report


class FileOrNot(Grouped):
    """A command whose --intervene may stand alone, or be followed by a feature file."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        said = []
        for word, after in zip(args, [*args[1:], ""], strict=True):
            alone = word == "--intervene" and not after.endswith(_FEATURE_FILES)
            said.append(f"{word}={HALF}" if alone else word)
        return super().parse_args(ctx, said)


COMMAND = FileOrNot


def analyze(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            rich_help_panel=SOURCE,
            help="Feature files, or FILE,text=FILE; with --data or --data-root checkpoints, "
            "folders with any runs below them, and `zero-shot`.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            rich_help_panel=OUTPUT,
            help="Folder for report.html, metrics.json and metrics.csv.",
        ),
    ],
    data: options.Data = None,
    data_root: Annotated[
        Path | None,
        typer.Option(
            metavar="ROOT",
            rich_help_panel=DATA,
            help="For --data: each run's data set and classes are its log's, below ROOT.",
        ),
    ] = None,
    part: options.Part = None,
    split: options.SplitOrLogs = None,
    classnames: options.Classnames = None,
    template: options.Template = None,
    descriptions: options.DescriptionsFile = None,
    backbone: options.Backbone = "auto",
    pretrained: options.Pretrained = None,
    trust_backbone: options.TrustBackbone = False,
    class_token_position: options.ClassTokenPosition = None,
    condition: options.Condition = None,
    image_feature: options.ImageFeature = None,
    data_name: options.DataName = None,
    transform: options.Transform = None,
    residual_scale: options.ResidualScale = None,
    adapter_scale: options.AdapterScale = None,
    teacher: options.Teacher = None,
    teacher_backbone: options.TeacherBackbone = None,
    base: options.Base = None,
    method: options.Method = None,
    load_epoch: options.LoadEpoch = None,
    setting: options.Setting = None,
    learner: options.Learner = None,
    device: options.Device = "auto",
    precision: options.Precision = "fp32",
    batch_size: options.BatchSize = 64,
    workers: options.Workers = None,
    cache: options.Cache = "auto",
    skip_bad: options.SkipBad = False,
    pairs: Annotated[
        bool,
        typer.Option(
            "--pairs", rich_help_panel=MEASURES, help="Image i and text i are a class: retrieval."
        ),
    ] = False,
    as_given: Annotated[
        bool,
        typer.Option(
            "--as-given", rich_help_panel=MEASURES, help="Do not normalise: lengths mean something."
        ),
    ] = False,
    train_counts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=DATA,
            help="Training images of each class, a number a line or a .csv: head, medium, tail.",
        ),
    ] = None,
    bootstrap: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=100_000,
            metavar="N",
            rich_help_panel=MEASURES,
            help="Replicates for intervals; 0 none; 200 if affordable.",
        ),
    ] = None,
    intervene: Annotated[
        str | None,
        typer.Option(
            metavar="[FILE]",
            rich_help_panel=MEASURES,
            help="Also move the features along each measure and judge accuracy; moves are "
            "estimated on FILE, else on half of the images.",
        ),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            rich_help_panel=SOURCE,
            help="One bad source ends all; else it is left out, named, and the exit status is 1.",
        ),
    ] = False,
    seed: options.Seed = None,
    html: Annotated[bool, typer.Option(rich_help_panel=OUTPUT, help="Write report.html.")] = True,
    thumbnails: Annotated[
        bool, typer.Option(rich_help_panel=OUTPUT, help="Small pictures of images in report.html.")
    ] = True,
    tables: Annotated[
        list[str] | None,
        options.one_of("csv", "md", "tex", group=OUTPUT, help="Also write every table so."),
    ] = None,
    images: Annotated[
        list[str] | None,
        options.one_of(
            *("png", "svg", "pdf"),
            group=OUTPUT,
            help="Also write every figure so; needs ncscope[images] and a Chromium.",
        ),
    ] = None,
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose", "-v", rich_help_panel=OUTPUT, help="Every sentence and every number."
        ),
    ] = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure neural collapse: the verdict on stdout, numbers and a report in a folder.

    Under torchrun images are encoded and measured by its processes in shares, runs below a folder
    by a process each.
    """
    said = dict(locals())
    import ncscope
    from ncscope.data.tables import read_train_counts
    from ncscope.features.arranged import is_feature_file, is_feature_source
    from ncscope.writing import make_folder
    from ncscope.zoo.load import check_source

    without_data = data is None and data_root is None
    if all(map(is_feature_source if without_data else is_feature_file, sources)):
        say_unused(EXTRACTION, "on features, which are measured as they are")
        data = data_root = None
    if not html:
        say_unused(["thumbnails"], "with --no-html")

    def check(source: str) -> None:
        if learner is None:
            check_source(source, method, load_epoch)

    def extract(source: str, spread: "Spread") -> "Features":
        with progress_bar(f"ncscope: {source}", quiet=quiet or not spread.first) as progress:
            return ncscope.extract(source, **given, progress=progress, spread=spread)

    sources, notes, several = runs_below(sources, data=data is not None)
    for note in notes if first() else ():
        say(note)
    if data_root is not None or several:
        with processes() as spread:
            whole = {**said, "sources": sources}
            status = measure_folder(whole, spread, moved=intervene, half=HALF)
        if status:
            raise typer.Exit(status)
        return
    split = split or "all"
    given = {} if data is None else options.extraction({**said, "split": split})
    with processes() as spread:
        if spread.first:
            make_folder(out)  # before any work: a folder that cannot be written is known now
        report = ncscope.analyze(
            *sources,
            extract=None if data is None else lambda source: extract(source, spread),
            skip_bad=skip_bad,
            check=check,
            strict=strict,
            left_out=say if spread.first else None,
            part=part,
            split=split,
            pairs=pairs,
            normalise=not as_given,
            train_counts=None if train_counts is None else read_train_counts(train_counts),
            bootstrap=bootstrap,
            seed=0 if seed is None else seed,
            spread=spread,
            intervene=False if intervene is None else intervene == HALF or intervene,
        )
        if spread.first:
            written = report.save(
                out, html=html, thumbnails=thumbnails, tables_as=tables or (),
                images_as=images or (),
            )  # fmt: skip
            _tell(report, written, verbose=verbose, quiet=quiet)
            if report.left_out:
                names = ", ".join(one["source"] for one in report.left_out)
                say(f"left out {len(report.left_out)} of {len(sources)} sources: {names}")
    if report.left_out:
        raise typer.Exit(1)


def _tell(report: "Report", written: list[Path], *, verbose: bool, quiet: bool) -> None:
    from ncscope.diagnosis.what_if import what_if

    for sentence in report.verdict(brief=not verbose):
        answer(clean(sentence))
    answer(report.table(brief=not verbose))
    for run in report.runs:
        check = run.record["provenance"].get("self_check")
        if check and check["agrees"]:
            answer(clean(f"{run.record['source']}: {check['says']}"))
    for run in report.runs:
        for sentence in what_if(run.record):
            answer(clean(f"{run.record['source']}: {sentence}"))
    for line in warnings(report.records):
        say(line)
    if not quiet:
        more = "" if verbose else "; all measures there, and here by --verbose"
        say(f"wrote {', '.join(str(path) for path in written)}{more}")
