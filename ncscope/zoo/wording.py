"""Fixed words that depend on the data set or the log: of MMRL, TCP, ProGrad, MMA, ATPrompt and TAC.

Words are taken off the class names with what the run was trained with; the prompts are then written
with what the authors' code writes for the data set that features are wanted for.
"""

from collections.abc import Mapping, Sequence

from ncscope.checkpoint.class_names import ClassNames
from ncscope.checkpoint.inspect import Inspection
from ncscope.checkpoint.log_sections import first_value, own_entries
from ncscope.clip.prompts import TCP_PROMPTS, TEMPLATES, known_data
from ncscope.errors import CheckpointError

USUAL_WORDS = "a photo of a"
_TEXT_CTX_INIT = "TRAINER.MMADAPTER.TEXT_CTX_INIT"
# ProGrad's context begins as its own template's words, counted by spaces. A comma is a token more,
# so that the last word is left behind the context.
_PROGRAD_LEFT = {"OxfordPets": "a", "OxfordFlowers": "a", "FGVCAircraft": "a", "Food101": "of"}


def mma_words(names: ClassNames | None, logged: Mapping[str, str]) -> str:
    """What MMA's prompts begin with: the log's TEXT_CTX_INIT, else what the file's do."""
    if _TEXT_CTX_INIT in logged:
        return " ".join(logged[_TEXT_CTX_INIT].strip("'\"").split())
    if names is None or f"{names.before} ".startswith(f"{USUAL_WORDS} "):
        return USUAL_WORDS
    return names.before


def prograd_words(logged: Mapping[str, str], data: str | None) -> str:
    """The word that ProGrad leaves between context and name on a data set."""
    initial = first_value(own_entries(logged, "ProGrad"), "CTX_INIT")
    used = initial not in (None, "False", "None")
    return _PROGRAD_LEFT.get(known_data(data) or "", "") if used else ""


def left_words(names: ClassNames | None, initial: str) -> str:
    """The end of the initial prompt that stands before every name in the file."""
    words = initial.casefold().split()
    before = "" if names is None else f"{names.before} "
    ends = (" ".join(words[start:]) for start in range(len(words)))
    return next((end for end in ends if before.startswith(f"{end} ")), "")


def leading_x(names: ClassNames | None) -> str:
    """The X's of ATPrompt's context that stand before every name, where a word has more tokens."""
    words = [] if names is None else names.before.split()
    count = next((i for i, word in enumerate(words) if word != "x"), len(words))
    return " ".join(["X"] * count)


def mmrl_template(
    templates: Sequence[str], data: str | None, *, trained: str | None, file: str, where: str
) -> str:
    """MMRL's prompt: the caller's, the wanted data set's, or the file's where it is of the same.

    Args:
        trained: the run's own data set; None where no log says it.
        file: the template that the file's prompts have.

    Raises:
        CheckpointError: several templates.
    """
    if len(templates) > 1:
        raise CheckpointError(
            f"{where}: MMRL writes one prompt a class, and {len(templates)} templates are given; "
            f"expected one"
        )
    if templates:
        return templates[0]
    known = known_data(data)
    return file if known is None or known == known_data(trained) else TEMPLATES[known]


def tac_words(seen: Inspection, names: ClassNames | None) -> str:
    """CTX_INIT where it is in force, for up to 20 tokens of context; else as many X."""
    length = seen.facts.context_length or 0
    if length > 20:
        return " ".join("X" * length)
    logged = seen.log.context_words if seen.log else None
    before = USUAL_WORDS if names is None else names.before
    usual = USUAL_WORDS if f"{before} ".startswith(f"{USUAL_WORDS} ") else ""
    return logged or usual


def tcp_words(data: str) -> tuple[str, str]:
    """What TCP's prompts on a data set have between context and name, and after the name."""
    before, after = parts(TCP_PROMPTS[data])
    return tail(before.split(), 4), after


def parts(template: str) -> tuple[str, str]:
    """What a template has before and after the class name."""
    before, _, after = template.partition("{}")
    return before.strip(), after


def tail(words: Sequence[str], num_context: int) -> str:
    """The words of an initial prompt that a shorter context leaves in place."""
    return " ".join(words[num_context:])
