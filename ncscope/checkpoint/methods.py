"""What is known of every method: how it is read, its trainers' names, its needs and cautions."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

_CONTEXT = "learned context, class name at the end, middle or front"
_TABLE_ONLY = "no: a table of the training classes"
_WRITTEN = "written prompt of the data set"
_TRANSPORT = "the method decides by optimal transport; features are pooled"
# What `ncscope tune` trains
TUNED_HERE = frozenset(
    {
        *("CoOp", "CoCoOp", "KgCoOp", "ProGrad", "VPT", "IVLP", "MaPLe", "PromptSRC", "TCP"),
        *("TaskRes", "CLIP-Adapter"),
    }
)
# Patterns for the trainer's name, folded
_TRAINERS = {
    "CoOp": r"(csc)?coop",
    "ProGrad": r"prograd.*",
    "Nemesis": r"(?!plot).*nemesis.*",
    "DPC": r".*(dpc|sple).*",
    "CoCoOp": r"cocoop",
    "KgCoOp": r"kgcoop.*",
    "DeKg": r"dekg(coop)?",
    "TCP": r"tcp",
    "DeKg_TCP": r"dekg.*tcp",
    "PLOT": r"plot",
    "PLOTNemesis": r"plotnemesis",
    "PLOT++": r"plot(pp|\+\+)",
    "MaPLe": r"maple",
    "MaPLe_ATP": r"maple.*at(p|t|prompt).*",
    "CoOp_ATP": r"coop.*at(p|t|prompt).*",
    "CoCoOp_ATP": r"cocoop.*at(p|t|prompt).*",
    "AnchorOPT": r"coop.*(dyntoken|anchor).*",
    "CoCoOp_AnchorOPT": r"cocoop.*(dyntoken|anchor).*",
    "IVLP": r"(ivlp|independentvl.*)",
    "PromptSRC": r"promptsrc",
    "ProMetaR": r"prometar",
    "DPC-PromptSRC": r".*(dpc|sple).*promptsrc.*",
    "DPC-PromptKD": r".*(dpc|sple).*(promptkd|kd).*",
    "VPT": r"vpt.*",
    "CoPrompt": r"coprompt",
    "PromptKD": r"promptkd",
    "HiCroPL": r"hicropl",
    "TextRefiner": r".*textrefiner.*",
    "TaskRes": r"taskres.*",
    "CLIP-Adapter": r"clipadapter.*",
    "MMA": r"mma|multimodaladapter",
    "MMRL": r"mmrl",
    "MMRL++": r"mmrl(pp|\+\+|plus.*)",
}
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
    **dict.fromkeys(("CoOp", "ProGrad", "Nemesis", "PLOT", "PLOTNemesis"), (_POSITION,)),
    **dict.fromkeys(("TCP", "DeKg_TCP", "MMRL", "MMRL++"), (_DATASET,)),
    **dict.fromkeys(("CLIP-Adapter", "Tip-Adapter", "CLIP-LoRA"), (_DATASET,)),
    "DPC": (("base prompt", "--base", None, "the file holds a mixture with a CoOp prompt"),),
    "CoCoOp": (("condition", "--condition", None, "its prompts depend on the image"),),
    "VPT": (_TEMPLATE,),
    "TaskRes": (
        ("residual scale", "--residual-scale", "RESIDUAL_SCALE", "the file does not hold it"),
    ),
    "MMA": (("adapter scale", "", "ADAPTER_SCALE", "the file does not hold it; usually 0.001"),),
    "PromptKD": (("teacher", "--teacher", None, "the student has no text side"),),
}
WARNINGS: dict[str, str] = {
    "CoCoOp": "text features depend on the image, so there is no one set of them; say which "
    "(--condition)",
    **dict.fromkeys(
        ("KgCoOp", "DeKg"),
        "`bias_vectors` and `meta_net.linear1` are in the file but not used by the method",
    ),
    "PromptSRC": "the towers in the file are averages over epochs in half precision, which differ "
    "from CLIP's by about 4e-4; only with `--backbone checkpoint` are the run's features exact",
    "HiCroPL": "the learner changes its own parameters at each forward pass, and its frozen text "
    "side (written descriptions) is not saved",
    **dict.fromkeys(
        ("AnchorOPT", "CoCoOp_AnchorOPT"),
        "the place of the anchor is drawn at random at each forward pass",
    ),
    **dict.fromkeys(
        ("PLOT", "PLOTNemesis"),
        "the method decides by optimal transport over local features; its measures are of pooled "
        "features",
    ),
    "PLOT++": "the method decides by optimal transport over several prompts; its measures are of "
    "pooled features",
    **dict.fromkeys(
        ("MMRL", "MMRL++"),
        "the method has two image features, and uses both on base classes and one on new ones",
    ),
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


@dataclass(frozen=True)
class Method:
    """How ncscope reads a method's checkpoints.

    `text` and `image` say what the features are. `new_classes` is `yes`, or why not. `caveat` is
    what a reader of the measures should know.
    """

    name: str
    text: str
    image: str = "CLIP's"
    new_classes: str = "yes"
    caveat: str = ""


METHODS = (
    Method("CoOp", _CONTEXT, new_classes="yes; class-specific contexts: no"),
    Method("ProGrad", _CONTEXT, new_classes="yes; class-specific contexts: no"),
    Method("Nemesis", _CONTEXT, new_classes="yes; class-specific contexts: no"),
    Method("KgCoOp", "learned context"),
    Method("DeKg", "learned context"),
    Method("CoCoOp", "context shifted by image features", caveat="`--condition` says by which"),
    Method("CoCoOp_ATP", "attributes and shifted context", caveat="`--condition` says by which"),
    Method("TCP", "context, class-specific from block 8", caveat="needs `--data-name` or a log"),
    Method("DeKg_TCP", "context, class-specific from block 8", caveat="as TCP"),
    Method("MaPLe", "deep context, with its fixed words", "tokens projected from the context"),
    Method("MaPLe_ATP", "attributes and deep context", "tokens projected from the context"),
    Method("VPT", '"a photo of a {}." or `--template`', "deep tokens"),
    Method("IVLP", "deep context, with its fixed words", "deep tokens"),
    Method(
        "PromptSRC",
        "deep context",
        "deep tokens",
        caveat="its towers are averages: exact with `--backbone checkpoint`",
    ),
    Method("ProMetaR", "deep context", "deep tokens"),
    Method("CoPrompt", "MaPLe's, then an adapter", "MaPLe's, then an adapter"),
    Method("DePT", "its base method's", "its base method's", caveat="a linear probe decides, too"),
    Method("PLOT", "mean over several contexts", caveat=_TRANSPORT),
    Method("PLOTNemesis", "mean over several contexts", caveat=_TRANSPORT),
    Method(
        "PLOT++",
        "mean over several contexts",
        "mean over several sets of tokens",
        "yes; not where its phrases differ in length (EuroSAT, ImageNet)",
        _TRANSPORT,
    ),
    Method("CoOp_ATP", "attributes and context"),
    Method("AnchorOPT", "context and anchor, likeliest order", caveat="the method draws the order"),
    Method("TaskRes", "zero-shot plus a residual", new_classes=_TABLE_ONLY),
    Method("CLIP-Adapter", _WRITTEN, "CLIP's and an adapter's"),
    Method("Tip-Adapter", _WRITTEN, caveat="a cache decides, too"),
    Method("Tip-Adapter-F", _WRITTEN, caveat="a cache decides, too"),
    Method("MMA", '"a photo of a {}." with adapters', "adapters beside upper blocks"),
    Method("CLIP-LoRA", _WRITTEN + ", changed weights", "changed weights"),
    Method("PromptKD", "its teacher's (`--teacher`)", "deep tokens, then a head"),
    Method("MMRL", _WRITTEN + ", tokens from block 5", "class token's and tokens' (0.7, 0.3)"),
    Method("MMRL++", _WRITTEN + ", tokens from block 5", "class token's and tokens' (0.7, 0.3)"),
    Method("TextRefiner", "CoOp's, refined by a memory", caveat="the method keeps their lengths"),
    Method("DPC", "mixed context", caveat="new classes exactly with `--base`"),
)


def plain_method(method: str) -> str:
    """A method's name without remarks: `CoOp (class-specific)` and `DePT over CoOp` are CoOp."""
    return re.sub(r" \(.*\)$", "", method).removeprefix("DePT over ")


