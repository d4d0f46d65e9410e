"""Everything a checkpoint and the log beside it say, without a backbone and without running it."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ncscope.checkpoint.checks import Need, checks, fixed_words_note, needs_of
from ncscope.checkpoint.class_names import (
    ClassNames,
    Decode,
    holds_names,
    recover_class_names,
    subset_of,
)
from ncscope.checkpoint.facts import Facts, facts_of
from ncscope.checkpoint.fingerprint import Recognition, recognise
from ncscope.checkpoint.locate import Located, locate
from ncscope.checkpoint.methods import named_by, named_in, plain_method
from ncscope.checkpoint.reading import Checkpoint, read_checkpoint
from ncscope.checkpoint.runlog import RunLog, read_runlog
from ncscope.errors import CheckpointError

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
    the learner takes.
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
    path: str | Path, *, decode: Decode | None = None, token_embedding: Tensor | None = None
) -> Inspection:
    """Inspect a checkpoint file, or the folder of a model, seed or run.

    Args:
        path: the file or folder.
        decode: token ids to text, as CLIP's tokenizer does; recovers class names where the file
            holds token ids or a token table.
        token_embedding: (V, W) of the backbone; recovers class names from token vectors.

    Raises:
        CheckpointError: no checkpoint there, or one that cannot be read.
    """
    located = locate(path)
    checkpoint = read_checkpoint(located.path)
    log = read_runlog(located.logs)
    shapes = {key: tuple(tensor.shape) for key, tensor in checkpoint.tensors.items()}
    recognition = recognise(shapes)
    method, decided_by = _decide(recognition, log, located)
    pooled = method is not None and plain_method(method).startswith("PLOT")
    facts = facts_of(shapes, pooled=pooled)
    names, names_from, complaint = _names(checkpoint.tensors, decode, token_embedding, log)
    named = names is not None or holds_names(checkpoint.tensors)
    notes = (*located.notes, *checkpoint.notes, *(log.notes if log else ()))
    return Inspection(
        checkpoint=checkpoint,
        located=located,
        recognition=recognition,
        method=method,
        decided_by=decided_by,
        facts=facts,
        class_names=names,
        names_from=names_from,
        subset=_subset(facts, log),
        log=log,
        needs=needs_of(method, facts, log, named=named),
        warnings=(*complaint, *checks(checkpoint, recognition, method, facts, names, log)),
        notes=(*notes, *fixed_words_note(facts, log)),
    )


def _decide(
    recognition: Recognition, log: RunLog | None, located: Located
) -> tuple[str | None, str]:
    """The method among those with these keys: by log.txt, else a folder's name, else the usual."""
    candidates = recognition.candidates
    if not candidates:
        return None, "its keys fit no known method"
    if len(candidates) == 1:
        return candidates[0], "its keys and shapes"
    if log is not None and log.trainer and (named := named_by(log.trainer, candidates)):
        return named, f"its keys, and the trainer {log.trainer} in log.txt"
    if hint := named_in(located.path.parts[:-1], candidates):
        return hint[0], f"its keys, and the folder name {hint[1]}, which is a hint only"
    if candidates[0] == "Tip-Adapter" and located.path.name.startswith("best_F"):
        return "Tip-Adapter-F", "its shape, and the file's name, which is a hint only"
    return candidates[0], "its keys; others have the same, the trainer's name in log.txt would say"


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
