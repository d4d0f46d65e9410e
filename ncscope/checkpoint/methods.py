"""What is known of every method: for the README's table and for messages. One row a method."""

from dataclasses import dataclass

_CLIP = "CLIP's"
_ALL = "yes"


@dataclass(frozen=True)
class Method:
    """How ncscope reads a method's checkpoints.

    `text` and `image` say what the features are. `new_classes` is `yes`, or why not. `caveat` is
    what a reader of the measures should know.
    """

    name: str
    text: str
    image: str = _CLIP
    new_classes: str = _ALL
    caveat: str = ""


_CONTEXT = "learned context, class name at the end, middle or front"
_TABLE_ONLY = "no: a table of the training classes"
_WRITTEN = "written prompt of the data set"
_TRANSPORT = "the method decides by optimal transport; features are pooled"

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
# What `ncscope tune` trains
TUNED_HERE = frozenset(
    {
        *("CoOp", "CoCoOp", "KgCoOp", "ProGrad", "VPT", "IVLP", "MaPLe", "PromptSRC", "TCP"),
        *("TaskRes", "CLIP-Adapter"),
    }
)