def named_by(trainer: str, candidates: Sequence[str]) -> str | None:
    """The candidate that the trainer's name means, if it means just one of them."""
    wanted = [c for c in candidates if re.fullmatch(_pattern(c), folded(trainer))]
    return wanted[0] if len(wanted) == 1 else None


def other_method(trainer: str, candidates: Sequence[str]) -> str | None:
    """The method, none of the candidates, that the trainer's name is known to mean."""
    own = {plain_method(candidate) for candidate in candidates}
    meant = [m for m, pattern in _TRAINERS.items() if re.fullmatch(pattern, folded(trainer))]
    return meant[0] if meant and not own & set(meant) else None


def named_in(parts: Sequence[str], candidates: Sequence[str]) -> tuple[str, str] | None:
    """The candidate, other than the first, that a folder is called after, and that folder."""
    for part in reversed(parts):
        named = [c for c in candidates[1:] if re.fullmatch(_pattern(c), folded(part))]
        if len(named) == 1:
            return named[0], part
    return None


def _pattern(candidate: str) -> str:
    pattern = _TRAINERS.get(plain_method(candidate), r"(?!)")
    over = r"(extraslinearprobe|elp|dept).*" if candidate.startswith("DePT") else ""
    return f"{over}(?:{pattern})"


def folded(name: str) -> str:
    """The name of a trainer or folder in lower case: letters, digits and + only."""
    return re.sub(r"[^a-z0-9+]", "", name.lower())
