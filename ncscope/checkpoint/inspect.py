"""Everything a checkpoint and the log beside it say, without a backbone and without running it."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ncscope.checkpoint.bare import bare_method
from ncscope.checkpoint.checks import (
    Need,
    checks,
    doubt,
    facts_notes,
    fixed_words_note,
    needs_of,
    other_epoch,
    unexplained,
)
from ncscope.checkpoint.class_names import (
    ClassNames,
    Decode,
    holds_names,
    recover_class_names,
    subset_of,
)
from ncscope.checkpoint.facts import Facts, facts_of
from ncscope.checkpoint.fingerprint import Recognition
from ncscope.checkpoint.locate import Located, locate
from ncscope.checkpoint.methods import ROWS, plain_method, row_of
from ncscope.checkpoint.reading import BARE, Checkpoint, read_checkpoint
from ncscope.checkpoint.runlog import RunLog, read_runlog
from ncscope.checkpoint.trainers import named_by, named_in
from ncscope.checkpoint.wrapped import unwrapped
from ncscope.errors import CheckpointError, shown

_FORMAT = 1
_SETTINGS = (
    "trainer",
    "backbone",
    "dataset",
    "subsample",
    "shots",
    "seed",
    "precision",
    "context_words",
    "context_length",
    "vision_context_length",
    "class_specific",
    "class_token_position",
    "text_depth",
    "vision_depth",
    "transform",
    "max_epoch",
    "epochs_logged",
    "num_classes",
)


@dataclass(frozen=True, eq=False)
class Inspection:
    """What a checkpoint is.

    `method` is None for a file of no known method; then `recognition` names the nearest one.
    `decided_by` says what chose among the candidates. `names_from` says where the class names
    come from, or what would recover them. `subset` is all, base or new. `needs` is what running
    the learner takes. `doubt` is why the file may be another method's, which no learner is made
    of; None where nothing says so or the caller named the method.
    """

    checkpoint: Checkpoint
    located: Located
    recognition: Recognition
    method: str | None
    decided_by: str
    facts: Facts
    class_names: ClassNames | None
    names_from: str
    subset: str | None
    log: RunLog | None
    needs: tuple[Need, ...]
    doubt: str | None
    warnings: tuple[str, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values for json.dumps. Keys stay the same whatever was found; absent is None."""
        checkpoint, names, log = self.checkpoint, self.class_names, self.log
        return {
            "format": _FORMAT,
            "path": str(checkpoint.path),
            "file_format": checkpoint.format,
            "method": self.method,
            "candidates": list(self.recognition.candidates),
            "decided_by": self.decided_by,
            "base_method": self.recognition.base,
            "nearest": self.recognition.nearest,
            "missing_keys": list(self.recognition.missing),
            "unexplained_keys": list(self.recognition.unexplained),
            "shapes": _plain(dataclasses.asdict(self.facts)),
            "class_names": list(names.names) if names else None,
            "class_names_from": self.names_from,
            "fixed_words": {"before": names.before, "after": names.after} if names else None,
            "subset": self.subset,
            "settings": {key: getattr(log, key) for key in _SETTINGS} if log else None,
            "config": dict(sorted(log.settings.items())) if log else None,
            "accuracy": log.accuracy if log else None,
            "macro_f1": log.macro_f1 if log else None,
            "evaluations": [dataclasses.asdict(e) for e in log.evaluations] if log else [],
            "needs": [dataclasses.asdict(need) for need in self.needs],
            "extras": _plain(checkpoint.extras),
            "tensors": {
                key: {
                    "shape": list(tensor.shape),
                    "dtype": str(tensor.dtype).removeprefix("torch."),
                }
                for key, tensor in checkpoint.tensors.items()
            },
            "logs": [str(path) for path in self.located.logs],
            "companions": [str(path) for path in self.located.companions],
            "warnings": list(self.warnings),
            "notes": list(self.notes),
        }


