"""What running a learner takes, and what in its file and its log does not look right."""

from dataclasses import dataclass

from torch import Tensor

from ncscope.checkpoint.class_names import ClassNames, same_name
from ncscope.checkpoint.facts import Facts
from ncscope.checkpoint.fingerprint import Recognition
from ncscope.checkpoint.methods import (
    NEEDS,
    NOT_LEARNERS,
    WARNINGS,
    other_method,
    plain_method,
)
from ncscope.checkpoint.reading import Checkpoint, first_few
from ncscope.checkpoint.runlog import RunLog


@dataclass(frozen=True)
class Need:
    """Something needed to run a learner: the option that gives it, and the value if it is known.

    `value` is None where nothing says it; `origin` says what did, or why it is needed.
    """

    what: str
    option: str
    value: str | None
    origin: str


def needs_of(
    method: str | None, facts: Facts, log: RunLog | None, *, named: bool
) -> tuple[Need, ...]:
    """What the learner needs to run, with what is already known of it."""
    if method is None or plain_method(method) in NOT_LEARNERS:
        return ()
    needs = [_backbone(facts, log)]
    for what, option, setting, why in NEEDS.get(plain_method(method), ()):
        value = _logged(log, setting)
        needs.append(Need(what, option, value, "log.txt" if value else why))
    if not named:
        needs.append(Need("class names", "--classnames", None, "they are not in the file"))
    return tuple(needs)


def _backbone(facts: Facts, log: RunLog | None) -> Need:
    if log is not None and log.backbone:
        return Need("backbone", "--backbone", log.backbone, "log.txt")
    if len(facts.backbones) == 1:
        return Need("backbone", "--backbone", facts.backbones[0], "its shapes")
    if facts.towers == ("image", "text"):
        return Need("backbone", "--backbone", "checkpoint", "both towers are in the file")
    if facts.backbones:
        return Need("backbone", "--backbone", None, f"its shapes fit {', '.join(facts.backbones)}")
    return Need("backbone", "--backbone", None, "its shapes fit none of OpenAI's models")


def _logged(log: RunLog | None, setting: str | None) -> str | None:
    if log is None or setting is None:
        return None
    if setting == "DATASET":
        return log.dataset
    ending = f".{setting}"
    found = [v for k, v in log.settings.items() if k.startswith("TRAINER.") and k.endswith(ending)]
    own = log.class_token_position if setting == "CLASS_TOKEN_POSITION" else None
    return own or (found[0] if len(set(found)) == 1 else None) or None


def checks(
    checkpoint: Checkpoint,
    recognition: Recognition,
    method: str | None,
    facts: Facts,
    names: ClassNames | None,
    log: RunLog | None,
) -> list[str]:
    """Warnings, the gravest first."""
    warnings = _broken(checkpoint.tensors)
    if method is not None:
        plain = plain_method(method)
        tables = (NOT_LEARNERS, WARNINGS) if _holds(checkpoint.tensors, plain) else (NOT_LEARNERS,)
        warnings += [text for table in tables if (text := table.get(plain))]
    if recognition.base is not None:
        warnings.append("DePT has two classifiers: text features, and a linear probe")
    if method is not None and recognition.unexplained:
        keys = first_few([f"`{key}`" for key in recognition.unexplained], most=5)
        warnings.append(f"keys that the method does not have: {keys}")
    if log is not None:
        warnings += _against_log(recognition, facts, names, log)
    if names is not None and names.distance > 0:
        warnings.append(
            f"token vectors differ from the backbone's by up to {names.distance:.1e} of their "
            "length: the file is an average over epochs, or in another precision"
        )
    return warnings


def _broken(tensors: dict[str, Tensor]) -> list[str]:
    broken = [k for k, t in tensors.items() if t.is_floating_point() and not _finite(t)]
    if not broken:
        return []
    keys = first_few([f"`{key}`" for key in broken], most=5)
    return [f"NaN or infinite values in {keys}: the training diverged"]


def _finite(tensor: Tensor) -> bool:
    """Whether no value is NaN or infinite; by the extremes, twenty times faster than by each."""
    if tensor.numel() == 0:
        return True
    low, high = (tensor.float() if tensor.element_size() == 1 else tensor).aminmax()
    return bool(low.isfinite() & high.isfinite())


def _holds(tensors: dict[str, Tensor], method: str) -> bool:
    """Whether what the method's warning is about is in the file; runs tuned here save less."""
    part = {"KgCoOp": "bias_vectors", "DeKg": "bias_vectors", "PromptSRC": "ZS_image_encoder"}
    return method not in part or any(part[method] in key for key in tensors)


def _against_log(
    recognition: Recognition, facts: Facts, names: ClassNames | None, log: RunLog
) -> list[str]:
    """Where the log and the file disagree: it may be another run's."""
    found: list[str] = []
    if log.trainer and (other := other_method(log.trainer, recognition.candidates)):
        found.append(f"log.txt names the trainer {log.trainer} ({other}), which the keys are not")
    if log.backbone and facts.backbones and log.backbone not in facts.backbones:
        found.append(
            f"log.txt names the backbone {log.backbone}; the shapes fit "
            f"{', '.join(facts.backbones)}"
        )
    anchor = recognition.method == "AnchorOPT (anchor)"  # has its own, unlogged length
    for what, logged, seen in (
        ("context length", log.context_length, facts.context_length),
        ("number of classes", log.num_classes, facts.num_classes),
    ):
        if None not in (logged, seen) and logged != seen and not anchor:
            found.append(f"{what}: {logged} in log.txt, {seen} in the file; is it another run's?")
    if log.transform == "squash":
        found.append(
            "trained and tested with images squashed to the square (before October 2021); the "
            "accuracy in log.txt holds for that transform"
        )
    if names is not None and names.ends and log.class_names:
        pairs = zip(names.names, log.class_names, strict=False)
        same = len(names.names) == len(log.class_names) and all(same_name(a, b) for a, b in pairs)
        if not same:
            found.append("the class names in log.txt are not those in the file")
    return found


def fixed_words_note(facts: Facts, log: RunLog | None) -> tuple[str, ...]:
    """More initial words than learned tokens: the rest of the words stays as written."""
    words = ((log.context_words if log else None) or "").split()
    if facts.context_length is None or len(words) <= facts.context_length:
        return ()
    fixed = " ".join(words[facts.context_length :])
    return (
        f"of the {len(words)} initial words {facts.context_length} are learned; {fixed!r} is fixed",
    )
