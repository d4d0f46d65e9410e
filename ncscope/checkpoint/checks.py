"""What running a learner takes, and what in its file and its log does not look right."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from torch import Tensor

from ncscope.checkpoint.bare import NOT_LEARNERS
from ncscope.checkpoint.class_names import ClassNames, same_name
from ncscope.checkpoint.facts import Facts
from ncscope.checkpoint.fingerprint import Recognition
from ncscope.checkpoint.log_sections import first_value, own_entries, unheeded
from ncscope.checkpoint.methods import plain_method, row_of
from ncscope.checkpoint.reading import Checkpoint, first_few
from ncscope.checkpoint.runlog import RunLog
from ncscope.checkpoint.trainers import method_of, other_method
from ncscope.errors import CheckpointError


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
    row = row_of(method)
    for asked in () if row is None else row.needs:
        value = _logged(log, asked.setting)
        needs.append(Need(asked.what, asked.option, value, "log.txt" if value else asked.why))
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
    return first_value(own_entries(log.settings, log.trainer), setting)


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
        not_one = NOT_LEARNERS.get(plain_method(method))
        warnings += [text for text in (not_one, caution_of(method, checkpoint.tensors)) if text]
    if log is not None:
        warnings += _against_log(recognition, method, facts, names, log)
    if names is not None and names.distance > 0:
        warnings.append(
            f"token vectors differ from the backbone's by up to {names.distance:.1e} of their "
            "length: the file is an average over epochs, or in another precision"
        )
    return warnings


def _broken(tensors: Mapping[str, Tensor]) -> list[str]:
    broken = [k for k, t in tensors.items() if t.is_floating_point() and not _finite(t)]
    if not broken:
        return []
    keys = first_few([f"`{key}`" for key in broken], most=5)
    return [f"NaN or infinite values in {keys}: the training diverged"]


def check_finite(checkpoint: Checkpoint) -> None:
    """Refuse a checkpoint that cannot give features; masks may hold infinities.

    Raises:
        CheckpointError: names the file, the tensor and how many of its values are none.
    """
    for key, tensor in checkpoint.tensors.items():
        if not tensor.is_floating_point() or "mask" in key or _finite(tensor):
            continue
        bad = ~(tensor.float() if tensor.element_size() == 1 else tensor).isfinite()
        count = int(bad.sum())
        raise CheckpointError(
            f"{checkpoint.path}: `{key}` holds NaN or infinity ({count} of {tensor.numel()} "
            f"values): the training diverged, as it may in fp16; take an earlier epoch or train "
            f"again"
        )


def _finite(tensor: Tensor) -> bool:
    """Whether no value is NaN or infinite; by the extremes, twenty times faster than by each."""
    if tensor.numel() == 0:
        return True
    low, high = (tensor.float() if tensor.element_size() == 1 else tensor).aminmax()
    return bool(low.isfinite() & high.isfinite())


def caution_of(method: str, tensors: Mapping[str, Tensor]) -> str:
    """What the method's measures are not; empty where nothing is to be said of this file."""
    row = row_of(method)
    averaged = method != "PromptSRC" or any("ZS_image_encoder" in key for key in tensors)
    return row.caution if row is not None and averaged else ""  # runs tuned here are no averages


def doubt(recognition: Recognition, method: str | None, log: RunLog | None) -> str | None:
    """Why the file may be another method's than its keys look like; None where nothing says so."""
    if method is None or plain_method(method) in NOT_LEARNERS:
        return None
    if strange := unexplained(recognition, method):
        keys = first_few([f"`{key}`" for key in strange], most=5)
        return (
            f"keys that {method} does not have: {keys}; another method's file? If it is "
            f"{method}'s all the same: --method {plain_method(method)}"
        )
    if log is not None and log.trainer:
        other = other_method(log.trainer, recognition.candidates)
        if other is not None:
            return (
                f"log.txt names the trainer {log.trainer} ({other}), which the keys are not: they "
                f"are {method}'s; if the log is another run's: --method {plain_method(method)}"
            )
    return None


def unexplained(recognition: Recognition, method: str) -> tuple[str, ...]:
    """Keys of the file that the method neither has nor leaves in it unused."""
    row = row_of(method)
    own = () if row is None else row.own_keys
    return tuple(
        key for key in recognition.unexplained if not any(fnmatchcase(key, one) for one in own)
    )


def _against_log(
    recognition: Recognition,
    method: str | None,
    facts: Facts,
    names: ClassNames | None,
    log: RunLog,
) -> list[str]:
    """Where the log and the file disagree: it may be another run's."""
    found: list[str] = []
    if log.trainer and method is not None and method_of(log.trainer) is None:
        found.append(
            f"log.txt names the trainer {log.trainer}, which is not known; the file is read as "
            f"{method}'s, by its keys, and settings of that trainer are not"
        )
    if log.backbone and facts.backbones and log.backbone not in facts.backbones:
        found.append(
            f"log.txt names the backbone {log.backbone}; the shapes fit "
            f"{', '.join(facts.backbones)}"
        )
    if recognition.method == "AnchorOPT (anchor)":
        facts = replace(facts, context_length=None)  # the anchor's own, which no log has
    entries = own_entries(log.settings, log.trainer, method)
    found += unheeded(entries, facts, log.context_length)
    if None not in (log.num_classes, facts.num_classes) and log.num_classes != facts.num_classes:
        found.append(
            f"number of classes: {log.num_classes} in log.txt, {facts.num_classes} in the file; "
            "is it another run's?"
        )
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


def facts_notes(method: str | None) -> tuple[str, ...]:
    """What is so in every file of the method, and no cause for a warning."""
    row = None if method is None else row_of(method)
    said = () if row is None or not row.fact else (row.fact,)
    if method is not None and method.startswith("DePT"):
        return (*said, "DePT has two classifiers: text features, and a linear probe")
    return said


def other_epoch(checkpoint: Checkpoint, log: RunLog | None) -> str | None:
    """In which way the log's accuracy is another model's than the file's; None if it is not."""
    if log is None or log.accuracy is None:
        return None
    epoch = checkpoint.extras.get("epoch")
    epoch = epoch if isinstance(epoch, int) and not isinstance(epoch, bool) else None
    if log.accuracy_epoch is not None and epoch is not None and epoch != log.accuracy_epoch:
        return f"of epoch {log.accuracy_epoch}: this file is of epoch {epoch}"
    numbered = checkpoint.path.name.startswith("model.pth.tar-")
    if log.accuracy_of == "best" and numbered:
        return (
            f"of the best model on validation (model-best.pth.tar): this is {checkpoint.path.name}"
        )
    return None
