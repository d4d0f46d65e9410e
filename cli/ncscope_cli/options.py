"""Options that several verbs share, each defined once, in the group its help shows it in.

Importing this imports no library.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ncscope_cli.help import BACKBONE, DATA, METHOD, OUTPUT, RUNNING, SOURCE

if TYPE_CHECKING:
    from ncscope.zoo.settings import LearnerOptions

MOST_SEED = 2**63 - 1  # that a generator takes
DATA_FORMS = """DATA is one of
  photos                a folder of class folders, or of train/, val/, test/ holding them
  list.csv              columns path and label or classname, and split if it has parts
  split.json            a split file in CoOp's format
  eurosat:/data         NAME:ROOT, a data set in CoOp's layout (imagenet-r:/data, ...)
  toy:shapes@sketch     toy:NAME[@DOMAIN], a task of the embedded toy world; toy:list prints them"""


def one_of(*words: str, group: str, help: str) -> Any:
    """An option that takes one of these words; a shell completes them, the library checks them."""

    def completed(incomplete: str) -> list[str]:
        return [word for word in words if word.startswith(incomplete)]

    return typer.Option(
        metavar="|".join(words), autocompletion=completed, rich_help_panel=group, help=help
    )


def _toy_list(data: str | None) -> str | None:
    """Print the toy tasks for `--data toy:list`, whatever else is missing, and stop."""
    if data == "toy:list":
        from ncscope.toy.tasks import task_lines
        from ncscope_cli.terminal import answer

        answer("\n".join(task_lines()))
        raise typer.Exit
    return data


_source = partial(typer.Option, rich_help_panel=SOURCE)
_data = partial(typer.Option, rich_help_panel=DATA)
_backbone = partial(typer.Option, rich_help_panel=BACKBONE)
_running = partial(typer.Option, rich_help_panel=RUNNING)
_method = partial(typer.Option, rich_help_panel=METHOD)
_DATA = _data(
    "--data", metavar="DATA", callback=_toy_list, is_eager=True,
    help="The images: a folder, a .csv, a split .json, NAME:ROOT or toy:NAME; see below.",
)  # fmt: skip
RequiredData = Annotated[str, _DATA]
Data = Annotated[str | None, _DATA]
Part = Annotated[
    str | None,
    one_of("train", "val", "test", group=DATA, help="Part of divided data; test if not said."),
]
Split = Annotated[
    str, one_of("base", "new", "all", group=DATA, help="First half of the classes, second, or all.")
]
SplitOrLogs = Annotated[
    str | None,
    one_of(
        *("base", "new", "all"),
        group=DATA,
        help="First half of the classes, second, or all; with --data-root as the run was trained.",
    ),
]
Classnames = Annotated[
    Path | None,
    _data(metavar="FILE", help="Class names in the order wanted, one a line; matched by name."),
]
Template = Annotated[
    list[str] | None,
    _backbone(
        metavar="TEXT|FILE[:PART]",
        help="Prompt with one {} in it, or a JSON file of them; several are averaged.",
    ),
]
DescriptionsFile = Annotated[
    Path | None,
    _backbone(
        metavar="FILE[:PART]",
        help="JSON of class names and sentences, instead of templates or averaged with --template.",
    ),
]
Backbone = Annotated[
    str,
    _backbone(
        metavar="NAME|PATH|checkpoint",
        help="open_clip's model name, a folder, hf-hub:OWNER/NAME, a .pt file; or the towers in "
        "SOURCE; auto: what log.txt or shapes say.",
    ),
]
Pretrained = Annotated[
    str | None, _backbone(metavar="TAG|FILE|random", help="Weights for a model name.")
]
TrustBackbone = Annotated[
    bool,
    _backbone(
        "--trust-backbone", help="Allow a backbone that may run code, or fetch what it names."
    ),
]
Learner = Annotated[
    str | None,
    _source(metavar="MODULE:CLASS", help="Your own class that reads SOURCE. Runs the module."),
]
Method = Annotated[
    str | None,
    _source(metavar="NAME", help="Read SOURCE as this method's, whatever its keys and log say."),
]
LoadEpoch = Annotated[
    int | None,
    _source(metavar="N", min=0, help="Of several files of a run; else model-best, or the last."),
]
Setting = Annotated[
    list[str] | None,
    _method(metavar="NAME=VALUE", help="A line of log.txt that is missing; repeatable."),
]
ClassTokenPosition = Annotated[
    str | None, one_of("end", "middle", "front", group=METHOD, help="CoOp: where the name stands.")
]
Condition = Annotated[
    str | None,
    one_of(
        *("mean", "class", "none", "per-image"), group=METHOD,
        help="CoCoOp: which images its prompts depend on; mean if not said.",
    ),
]  # fmt: skip
ImageFeature = Annotated[
    str | None,
    one_of("fused", "class", "representation", group=METHOD, help="MMRL; fused if not said."),
]
DataName = Annotated[
    str | None, _method(metavar="NAME", help="Data set whose templates are meant: EuroSAT, ...")
]
Transform = Annotated[
    str | None,
    one_of("current", "squash", group=METHOD, help="How the run's images were resized."),
]
ResidualScale = Annotated[float | None, _method(help="TaskRes: weight of its residual.")]
AdapterScale = Annotated[
    float | None, _method(help="MMA: weight of its adapters, 0.001 in its scripts; CLIP-Adapter's.")
]
Teacher = Annotated[
    str | None, _method(metavar="CHECKPOINT", help="PromptKD: its teacher, for the text side.")
]
TeacherBackbone = Annotated[
    str | None,
    _method(metavar="FILE|NAME", help="PromptKD: the CLIP of its teacher; a name: OpenAI's."),
]
Base = Annotated[
    str | None,
    _method(metavar="CHECKPOINT", help="DPC's prompt, AnchorOPT's anchor: another run's file."),
]
Device = Annotated[str, _running(metavar="auto|cpu|cuda|cuda:N|mps", help="Where to run.")]
Precision = Annotated[
    str,
    one_of("fp32", "tf32", "bf16", "fp16", group=RUNNING, help="Of the image tower's products."),
]
BatchSize = Annotated[int, _running(min=1, help="Images a forward pass.")]
Workers = Annotated[
    int | None, _running(min=0, help="Processes that decode images; chosen if not said.")
]
Cache = Annotated[
    str, _running(metavar="DIR|off", help="Where features are kept; auto: ~/.cache/ncscope.")
]
SkipBad = Annotated[
    bool,
    _data("--skip-bad", help="Leave out unreadable images, and features that are zero or NaN."),
]
Seed = Annotated[
    int | None,
    _running(min=0, max=MOST_SEED, help="Of random weights and bootstrap; 0 if not said."),
]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet", "-q", rich_help_panel=OUTPUT, help="No progress on stderr; warnings stay."
    ),
]
_OF_LEARNERS = (
    "descriptions", "class_token_position", "condition", "image_feature", "data_name", "transform",
    "residual_scale", "adapter_scale", "teacher", "teacher_backbone", "base", "method",
    "load_epoch",
)  # fmt: skip
_OF_EXTRACT = (
    "data", "backbone", "pretrained", "template", "split", "part", "device", "precision",
    "batch_size", "workers", "skip_bad", "cache", "trust_backbone", "seed",
)  # fmt: skip


def settings_said(lines: list[str] | None) -> dict[str, str] | None:
    """`--setting NAME=VALUE` as a dictionary; None where there is none."""
    pairs = [line.partition("=") for line in lines or ()]
    wrong = [name for name, sign, _ in pairs if not (sign and name.strip())]
    if wrong:
        raise typer.BadParameter(
            f"--setting is {wrong[0]!r}; expected NAME=VALUE, such as TRAINER.MMRLpp.BETA=0.7"
        )
    return {name.strip(): value.strip() for name, _, value in pairs} or None


def learner_options(said: Mapping[str, Any]) -> "LearnerOptions":
    """What a verb's options say of a checkpoint."""
    from ncscope.zoo.settings import LearnerOptions

    given = {name: said[name] for name in _OF_LEARNERS}
    return LearnerOptions(**given, settings=settings_said(said["setting"]))


def extraction(said: Mapping[str, Any]) -> dict[str, Any]:
    """What a verb's options say to `ncscope.extract`."""
    from ncscope.data.classes import read_classnames
    from ncscope.features.third_party import find_learner

    names, learner = said["classnames"], said["learner"]
    return {
        **{name: said[name] for name in _OF_EXTRACT},
        "classnames": None if names is None else read_classnames(names),
        "learner": None if learner is None else find_learner(learner),
        "options": learner_options(said),
    }
