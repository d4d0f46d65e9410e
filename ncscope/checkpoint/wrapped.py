"""Files whose keys all begin with a wrapper's name: Lightning's `model.`, a part's own name.

`module.` and `_orig_mod.` are dropped wherever they stand when a file is read. Other beginnings are
taken off only where all keys share them, the keys fit no method with them, and fit one without.
"""

from dataclasses import replace
from pathlib import Path

from torch import Tensor

from ncscope.checkpoint.fingerprint import Recognition, recognise
from ncscope.checkpoint.locate import locate
from ncscope.checkpoint.reading import Checkpoint, read_checkpoint

_MOST = 3  # names in a row


def unwrapped(checkpoint: Checkpoint) -> tuple[Checkpoint, Recognition]:
    """The checkpoint, without a beginning that all its keys share if that makes it a method's."""
    recognition = recognise(_shapes(checkpoint))
    tensors, taken = checkpoint.tensors, ""
    for _ in range(_MOST):
        starts = {key.partition(".")[0] for key in tensors if "." in key}
        if recognition.method is not None or len(starts) != 1 or not all("." in k for k in tensors):
            break
        (start,) = starts
        taken += f"{start}."
        tensors = {key.removeprefix(f"{start}."): value for key, value in tensors.items()}
        without = recognise({key: tuple(value.shape) for key, value in tensors.items()})
        if without.method is not None and not without.unexplained:
            note = f"all keys begin with `{taken}`, which was taken off"
            return replace(checkpoint, tensors=tensors, notes=(*checkpoint.notes, note)), without
    return checkpoint, recognition


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint, or of a run's folder, that belongs to another one.

    Raises:
        CheckpointError: no checkpoint there, or one that cannot be read.
    """
    return unwrapped(read_checkpoint(locate(path).path))[0].tensors


def _shapes(checkpoint: Checkpoint) -> dict[str, tuple[int, ...]]:
    return {key: tuple(tensor.shape) for key, tensor in checkpoint.tensors.items()}
