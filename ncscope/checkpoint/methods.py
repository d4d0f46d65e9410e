"""What is known of every method, one row each: its trainers, its log, its needs, its cautions.

Everything that depends on a method's exact name is read off its row.
"""

import re
from dataclasses import dataclass

from ncscope.checkpoint import asked, log_keys
from ncscope.checkpoint.log_keys import Section

_CONTEXT = "learned context, class name at the end, middle or front"
_TABLE_ONLY = "no: a table of the training classes"
_WRITTEN = "written prompt of the data set"
_TRANSPORT = "the method decides by optimal transport; features are pooled"
_POOLED = (
    "the method decides by optimal transport over local features; its measures are of pooled "
    "features"
)
_TWO_IMAGES = "the method has two image features, and uses both on base classes and one on new ones"
_TRANSPORT_RULE = "it decides by optimal transport over several features, and these are pooled"
_CACHE_RULE = (
    "it decides by a cache of training features, too, with weights that no file of the run holds"
)
_CSC_NO = "yes; class-specific contexts: no"


@dataclass(frozen=True)
class Method:
    """A method and how ncscope reads its checkpoints.

    `text` and `image` say what the features are; `text` is empty where no learner reads them.
    `new_classes` is `yes`, or why not. `caveat` is what a reader of the measures should know.

    `trainers` is a pattern of the trainer's folded name, `sections` are those of log.txt that
    belong to the method, in the order in which a key is looked up. `needs` is what a file may
    lack. `caution` warns of what the numbers are not, unless one of the options `settled_by` is
    given; `fact` is true of every file and warns of nothing. `words_decide`: initial words, where
    the log has them, set the context's length, whatever N_CTX says; `usual_words` are what CTX_INIT
    `True` means. `own_keys` are patterns of
    keys that the method's class leaves in every file without using them. `not_by_cosine` says why
    the method's accuracy is not that of its features' cosines; `rule` names a rule of its own
    that the file allows. `tuned`: `ncscope tune` trains it.
    """

    name: str
    text: str = ""
    image: str = "CLIP's"
    new_classes: str = "yes"
    caveat: str = ""
    trainers: str = r"(?!)"
    sections: tuple[Section, ...] = ()
    needs: tuple[asked.Asked, ...] = ()
    caution: str = ""
    settled_by: tuple[str, ...] = ()
    fact: str = ""
    words_decide: bool = False
    usual_words: str = "a photo of a"
    own_keys: tuple[str, ...] = ()
    not_by_cosine: str = ""
    rule: str = ""
    tuned: bool = False

    @property
    def words(self) -> tuple[str, bool]:
        """What CTX_INIT `True` means, and whether initial words set the context's length."""
        return self.usual_words, self.words_decide

    @property
    def positioned(self) -> bool:
        """Whether the class name may stand in the middle or at the front of the context."""
        return asked.POSITION in self.needs


_BY_IMAGE = (
    "text features depend on the image, so there is no one set of them; say which (--condition)"
)
_PER_IMAGE = "its text features depend on the image; --condition per-image decides as it does"
_ZERO_SHOT = (
    "these are zero-shot CLIP's features: the method decides by a cache of training features "
    "beside them, and nothing of this file is in the numbers"
)
_ORDER = "the place of the anchor is drawn at random at each forward pass"

