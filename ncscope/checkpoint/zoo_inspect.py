"""Everything a checkpoint and the log beside it say, without a backbone and without running it."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from ncscope.checkpoint.checks import checks, fixed_words_note, needs_of
from ncscope.checkpoint.class_names import ClassNames, holds_names, recover_class_names, subset_of
from ncscope.checkpoint.facts import Facts, facts_of
from ncscope.checkpoint.inspect import Inspection
from ncscope.checkpoint.locate import Located, locate
from ncscope.checkpoint.name_text import Decode
from ncscope.checkpoint.reading import read_checkpoint
from ncscope.checkpoint.runlog import RunLog, read_runlog
from ncscope.checkpoint.trainers import named_by, named_in, plain_method
from ncscope.checkpoint.zoo_fingerprint import Recognition, recognise
from ncscope.errors import CheckpointError


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
