"""`ncscope extract`: image and text features of a prompt learner on a data set, in a file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ncscope_cli import options
from ncscope_cli.help import OUTPUT, SOURCE
from ncscope_cli.processes import processes
from ncscope_cli.progress import progress_bar
from ncscope_cli.terminal import say
from ncscope_cli.unused import say_unused

EPILOG = f"""\b
Example:
  ncscope extract zero-shot --data photos --backbone ViT-B-16.pt --out clip.npz

\b
{options.DATA_FORMS}"""

if TYPE_CHECKING:
    from ncscope.features.bundle import Features


def extract(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            rich_help_panel=SOURCE,
            help="A checkpoint or its run's folder, or `zero-shot`.",
        ),
    ],
    data: options.RequiredData,
    out: Annotated[
        Path,
        typer.Option(
            metavar="FILE", rich_help_panel=OUTPUT, help="A .safetensors or .npz file to write."
        ),
    ],
    backbone: options.Backbone = "auto",
    pretrained: options.Pretrained = None,
    template: options.Template = None,
    descriptions: options.DescriptionsFile = None,
    classnames: options.Classnames = None,
    split: options.Split = "all",
    part: options.Part = None,
    device: options.Device = "auto",
    precision: options.Precision = "fp32",
    batch_size: options.BatchSize = 64,
    workers: options.Workers = None,
    cache: options.Cache = "auto",
    skip_bad: options.SkipBad = False,
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
    seed: options.Seed = None,
    quiet: options.Quiet = False,
) -> None:
    """Encode a data set's images and class names, and write the features to a file.

    Under torchrun the images are shared by its processes.
    """
    said = dict(locals())
    import ncscope  # here, so that --help does not wait for torch
    from ncscope.features.arrays import check_target

    if pretrained != "random":
        say_unused(["seed"], "without --pretrained random")
    with processes() as spread:
        if spread.first:
            check_target(out)
        with progress_bar("extract", quiet=quiet or not spread.first) as progress:
            features = ncscope.extract(
                source, **options.extraction(said), progress=progress, spread=spread
            )
        if spread.first:
            _write(features, out, quiet=quiet)


def _write(features: "Features", out: Path, *, quiet: bool) -> None:
    import ncscope

    ncscope.write_features(features, out)
    for warning in features.warnings:
        say(f"warning: {warning}", name="")
    if not quiet:
        sizes = f"{features.num_samples} images, {features.num_classes} classes"
        say(f"wrote {out}: {sizes}, {features.width} wide", name="")