ROWS = (
    Method(
        "CoOp", _CONTEXT, new_classes=_CSC_NO, trainers=r"((csc|lo)?coop(crt)?|coopkdpl|nlprompt)",
        sections=log_keys.COOP, needs=(asked.POSITION,), words_decide=True, tuned=True,
    ),
    Method(
        "ProGrad", _CONTEXT, new_classes=_CSC_NO, trainers=r"prograd.*",
        sections=log_keys.PROGRAD, needs=(asked.POSITION,), tuned=True,
    ),
    Method(
        "Nemesis", _CONTEXT, new_classes=_CSC_NO, trainers=r"(?!plot).*nemesis.*",
        sections=log_keys.NEMESIS, needs=(asked.POSITION,), words_decide=True,
    ),
    Method(
        "KgCoOp", "learned context", trainers=r"kgcoop.*",
        sections=log_keys.KGCOOP, words_decide=True, tuned=True,
        fact="`bias_vectors` and `meta_net.linear1`, where they are in the file, are not used",
    ),
    Method(
        "DeKg", "learned context", trainers=r"dekg(coop)?",
        sections=log_keys.KGCOOP, words_decide=True, own_keys=("image_encoder.*",),
        fact="`bias_vectors` and `image_encoder`, a frozen CLIP's, are not used",
    ),
    Method(
        "CoCoOp", "context shifted by image features", caveat="`--condition` says by which",
        trainers=r"cocoop(kdpl)?", sections=log_keys.COCOOP, needs=(asked.CONDITION,),
        caution=_BY_IMAGE, settled_by=("condition",), words_decide=True, rule="per image",
        tuned=True, not_by_cosine=_PER_IMAGE,
    ),
    Method(
        "CoCoOp_ATP", "attributes and shifted context", caveat="`--condition` says by which",
        trainers=r"cocoopat(p|t|prompt).*", sections=log_keys.COCOOP_ATP, needs=(asked.CONDITION,),
        caution=_BY_IMAGE, settled_by=("condition",), rule="per image",
        not_by_cosine=_PER_IMAGE,
    ),
    Method(
        "TCP", "context, class-specific from block 8", caveat="needs `--data-name` or a log",
        trainers=r"tcp", sections=log_keys.TCP, needs=(asked.DATASET,),
        words_decide=True, tuned=True,
    ),
    Method(
        "DeKg_TCP", "context, class-specific from block 8", caveat="as TCP",
        trainers=r"dekg.*tcp", sections=log_keys.TCP, needs=(asked.DATASET,), words_decide=True,
    ),
    Method(
        "MaPLe", "deep context, with its fixed words", "tokens projected from the context",
        trainers=r"maple(kdpl)?", sections=log_keys.MAPLE, tuned=True,
    ),
    Method(
        "MaPLe_ATP", "attributes and deep context", "tokens projected from the context",
        trainers=r"mapleat(p|t|prompt).*", sections=log_keys.MAPLE_ATP,
    ),
    Method(
        "VPT", '"a photo of a {}." or `--template`', "deep tokens", trainers=r"vpt.*",
        sections=log_keys.VPT, needs=(asked.TEMPLATE,), tuned=True,
    ),
    Method(
        "IVLP", "deep context, with its fixed words", "deep tokens",
        trainers=r"ivlp|independentvl.*", sections=log_keys.IVLP, tuned=True,
    ),
    Method(
        "PromptSRC", "deep context", "deep tokens",
        caveat="its towers are averages: exact with `--backbone checkpoint`",
        trainers=r"promptsrc(kdpl)?", sections=log_keys.PROMPTSRC, tuned=True,
        caution="the towers in the file are averages over epochs in half precision, which differ "
        "from CLIP's by about 4e-4; only with `--backbone checkpoint` are the run's features exact",
        settled_by=("towers",),
    ),
    Method(
        "ProMetaR", "deep context", "deep tokens", trainers=r"prometar",
        sections=log_keys.PROMETAR,
    ),
    Method(
        "CoPrompt", "MaPLe's, then an adapter", "MaPLe's, then an adapter", trainers=r"coprompt",
        sections=log_keys.COPROMPT,
    ),
    Method(
        "DePT", "its base method's", "its base method's", caveat="a linear probe decides, too",
        sections=log_keys.DEPT, rule="probe",
        not_by_cosine="it decides by a linear probe, too, and no log.txt says with what weight",
    ),
    Method(
        "PLOT", "mean over several contexts", caveat=_TRANSPORT, trainers=r"plot",
        sections=log_keys.PLOT, needs=(asked.POSITION,), not_by_cosine=_TRANSPORT_RULE,
        caution=_POOLED,
    ),
    Method(
        "PLOTNemesis", "mean over several contexts", caveat=_TRANSPORT, trainers=r"plotnemesis",
        sections=log_keys.PLOT_NEMESIS, needs=(asked.POSITION,), not_by_cosine=_TRANSPORT_RULE,
        caution=_POOLED,
    ),
    Method(
        "PLOT++", "mean over several contexts", "mean over several sets of tokens",
        "yes; not where its phrases differ in length (EuroSAT, ImageNet)", _TRANSPORT,
        trainers=r"plot(pp|\+\+)", sections=log_keys.PLOTPP, not_by_cosine=_TRANSPORT_RULE,
        caution="the method decides by optimal transport over several prompts; its measures are of "
        "pooled features",
    ),
    Method(
        "CoOp_ATP", "attributes and context", trainers=r"coopat(p|t|prompt).*",
        sections=log_keys.COOP_ATP,
    ),
    Method(
        "AnchorOPT", "context and anchor, likeliest order", caveat="the method draws the order",
        trainers=r"coop(pretrain)?(dyntoken|anchor).*", sections=log_keys.ANCHOROPT, caution=_ORDER,
        not_by_cosine="it draws the order of its tokens, and these are of the likeliest one",
    ),
    Method(
        "CoCoOp_AnchorOPT", "shifted context and anchor, likeliest order",
        caveat="the method draws the order; `--condition` says by which images",
        trainers=r"cocoop.*(dyntoken|anchor).*",
        sections=log_keys.COCOOP_ANCHOROPT, needs=(asked.CONDITION,), caution=_ORDER,
        not_by_cosine="it draws the order of its tokens, and these are of the likeliest one",
    ),
    Method(
        "MaPLe_AnchorOPT", "deep context and anchor, likeliest order",
        "tokens projected from the context", caveat="the method draws the order",
        trainers=r"maple.*(dyntoken|anchor).*",
        sections=log_keys.MAPLE_ANCHOROPT, caution=_ORDER,
        not_by_cosine="it draws the order of its tokens, and these are of the likeliest one",
    ),
    Method(
        "TaskRes", "zero-shot plus a residual", new_classes=_TABLE_ONLY, trainers=r"taskres.*",
        sections=log_keys.TASKRES, needs=(asked.RESIDUAL,), tuned=True,
    ),
    Method(
        "CLIP-Adapter", _WRITTEN, "CLIP's and an adapter's", trainers=r"(origin)?clipadapter.*",
        sections=log_keys.CLIP_ADAPTER,
        needs=(asked.DATASET,), tuned=True,
    ),
    Method(
        "Tip-Adapter", _WRITTEN, caveat="a cache decides, too", needs=(asked.DATASET,),
        caution=_ZERO_SHOT, not_by_cosine=_CACHE_RULE,
    ),
    Method(
        "Tip-Adapter-F", _WRITTEN, caveat="a cache decides, too", needs=(asked.DATASET,),
        caution=_ZERO_SHOT, not_by_cosine=_CACHE_RULE,
    ),
    Method(
        "MMA", '"a photo of a {}." with adapters', "adapters beside upper blocks",
        trainers=r"mma|multimodaladapter", sections=log_keys.MMA, needs=(asked.ADAPTER,),
    ),
    Method(
        "CLIP-LoRA", '"a photo of a {}.", changed weights', "changed weights",
        trainers=r"cliplora.*",
    ),
    Method(
        "PEFT-LoRA", '"a photo of a {}." or `--template`, changed weights', "changed weights",
        caveat="`adapter_config.json` beside it",
    ),
    Method(
        "PromptKD", "its teacher's (`--teacher`)", "deep tokens, then a head",
        trainers=r"promptkd", sections=log_keys.PROMPTKD, needs=(asked.TEACHER,),
        caution="there is no text side in the file: without --teacher only image measures",
        settled_by=("teacher",),
    ),
    Method(
        "MMRL", _WRITTEN + ", tokens from block 5", "class token's and tokens' (0.7, 0.3)",
        trainers=r"mmrl", sections=log_keys.MMRL, needs=(asked.DATASET,), rule="by task",
        caution=_TWO_IMAGES, settled_by=("image_feature",),
    ),
    Method(
        "MMRL++", _WRITTEN + ", tokens from block 5", "class token's and tokens' (0.7, 0.3)",
        trainers=r"mmrl(pp|\+\+|plus.*)", sections=log_keys.MMRLPP, needs=(asked.DATASET,),
        rule="by task", settled_by=("image_feature",),
        caution=_TWO_IMAGES,
    ),
    Method(
        "TextRefiner", "CoOp's, refined by a memory", caveat="the method keeps their lengths",
        trainers=r".*textrefiner.*", sections=log_keys.TEXTREFINER, needs=(asked.POSITION,),
        words_decide=True, not_by_cosine="it keeps the lengths of its text features",
        caution="the method does not normalise its text features; their norms differ",
    ),
    Method(
        "DPC", "mixed context", caveat="new classes exactly with `--base`",
        trainers=r"(?!.*(promptsrc|kd)).*(dpc|sple).*", sections=log_keys.DPC,
        needs=(asked.POSITION, asked.BASE), words_decide=True, settled_by=("base",),
        caution="`ctx` is a mixture with the prompt of another run; without --base it is read as "
        "CoOp's",
    ),
    Method("DPC-PromptSRC", trainers=r".*(dpc|sple).*promptsrc.*", sections=log_keys.PROMPTSRC),
    Method(
        "DPC-PromptKD", trainers=r".*(dpc|sple).*kd.*", sections=log_keys.DPC_PROMPTKD,
        needs=(asked.TEACHER,),
    ),
    Method(
        "HiCroPL", "none: descriptions are not saved", "deep tokens and CLIP's",
        "no text features", "of the first forward pass",
        trainers=r"hicropl", sections=log_keys.HICROPL,
        not_by_cosine="its prompts change with every batch",
        caution="the learner changes its own parameters at each forward pass, and its frozen text "
        "side (written descriptions) is not saved: only image measures, of the first pass",
    ),
    Method(
        "LIFT", "its table of class vectors, in the tower's width",
        "tuned tower, before CLIP's projection", _TABLE_ONLY, "its resize is not CLIP's",
        trainers=r"lift",
        not_by_cosine="its classifier is a head on features before CLIP's projection",
        caution="the classifier is a cosine head initialised from text features, not a text tower",
    ),
    Method(
        "Candle", _WRITTEN + ", projected", "CLIP's, projected",
        caveat="the first of three heads", trainers=r"candle", sections=log_keys.CANDLE,
        not_by_cosine="it decides by three heads, two of which see other images of the batch",
    ),
    Method(
        "SkipTuning", "written prompt of the data set, a list of its own; tuned tower",
        "tuned tower", caveat="its towers are always the file's",
        trainers=r"skiptuning", sections=log_keys.SKIPTUNING, needs=(asked.DATASET,),
    ),
    Method(
        "FinetuneCLIP", "as SkipTuning", "tuned tower", caveat="as SkipTuning",
        trainers=r"finetuneclip", sections=log_keys.FINETUNECLIP,
        needs=(asked.DATASET,),
    ),
    Method(
        "TAC", "summaries, deep context and written prompt", "summaries and deep tokens",
        caveat="its towers are averages: exact with `--backbone checkpoint`",
        trainers=r"tac", sections=log_keys.TAC, settled_by=("towers",),
        caution="the towers in the file are averages over epochs in half precision; only with "
        "`--backbone checkpoint` are the run's features exact",
    ),
    Method(
        "BIP", "class-specific prompts, added to CLIP's",
        "image-specific ones, added to CLIP's",
        trainers=r"bip|tcp", sections=log_keys.BIP, needs=(asked.DATASET, *asked.BIP_NEEDS),
        words_decide=True, usual_words="this is a picture of",
    ),
    Method(
        "LwEIB", "convolutions in the blocks; mean over descriptions",
        "convolutions in the blocks", "no: descriptions of the training classes only",
        trainers=r"lweib", sections=log_keys.LWEIB, needs=(asked.ADAPTER,),
    ),
    Method(
        "GalLoP", "mean over global contexts",
        caveat="local features decide, too; name alone as text", trainers=r"gallop",
        not_by_cosine="it decides by local features, too, and these are global ones",
    ),
    Method(
        "SurPL", "deep context", "deep tokens", caveat="the first of three heads",
        trainers=r"surpl", sections=log_keys.SURPL,
        not_by_cosine="it decides by the mean of three heads, and these are the first's features",
    ),
    Method("TAP", trainers=r"tap(promptlearning)?|(text|vision)promptlearner"),
)  # fmt: skip

METHODS = tuple(row for row in ROWS if row.text)  # those that a learner reads
TUNED_HERE = frozenset(row.name for row in ROWS if row.tuned)
_BY_NAME = {row.name: row for row in ROWS}


def plain_method(method: str) -> str:
    """A method's name without remarks: `CoOp (class-specific)` and `DePT over CoOp` are CoOp."""
    return re.sub(r" \(.*\)$", "", method).removeprefix("DePT over ")


def row_of(method: str) -> Method | None:
    """The row of a method, remarks in its name aside; None for what is no method."""
    return _BY_NAME.get(plain_method(method))


def sections_of(method: str) -> tuple[Section, ...]:
    """The sections of log.txt that belong to a method; DePT has its base method's and its own."""
    row = row_of(method)
    own = () if row is None else row.sections
    return (*own, *log_keys.DEPT) if method.startswith("DePT over ") else own
