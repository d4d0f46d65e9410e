"""What a file of a method may lack, the option that gives it, and the log's key for it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Asked:
    """A fact that a file of the method may lack: its option, the log's key for it, and why."""

    what: str
    option: str
    setting: str | None
    why: str


TEMPLATE = Asked(
    "prompt template", "--template", None, "text features are those of a written prompt"
)
DATASET = Asked("data set", "--data-name", "DATASET", "its prompt template is not in the file")
POSITION = Asked(
    "class token position",
    "--class-token-position",
    "CLASS_TOKEN_POSITION",
    "where the name stands in the prompt is not in the file",
)
CONDITION = Asked("condition", "--condition", None, "its prompts depend on the image")
BASE = Asked("base prompt", "--base", None, "the file holds a mixture with a CoOp prompt")
RESIDUAL = Asked(
    "residual scale", "--residual-scale", "RESIDUAL_SCALE", "the file does not hold it"
)
ADAPTER = Asked("adapter scale", "--adapter-scale", "ADAPTER_SCALE", "the file does not hold it")
BIP_NEEDS = tuple(
    Asked(what, f"--setting TRAINER.COOP.{key}=", key, "the file does not hold it")
    for what, key in (
        ("blocks of the text tower", "TL"),
        ("blocks of the image tower", "VL"),
        ("share in the text tower", "TFW"),
        ("share in the image tower", "VFW"),
    )
)
TEACHER = Asked("teacher", "--teacher", None, "the student has no text side")
