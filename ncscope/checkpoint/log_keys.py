"""The keys of log.txt that belong to a method: which are used, checked, or without effect.

Dassl prints the sections of every trainer that a repository registers, so a key counts only in the
sections of the run's own trainer. Sources: `train.py` of the authors' repositories, and where
their trainers read what it defines.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Use:
    """What a key is to a method.

    `kind` is `used` (features depend on it and the learner, or the words of its prompts, follow
    it), `checked` (the file's shapes tell; another value in the log is contradicted aloud; `fact`
    names the count of `Facts`), `only` (values other than `values` are contradicted aloud),
    `irrelevant` (training, losses, or told by the file alone) or `dead` (printed, never read by
    the method, and not to be read here either).
    """

    kind: str
    fact: str = ""
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class Section:
    """A section of log.txt that belongs to a method; `names` are its spellings, the first found.

    `inside` is where it stands: `TRAINER`, or the top level. Without a name, the keys are those
    of `inside` itself, of which other methods have some, too: then `whole` is False, and keys
    that are not listed are nobody's business.
    """

    names: tuple[str, ...]
    keys: Mapping[str, Use]
    inside: str = "TRAINER"
    whole: bool = True


def _section(
    names: str = "",
    *,
    used: str = "",
    checked: Mapping[str, str] | None = None,
    only: Mapping[str, tuple[str, ...]] | None = None,
    irrelevant: str = "",
    dead: str = "",
    inside: str = "TRAINER",
    whole: bool = True,
) -> Section:
    keys = {
        **{key: Use("used") for key in used.split()},
        **{key: Use("checked", fact=fact) for key, fact in (checked or {}).items()},
        **{key: Use("only", values=values) for key, values in (only or {}).items()},
        **{key: Use("irrelevant") for key in irrelevant.split()},
        **{key: Use("dead") for key in dead.split()},
    }
    return Section(tuple(names.split()), keys, inside, whole)


_LENGTH = {"N_CTX": "context_length"}
_COOP = {**_LENGTH, "CSC": "class_specific"}
_SIDES = {
    "N_CTX_TEXT": "context_length",
    "N_CTX_VISION": "vision_context_length",
    "PROMPT_DEPTH_TEXT": "text_depth",
    "PROMPT_DEPTH_VISION": "vision_depth",
}
_DEEP = {**_LENGTH, "PROMPT_DEPTH": "text_depth"}
_NEMESIS = "A NT NP CW BETA"
_BIPS = "L LOSS WEIGHT MODAL TL VL TFW VFW"  # of BIP's section, in every log of its repository
_COPIED = "N_CTX CSC CTX_INIT PREC CLASS_TOKEN_POSITION"  # from CoOp, and never read

COOP = (
    _section(
        "COOP CoOpCRT LOCOOP NLPROMPT",
        used="CTX_INIT CLASS_TOKEN_POSITION",
        checked=_COOP,
        irrelevant="PREC W ALPHA",
        dead=_BIPS,
    ),
)
PROGRAD = (
    _section(
        "COOP",
        used="CTX_INIT CLASS_TOKEN_POSITION",
        checked=_COOP,
        irrelevant="PREC ALPHA W",
        dead=_BIPS,
    ),
)
NEMESIS = (
    _section(
        "CoOpNemesis COOP",
        used="CTX_INIT CLASS_TOKEN_POSITION",
        checked=_COOP,
        irrelevant=f"PREC {_NEMESIS}",
    ),
)
_COCOOP_PREC = _section("COCOOP", irrelevant="PREC", whole=False)  # what these trainers test
KGCOOP = (
    _section(
        "KGCOOP COOP",
        used="CTX_INIT",
        checked=_COOP,
        irrelevant="W ALPHA",
        dead=f"PREC CLASS_TOKEN_POSITION {_BIPS}",
    ),
    _COCOOP_PREC,
)
TCP = (
    _section(
        "TCP COOP",
        checked=_LENGTH,
        only={"CSC": ("False",)},
        irrelevant="W ALPHA CTX_INIT",
        dead=f"PREC CLASS_TOKEN_POSITION {_BIPS}",
    ),
    _COCOOP_PREC,
)
BIP = (
    _section(
        "COOP",
        used="TL VL VFW TFW",
        checked=_LENGTH,
        only={"CSC": ("False",)},
        irrelevant="W ALPHA L LOSS WEIGHT MODAL CTX_INIT",
        dead="PREC CLASS_TOKEN_POSITION",
    ),
    _COCOOP_PREC,
)
COCOOP = (_section("COCOOP", used="CTX_INIT", checked=_LENGTH, irrelevant="PREC"),)
MAPLE = (_section("MAPLE", used="CTX_INIT", checked=_DEEP, irrelevant="PREC"),)
COPROMPT = (
    _section("CoPrompt", used="CTX_INIT", checked=_DEEP, irrelevant="PREC"),
    _section(irrelevant="W DISTILL", whole=False),
)
IVLP = (_section("IVLP", used="CTX_INIT", checked=_SIDES, irrelevant="PREC IMG_WEIGHT"),)
SURPL = (_section("IVLP", used="CTX_INIT", checked=_SIDES, irrelevant="PREC"),)
VPT = (
    _section(
        "VPT",
        checked={
            "N_CTX_VISION": "vision_context_length",
            "PROMPT_DEPTH_VISION": "vision_depth",
        },
        irrelevant="PREC",
        dead="CTX_INIT",
    ),
)
PROMPTSRC = (
    _section(
        "PROMPTSRC",
        used="CTX_INIT",
        checked=_SIDES,
        irrelevant="PREC TEXT_LOSS_WEIGHT IMAGE_LOSS_WEIGHT GPA_MEAN GPA_STD",
    ),
)
PROMETAR = (
    _section(
        "PROMETAR",
        used="CTX_INIT",
        checked=_SIDES,
        irrelevant="PREC ADAPT_LR LR_RATIO FAST_ADAPTATION MIXUP_ALPHA MIXUP_BETA DIM_RATE",
    ),
)
TAC = (
    _section(
        "TAC",
        used="CTX_INIT",
        checked=_SIDES,
        irrelevant="PREC TEXT_LOSS_WEIGHT IMAGE_LOSS_WEIGHT",
    ),
)
DEPT = (  # beside the sections of the method below
    _section("LINEAR_PROBE", used="WEIGHT TEST_TIME_FUSION", only={"TYPE": ("linear",)}),
    _section("FILM", used="LINEAR_PROBE"),
    _section(irrelevant="NAMES_TO_UPDATE", whole=False),
)
_ATPROMPT = _section(
    "ATPROMPT",
    used="ATT_NUM ATT1_TEXT ATT2_TEXT ATT3_TEXT",
    irrelevant="N_ATT1 N_ATT2 N_ATT3",
    only={"USE_ATPROMPT": ("True",)},
)
_COOP_AT_END = _section(
    "COOP", checked=_COOP, irrelevant="PREC W ALPHA", dead="CTX_INIT CLASS_TOKEN_POSITION"
)
_COCOOP_X = _section("COCOOP", checked=_LENGTH, irrelevant="PREC", dead="CTX_INIT")
_MAPLE_X = _section("MAPLE", checked=_DEEP, irrelevant="PREC", dead="CTX_INIT")
COOP_ATP = (_COOP_AT_END, _ATPROMPT)
COCOOP_ATP = (_COCOOP_X, _ATPROMPT)
MAPLE_ATP = (_MAPLE_X, _ATPROMPT)
_ANCHOROPT = _section(
    "ANCHOROPT",
    checked=_LENGTH,
    irrelevant="USE_ANCHOROPT ANCHOR_LEN GUMBEL_TEMP KD_TEMPERATURE KD_WEIGHT PROMPT_CE_WEIGHT "
    "ANCHOR_MSE_WEIGHT MAX_TEMPLATE_LENGTH",
)
ANCHOROPT = (
    _ANCHOROPT,
    _section(
        "COOP",
        checked=_COOP,
        only={"CLASS_TOKEN_POSITION": ("end",)},
        irrelevant="PREC W ALPHA",
        dead="CTX_INIT",
    ),
)
COCOOP_ANCHOROPT = (_ANCHOROPT, _COCOOP_X)
MAPLE_ANCHOROPT = (_ANCHOROPT, _MAPLE_X)
_PLOT_KEYS = {"N": "prompt_sets", "N_CTX": "context_length"}
PLOT = (
    _section(
        "PLOT",
        used="CTX_INIT CLASS_TOKEN_POSITION",
        checked=_PLOT_KEYS,
        only={"CSC": ("False",)},
        irrelevant="PREC",
    ),
)
PLOT_NEMESIS = (
    _section(
        "PLOTNemesis PLOT",
        used="CTX_INIT CLASS_TOKEN_POSITION",
        checked=_PLOT_KEYS,
        only={"CSC": ("False",)},
        irrelevant=f"PREC {_NEMESIS}",
    ),
)
PLOTPP = (
    _section(
        "PLOTPP",
        checked={"N": "prompt_sets"},
        irrelevant="M N_CTX_V PREC TRADE_OFF PRETRAIN_DIR MODEL_UPD",
        dead="N_CTX CSC CTX_INIT CLASS_TOKEN_POSITION",
    ),
)
TASKRES = (
    _section(
        "TaskRes",
        used="RESIDUAL_SCALE",
        irrelevant="ENHANCED_BASE",
        dead=_COPIED,
    ),
)
CLIP_ADAPTER = (_section("CLIPADAPTER", used="ADAPTER_SCALE"),)  # of runs here: theirs is fixed
MMA = (
    _section(
        "MMADAPTER",
        used="TEXT_CTX_INIT ADAPTER_SCALE",
        irrelevant="ADAPTER_START ADAPTER_END ADAPTER_DIM PREC",
    ),
)
LWEIB = (
    _section(
        "LWEIB",
        used="TEXT_CTX_INIT ADAPTER_SCALE",
        irrelevant="ADAPTER_START ADAPTER_END PREC ADAPTER_SCALE_FACTOR SLOW_FAST_RATIO "
        "NEG_SAMPLING_RATIO",
    ),
)
PROMPTKD = (
    _section(
        "PROMPTKD",
        used="TEACHER_NAME CTX_INIT N_CTX_TEXT",
        checked={
            "N_CTX_VISION": "vision_context_length",
            "PROMPT_DEPTH_VISION": "vision_depth",
        },
        irrelevant="KD_WEIGHT TEMPERATURE CE_WEIGHT PROJECT_LAYER PREC",
        dead="PROMPT_DEPTH_TEXT",
    ),
    _section(irrelevant="MODAL", whole=False),
)
_TASK = _section(used="TASK", inside="", whole=False)
MMRL = (
    _section(
        "MMRL",
        used="ALPHA REP_LAYERS",
        irrelevant="REG_WEIGHT REP_DIM N_REP_TOKENS PREC",
    ),
    _TASK,
)
MMRLPP = (
    _section(
        "MMRLpp",
        used="ALPHA BETA REP_LAYERS",
        irrelevant="REG_WEIGHT REP_DIM N_REP_TOKENS PREC PROJ_LORA_DIM RES_LORA_DIM",
    ),
    _TASK,
)
TEXTREFINER = (
    *COOP,
    _section("TF", used="ALPHA", irrelevant="MEMORY_SIZE BALANCE DISTILL", dead=_COPIED),
)
_SPLE = _section(
    "SPLE",
    used="STACK.MODE STACK.WEIGHT STACK.WEIGHT_FOR_NEW",
    irrelevant="BACK_CKPT_PATH BACK_CKPT_EPOCH INFER_TOPK INFER_NONREPEAT PIC_LIB LOSS_KD_WEIGHT "
    "KD_INFER SPLE_TRAINER.SPLE_INIT SPLE_TRAINER.SPLE_BASE_TRAIN STACK.LOOP_DEPTH",
    inside="",
)
DPC = (*COOP, _SPLE)
DPC_PROMPTKD = (*PROMPTKD, _SPLE)
HICROPL = (
    _section(
        "HICROPL",
        used="CTX_INIT",
        checked=_LENGTH,
        irrelevant="CROSS_LAYER PROMPT_DEPTH LAMBD PREC TEACHER_NAME",
    ),
)
CANDLE = (
    _section("COOP", irrelevant="PREC", dead=f"{_COPIED} PROMPT_TYPE N_VIP"),
    _section(irrelevant="SCALE MASK VIR_INIT PHASE TASK", whole=False),
)
_PREC = _section(irrelevant="PREC", whole=False)
SKIPTUNING = (
    _section(
        "SKIP",
        irrelevant="START_LAYER TOP_RATIO MAX_TOP LAMBDA DROP_RATIO QUICK_BATCH_SIZE",
    ),
    _PREC,
)
FINETUNECLIP = (
    _section(
        "FINETUNE",
        irrelevant="LEARNABLE_TEXT LEARNABLE_IMAGE LEARNABLE_PREFIX_MODULES START_LAYER",
    ),
    _PREC,
)
