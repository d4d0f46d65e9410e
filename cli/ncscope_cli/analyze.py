"""`ncscope analyze`: every measure of one or several sources, side by side."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from ncscope.text import clean
from ncscope_cli import options
from ncscope_cli.processes import processes
from ncscope_cli.progress import progress_bar
from ncscope_cli.terminal import answer, say

HALF = "half"  # what --intervene without a file means
_FEATURE_FILES = (".safetensors", ".npz")

if TYPE_CHECKING:
    from ncscope.features.bundle import Features
    from ncscope.features.processes import Spread
    from ncscope.page.report import Report


class FileOrNot(TyperCommand):
    """A command whose --intervene may stand alone, or be followed by a feature file."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        said = []
        for word, after in zip(args, [*args[1:], ""], strict=True):
            alone = word == "--intervene" and not after.endswith(_FEATURE_FILES)
            said.append(f"{word}={HALF}" if alone else word)
        return super().parse_args(ctx, said)


def analyze(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="Features: .safetensors, .npz, .pt, a folder of arrays, FILE,text=FILE; or with"
            " --data checkpoints, folders of their runs, and `zero-shot`.",
        ),
    ],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="For metrics.json, metrics.csv and report.html.")
    ],
    data: options.Data = None,
    part: options.Part = None,
    split: options.Split = "all",
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
        bool, typer.Option("--pairs", help="Image i and text i are a class: retrieval pairs.")
    ] = False,
    as_given: Annotated[
        bool,
        typer.Option("--as-given", help="Do not normalise: lengths mean something."),
    ] = False,
    train_counts: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Training images of each class, one number a line, or a .csv with columns "
            "classname and count: forms head, medium, tail.",
        ),
    ] = None,
    bootstrap: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=100_000,
            metavar="N",
            help="Replicates for intervals; 0 none; 200 if affordable.",
        ),
    ] = None,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="One bad source of several ends all; if not said, the others are measured, "
            "metrics.json names those left out, and the exit status is 1.",
        ),
    ] = False,
    seed: options.Seed = None,
    html: Annotated[bool, typer.Option(help="Write report.html.")] = True,
    thumbnails: Annotated[
        bool, typer.Option(help="Show small pictures of the images in report.html.")
    ] = True,
    tables: Annotated[
        list[str] | None,
        typer.Option(metavar="csv|md|tex", help="Also write every table in this format."),
    ] = None,
    images: Annotated[
        list[str] | None,
        typer.Option(
            metavar="png|svg|pdf", help="Also write every figure; needs ncscope[images], a browser."
        ),
    ] = None,
    intervene: Annotated[
        str | None,
        typer.Option(
            metavar="[FILE]",
            help="Also move the features along each measure (close the gap, centre, nearest "
            "simplex, text := image means, whiten) and judge accuracy and measures after it; "
            "estimated on the images in FILE (.safetensors, .npz), else on half of each class's "
            "images, and judged on the others.",
        ),
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Measure neural collapse: a table on stdout, and metrics and a report in a folder.

    Under torchrun images are encoded and measured by its processes in shares.
    """
    import ncscope
    from ncscope.data.classes import read_classnames
    from ncscope.data.tables import read_train_counts
    from ncscope.features.third_party import find_learner
    from ncscope.writing import make_folder
    from ncscope.zoo.load import check_source
    from ncscope.zoo.settings import LearnerOptions

    def check(source: str) -> None:
        if learner is None:
            check_source(source, method, load_epoch)

    def extract(source: str, spread: "Spread") -> "Features":
        assert data is not None
        with progress_bar(f"ncscope: {source}", quiet=quiet or not spread.first) as progress:
            return ncscope.extract(
                source,
                data=data,
                backbone=backbone,
                pretrained=pretrained,
                template=template,
                classnames=None if classnames is None else read_classnames(classnames),
                split=split,
                part=part,
                device=device,
                precision=precision,
                batch_size=batch_size,
                workers=workers,
                skip_bad=skip_bad,
                cache=cache,
                trust_backbone=trust_backbone,
                seed=seed,
                options=LearnerOptions(
                    descriptions=descriptions,
                    class_token_position=class_token_position,
                    condition=condition,
                    image_feature=image_feature,
                    data_name=data_name,
                    transform=transform,
                    residual_scale=residual_scale,
                    adapter_scale=adapter_scale,
                    teacher=teacher,
                    teacher_backbone=teacher_backbone,
                    base=base,
                    method=method,
                    load_epoch=load_epoch,
                    settings=options.settings_said(setting),
                ),
                learner=None if learner is None else find_learner(learner),
                progress=progress,
                spread=spread,
            )

    with processes() as spread:
        if spread.first:
            make_folder(out)  # before any work: a folder that cannot be written is known now
        report = ncscope.analyze(
            *sources,
            extract=None if data is None else lambda source: extract(source, spread),
            skip_bad=skip_bad,
            check=check,
            strict=strict,
            left_out=say,
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
        if not spread.first:
            return
        written = report.save(
            out, html=html, thumbnails=thumbnails, tables_as=tables or (), images_as=images or ()
        )
        _tell(report, written, quiet=quiet)
        if report.left_out:
            names = ", ".join(one["source"] for one in report.left_out)
            say(f"left out {len(report.left_out)} of {len(sources)} sources: {names}")
            raise typer.Exit(1)


def _tell(report: "Report", written: list[Path], *, quiet: bool) -> None:
    from ncscope.diagnosis.what_if import what_if

    for sentence in report.verdict():
        answer(clean(sentence))
    answer(report.table())
    for run in report.runs:
        check = run.record["provenance"].get("self_check")
        if check and check["agrees"]:
            answer(clean(f"{run.record['source']}: {check['says']}"))
    for run in report.runs:
        for sentence in what_if(run.record):
            answer(clean(f"{run.record['source']}: {sentence}"))
    for run in report.runs:
        for warning in run.record["warnings"]:
            say(f"{run.record['source']}: {warning}")
    if not quiet:
        say(f"wrote {', '.join(str(path) for path in written)}")
