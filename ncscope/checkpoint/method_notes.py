"""What a method needs beside its checkpoint, and what a reader of its measures should know."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Need:
    """Something needed to run a learner: the option that gives it, and the value if it is known.

    `value` is None where nothing says it; `origin` says what did, or why it is needed.
    """

    what: str
    option: str
    value: str | None
    origin: str


# what is needed, its option, the setting of the trainer's section in log.txt that says it, why
_TEMPLATE = ("prompt template", "--template", None, "text features are those of a written prompt")
_DATASET = ("data set", "--data-name", "DATASET", "its prompt template is not in the file")
_POSITION = (
    "class token position",
    "--class-token-position",
    "CLASS_TOKEN_POSITION",
    "where the name stands in the prompt is not in the file",
)

NEEDS: dict[str, tuple[tuple[str, str, str | None, str], ...]] = {
    "CoOp": (_POSITION,),
    "ProGrad": (_POSITION,),
    "Nemesis": (_POSITION,),
    "PLOT": (_POSITION,),
    "PLOTNemesis": (_POSITION,),
    "DPC": (("base prompt", "--base", None, "the file holds a mixture with a CoOp prompt"),),
    "CoCoOp": (("condition", "--condition", None, "its prompts depend on the image"),),
    "TCP": (_DATASET,),
    "DeKg_TCP": (_DATASET,),
    "VPT": (_TEMPLATE,),
    "MMRL": (_DATASET,),
    "MMRL++": (_DATASET,),
    "TaskRes": (
        ("residual scale", "--residual-scale", "RESIDUAL_SCALE", "the file does not hold it"),
    ),
    "CLIP-Adapter": (_DATASET,),
    "Tip-Adapter": (_DATASET,),
    "CLIP-LoRA": (_DATASET,),
    "MMA": (("adapter scale", "", "ADAPTER_SCALE", "the file does not hold it; usually 0.001"),),
    "PromptKD": (("teacher", "--teacher", None, "the student has no text side"),),
}

WARNINGS: dict[str, str] = {
    "CoCoOp": "text features depend on the image, so there is no one set of them; say which "
    "(--condition)",
    "KgCoOp": "`bias_vectors` and `meta_net.linear1` are in the file but not used by the method",
    "DeKg": "`bias_vectors` and `meta_net.linear1` are in the file but not used by the method",
    "PromptSRC": "the towers in the file are averages over epochs in half precision, which differ "
    "from CLIP's by about 4e-4; only with `--backbone checkpoint` are the run's features exact",
    "HiCroPL": "the learner changes its own parameters at each forward pass, and its frozen text "
    "side (written descriptions) is not saved",
    "AnchorOPT": "the place of the anchor is drawn at random at each forward pass",
    "CoCoOp_AnchorOPT": "the place of the anchor is drawn at random at each forward pass",
    "PLOT": "the method decides by optimal transport over local features; its measures are of "
    "pooled features",
    "PLOTNemesis": "the method decides by optimal transport over local features; its measures are "
    "of pooled features",
    "PLOT++": "the method decides by optimal transport over several prompts; its measures are of "
    "pooled features",
    "MMRL": "the method has two image features, and uses both on base classes and one on new ones",
    "MMRL++": "the method has two image features, and uses both on base classes and one on new "
    "ones",
    "PromptKD": "there is no text side in the file: without --teacher only image measures",
    "TextRefiner": "the method does not normalise its text features; their norms differ",
    "Tip-Adapter": "the method decides by a cache of training features beside the text features",
    "DPC": "`ctx` is a mixture with the prompt of another run; without --base it is read as CoOp's",
    "LIFT": "the classifier is a cosine head initialised from text features, not a text tower",
}

NOT_LEARNERS: dict[str, str] = {
    "CLIP backbone": "a CLIP backbone, not a prompt learner; give it as --backbone",
    "feature file": "a feature file, not a checkpoint; give it to `ncscope analyze`",
    "Nemesis features": "stored features, not a checkpoint",
    "cached features": "stored features, not a checkpoint",
}
