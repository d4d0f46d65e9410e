"""Options that several verbs share, each defined once. Importing this imports no library."""

from pathlib import Path
from typing import Annotated

import typer

MOST_SEED = 2**63 - 1  # that a generator takes


def _toy_list(data: str | None) -> str | None:
    """Print the toy tasks for `--data toy:list`, whatever else is missing, and stop."""
    if data == "toy:list":
        from ncscope.toy.tasks import task_lines
        from ncscope_cli.terminal import answer

        answer("\n".join(task_lines()))
        raise typer.Exit
    return data


_DATA = typer.Option(
    "--data",
    metavar="DATA",
    callback=_toy_list,
    is_eager=True,
    help="A folder of class folders, or of train/, val/, test/ holding them; a .csv with columns "
    "path and label or classname; a split file in CoOp's format (.json); NAME:ROOT, a data set in "
    "CoOp's layout (eurosat:/data, imagenet-r:/data); or toy:NAME[@DOMAIN], a toy task "
    "(toy:list prints them).",
)
RequiredData = Annotated[str, _DATA]
Data = Annotated[str | None, _DATA]
Part = Annotated[
    str | None,
    typer.Option(metavar="train|val|test", help="Part of divided data; test if not said."),
]
Split = Annotated[
    str,
    typer.Option(
        metavar="base|new|all",
        help="First half of the classes, second, or all; of a file, its part.",
    ),
]
Classnames = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Class names, one a line, in the order wanted; matched by name."
    ),
]
Template = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TEXT",
        help="Prompt with one {} in it, or a JSON FILE[:PART] of them; several are averaged.",
    ),
]
DescriptionsFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE[:PART]",
        help="JSON of class names and lists of sentences (CuPL's form), in place of the template "
        "of zero-shot and written prompts, or averaged with --template; PART: of many data sets.",
    ),
]
Backbone = Annotated[
    str,
    typer.Option(
        metavar="NAME|PATH|checkpoint",
        help="An open_clip model name, a folder of open_clip's or Hugging Face's (CLIP, SigLIP), "
        "hf-hub:OWNER/NAME, or OpenAI's .pt file; checkpoint takes the towers in SOURCE; auto what "
        "its log.txt or shapes say.",
    ),
]
Pretrained = Annotated[
    str | None,
    typer.Option(metavar="TAG|FILE|random", help="Weights for a model name."),
]
TrustBackbone = Annotated[
    bool,
    typer.Option(
        "--trust-backbone",
        help="Open a TorchScript archive of unknown origin, or a folder that names what to fetch; "
        "it may run code.",
    ),
]
ClassTokenPosition = Annotated[
    str | None,
    typer.Option(metavar="end|middle|front", help="Where CoOp's class name stands, if no log."),
]
Condition = Annotated[
    str | None,
    typer.Option(
        metavar="mean|class|none|per-image", help="Which images CoCoOp's prompts depend on; mean."
    ),
]
ImageFeature = Annotated[
    str | None,
    typer.Option(metavar="fused|class|representation", help="Which of MMRL's features; fused."),
]
DataName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="Data set whose templates are meant: EuroSAT, ...; NAME:ROOT tells."
    ),
]


def settings_said(lines: list[str] | None) -> dict[str, str] | None:
    """`--setting NAME=VALUE` as a dictionary; None where there is none."""
    pairs = [line.partition("=") for line in lines or ()]
    wrong = [name for name, sign, _ in pairs if not (sign and name.strip())]
    if wrong:
        raise typer.BadParameter(
            f"--setting is {wrong[0]!r}; expected NAME=VALUE, such as TRAINER.MMRLpp.BETA=0.7"
        )
    return {name.strip(): value.strip() for name, _, value in pairs} or None


Transform = Annotated[
    str | None,
    typer.Option(metavar="current|squash", help="Of the run's images, if there is no log.txt."),
]
ResidualScale = Annotated[
    float | None, typer.Option(help="Of TaskRes, if there is no log.txt to tell.")
]
AdapterScale = Annotated[
    float | None, typer.Option(help="Of MMA, if there is no log.txt to tell; 0.001 in its scripts.")
]
Teacher = Annotated[
    str | None, typer.Option(metavar="CHECKPOINT", help="With PromptKD's text side.")
]
TeacherBackbone = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|NAME",
        help="The CLIP that the teacher was trained on; a name: OpenAI's weights.",
    ),
]
Base = Annotated[
    str | None,
    typer.Option(
        metavar="CHECKPOINT", help="That belongs to SOURCE: DPC's prompt, AnchorOPT's anchor."
    ),
]
Method = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Read SOURCE as this method's (CoOp, MaPLe, ...), whatever its keys and log say.",
    ),
]
LoadEpoch = Annotated[
    int | None,
    typer.Option(
        min=0,
        metavar="N",
        help="Of a run's several files model.pth.tar-N; if not said, model-best, else the last.",
    ),
]
Setting = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=VALUE", help="Of SOURCE's run, as log.txt would say it; may be repeated."
    ),
]
Learner = Annotated[
    str | None,
    typer.Option(
        metavar="MODULE:CLASS",
        help="Your own class that reads SOURCE, called with it and the backbone. Runs the module.",
    ),
]
Device = Annotated[str, typer.Option(metavar="auto|cpu|cuda|cuda:N|mps", help="Where to run.")]
Precision = Annotated[
    str, typer.Option(metavar="fp32|bf16|fp16", help="Of the image tower's forward pass.")
]
BatchSize = Annotated[int, typer.Option(min=1, help="Images a forward pass.")]
Workers = Annotated[
    int | None, typer.Option(min=0, help="Processes that decode images; chosen if not said.")
]
Cache = Annotated[
    str,
    typer.Option(
        metavar="DIR|off", help="Where image features are kept; auto is ~/.cache/ncscope."
    ),
]
SkipBad = Annotated[
    bool,
    typer.Option(
        "--skip-bad",
        help="Leave out images that cannot be read, or whose features are zero or NaN.",
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        min=0, max=MOST_SEED, help="Of random weights (--pretrained random); 0 if not said."
    ),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress and no summary; warnings stay.")
]