def _plain(value: Any) -> Any:
    """Tuples as lists, and what JSON has no number for as None."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def inspect(
    path: str | Path,
    *,
    decode: Decode | None = None,
    token_embedding: Tensor | None = None,
    method: str | None = None,
    epoch: int | None = None,
) -> Inspection:
    """Inspect a checkpoint file, or the folder of a model, seed or run.

    Args:
        path: the file or folder.
        decode: token ids to text, as CLIP's tokenizer does; recovers class names where the file
            holds token ids or a token table.
        token_embedding: (V, W) of the backbone; recovers class names from token vectors.
        method: read the file as this method's, whatever its keys and its log say.
        epoch: the one to take of a run's several; None takes model-best, else the last.

    Raises:
        CheckpointError: no checkpoint there, or one that cannot be read; an unknown method.
    """
    located = locate(path, epoch=epoch)
    checkpoint, recognition = unwrapped(read_checkpoint(located.path))
    log = read_runlog(located.logs)
    found, decided_by = _decide(recognition, checkpoint, log, located)
    said: tuple[str, ...] = ()
    if method is not None:
        said = _overruled(found, _known(method), recognition, log)
        found, decided_by = _known(method), "--method"
    pooled = found is not None and plain_method(found).startswith("PLOT")
    shapes = {key: tuple(tensor.shape) for key, tensor in checkpoint.tensors.items()}
    facts = facts_of(shapes, pooled=pooled)
    names, names_from, complaint = _names(checkpoint.tensors, decode, token_embedding, log)
    named = names is not None or holds_names(checkpoint.tensors)
    notes = (*located.notes, *checkpoint.notes, *(log.notes if log else ()), *facts_notes(found))
    other = other_epoch(checkpoint, log)
    reason = doubt(recognition, found, log) if method is None else None
    return Inspection(
        checkpoint=checkpoint,
        located=located,
        recognition=recognition,
        method=found,
        decided_by=decided_by,
        facts=facts,
        class_names=names,
        names_from=names_from,
        subset=_subset(facts, log),
        log=log,
        needs=needs_of(found, facts, log, named=named),
        doubt=reason,
        warnings=(
            *said,
            *complaint,
            *([reason] if reason else []),
            *checks(checkpoint, recognition, found, facts, names, log),
        ),
        notes=(
            *notes,
            *fixed_words_note(facts, log),
            *([f"the accuracy in log.txt is {other}"] if other else []),
        ),
    )


def _known(method: str) -> str:
    """The name of a method as its row has it, however it was written.

    Raises:
        CheckpointError: no such method.
    """
    plain = {row.name.casefold(): row.name for row in ROWS if row.name != "DePT"}
    over = method.casefold().startswith("dept over ")
    known = plain.get(method.casefold().removeprefix("dept over "))
    if known is None:
        raise CheckpointError(
            f"`method` is {method!r}; expected one of {shown(tuple(plain.values()), most=60)}"
        )
    return f"DePT over {known}" if over else known


def _overruled(
    found: str | None, method: str, recognition: Recognition, log: RunLog | None
) -> tuple[str, ...]:
    """What --method was said against."""
    told = "fit no method" if found is None else f"are {found}'s"
    reason = doubt(recognition, found, log)
    if found is not None and plain_method(found) == plain_method(method) and reason is None:
        return ()
    but = f"; {reason.split('; ')[0]}" if reason else ""
    return (f"read as {method} because --method says so: its keys {told}{but}",)


def _decide(
    recognition: Recognition, checkpoint: Checkpoint, log: RunLog | None, located: Located
) -> tuple[str | None, str]:
    """The method among those with these keys: by log.txt, else a folder's name, else the usual."""
    candidates = recognition.candidates
    if not candidates:
        return None, "its keys fit no known method"
    if tuple(checkpoint.tensors) == (BARE,):
        return bare_method(checkpoint.tensors[BARE], located.path)
    if located.path.parent.name == "text_prompt_learner":
        return "TAP", "its keys, and the folder name text_prompt_learner, which only TAP has"
    if len(candidates) == 1:
        return candidates[0], "its keys and shapes"
    if log is not None and log.trainer and (named := named_by(log.trainer, candidates)):
        return named, f"its keys, and the trainer {log.trainer} in log.txt"
    if owner := _owner(recognition):
        return owner, "its keys: what else is in the file is only this method's"
    if hint := named_in(located.path.parts[:-1], candidates):
        return hint[0], f"its keys, and the folder name {hint[1]}, which is a hint only"
    return candidates[0], "its keys; others have the same, the trainer's name in log.txt would say"


def _owner(recognition: Recognition) -> str | None:
    """The candidate whose class leaves the keys in the file that the others do not have."""
    strange = recognition.unexplained
    for candidate in recognition.candidates if strange else ():
        row = row_of(candidate)
        if row is not None and not unexplained(recognition, candidate):
            return candidate
    return None


def _names(
    tensors: Mapping[str, Tensor],
    decode: Decode | None,
    table: Tensor | None,
    log: RunLog | None,
) -> tuple[ClassNames | None, str, tuple[str, ...]]:
    """The class names, where they come from, and a warning if the backbone's tokens do not fit."""
    complaint: tuple[str, ...] = ()
    if decode is not None:
        try:
            found = recover_class_names(tensors, decode, token_embedding=table)
        except CheckpointError as error:
            found, complaint = None, (f"class names were not recovered: {error}",)
        if found is not None:
            return found, "the tokens in the file", complaint
    if log is not None and log.class_names:
        names = ClassNames(log.class_names, "", "", (), 0.0)
        return names, "log.txt", complaint
    if complaint:
        return None, "not recovered with this backbone", complaint
    if holds_names(tensors):
        return None, "in the file as tokens; needs --backbone to recover them", ()
    return None, "not in the file; give them with --classnames", ()


def _subset(facts: Facts, log: RunLog | None) -> str | None:
    if log is not None and log.subsample in ("all", "base", "new"):
        return log.subsample
    dataset = log.dataset if log is not None else None
    return subset_of(facts.num_classes, dataset) if facts.num_classes else None
