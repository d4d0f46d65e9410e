"""From a file or a folder at any level of a run to the checkpoint file meant by it.

`OUTPUT_DIR/log.txt` lies above `OUTPUT_DIR/<model>/model.pth.tar-<epoch>`; public releases rename
and move files, so folder names decide nothing here but which of a run's models is the main one.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ncscope.checkpoint.walk import CHECKPOINT, Walk
from ncscope.errors import CheckpointError

_EPOCH = re.compile(r"model\.pth\.tar-(\d{1,9})")
_USUAL = ("model.pth.tar", "checkpoint.safetensors", "checkpoint.pth.tar", "lora_weights.pt",
          "adapter_model.safetensors", "adapter_model.bin")  # fmt: skip
_COMPANIONS = re.compile(r"Mem|anchor_")  # models saved beside the one that is asked for
BEST = "model-best.pth.tar"
_MAX_LISTED = 10


@dataclass(frozen=True)
class Located:
    """A checkpoint file, the logs of its run (oldest first), and the run's other models."""

    path: Path
    logs: tuple[Path, ...] = ()
    companions: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()


def locate(path: str | Path, *, epoch: int | None = None) -> Located:
    """Find the checkpoint in a model folder, seed folder or run folder; a file is itself.

    Args:
        epoch: the one to take of several; None takes model-best, else the last.

    Raises:
        CheckpointError: nothing there, no checkpoint below, not of this epoch, or several runs
            (they are listed).
    """
    path = Path(path)
    if not path.is_dir():
        if epoch is not None and path.exists() and _epoch_of(path) != epoch:
            raise CheckpointError(
                f"{path}: `--load-epoch` {epoch} chooses among the files of a run's folder; this "
                f"is one file"
            )
        return Located(path, _logs(path))
    folders = [path] if _checkpoints(path) else _folders_with_checkpoints(path)
    if not folders:
        raise nothing_below(path)
    if len({folder.parent for folder in folders}) > 1:
        raise CheckpointError(f"{path}: several runs; name one of {_listed(folders, path)}")
    folder, others = _main_model(folders, path)
    chosen, notes = choose(folder, epoch)
    if others:
        notes += (f"other models of this run: {', '.join(other.name for other in others)}",)
    companions = tuple(choose(other, epoch)[0] for other in others)
    return Located(chosen, _logs(chosen), companions, notes)


def nothing_below(folder: Path) -> CheckpointError:
    """What is said of a folder without a checkpoint."""
    return CheckpointError(
        f"{folder}: no checkpoint in this folder or below it; looked for names such as "
        "model.pth.tar-50, model-best.pth.tar, *.pt, *.pth, *.ckpt, *.bin and *.safetensors"
    )


def _checkpoints(folder: Path) -> list[Path]:
    """The folder's files that are named like checkpoints, sorted."""
    try:
        with os.scandir(folder) as entries:
            names = [e.name for e in entries if CHECKPOINT.fullmatch(e.name) and e.is_file()]
    except OSError as error:
        raise CheckpointError(f"{folder}: cannot be read: {error.strerror}") from None
    return [folder / name for name in sorted(names) if not name.startswith(".")]


def _folders_with_checkpoints(top: Path) -> list[Path]:
    return [folder for folder, _ in Walk(top).folders(below=False)]


def is_companion(folder: Path) -> bool:
    """Whether a folder holds a model saved beside the one that is asked for."""
    return _COMPANIONS.match(folder.name) is not None


def _main_model(folders: list[Path], top: Path) -> tuple[Path, list[Path]]:
    """A run may have registered several models; the main one is not a memory or an anchor."""
    main = [folder for folder in folders if not is_companion(folder)]
    main = main or folders
    if len(main) > 1:
        raise CheckpointError(f"{top}: several models; name one of {_listed(main, top)}")
    return main[0], [folder for folder in folders if folder != main[0]]


def choose(folder: Path, epoch: int | None = None) -> tuple[Path, tuple[str, ...]]:
    """The folder's file to read, and why it is that one where there was a choice.

    Raises:
        CheckpointError: none of this epoch, or several files of which none is the one to take.
    """
    files = _checkpoints(folder)
    by_name = {file.name: file for file in files}
    epochs = sorted((number, f) for f in files if (number := _epoch_of(f)) is not None)
    if epoch is not None:
        own = [file for number, file in epochs if number == epoch]
        if not own:
            raise CheckpointError(
                f"{folder}: no model.pth.tar-{epoch}, which --load-epoch asks for; there are "
                f"{_listed(files, folder)}"
            )
        chosen, why = own[0], "--load-epoch"
    elif BEST in by_name:
        chosen, why = by_name[BEST], "the best on validation"
    elif epochs:
        chosen, why = epochs[-1][1], "the last epoch"
    elif usual := [by_name[name] for name in _USUAL if name in by_name]:
        chosen, why = usual[0], "by its name"
    elif caches := _caches(files):
        chosen, why = caches[0], "Tip-Adapter's cache, tuned where there is a tuned one"
        if len(caches) > 1:
            listed = _listed(caches, folder)
            raise CheckpointError(f"{folder}: caches of several runs; name one of {listed}")
    elif len(files) == 1:
        chosen, why = files[0], ""
    else:
        raise CheckpointError(f"{folder}: several files; name one of {_listed(files, folder)}")
    notes = (f"read {chosen.name} of {len(files)} files: {why}",) if len(files) > 1 else ()
    return chosen, notes


def _epoch_of(file: Path) -> int | None:
    found = _EPOCH.fullmatch(file.name)
    return int(found[1]) if found else None


def _caches(files: list[Path]) -> list[Path]:
    """Tip-Adapter's caches: the tuned ones, or where there are none the keys."""
    for start in ("best_F_", "keys_"):
        if found := [file for file in files if file.name.startswith(start)]:
            return found
    return []


def _logs(file: Path) -> tuple[Path, ...]:
    """log.txt beside the file or one level above; Dassl names later ones log.txt-<time>."""
    return logs_in(file.parent) or logs_in(file.absolute().parent.parent)


def logs_in(folder: Path) -> tuple[Path, ...]:
    """The logs in a folder, oldest first."""
    try:
        return tuple(sorted(log for log in folder.glob("log.txt*") if log.is_file()))
    except OSError:
        return ()


def _listed(paths: Iterable[Path], top: Path) -> str:
    names = [str(path.relative_to(top)) for path in paths]
    more = f", ... ({len(names)} in all)" if len(names) > _MAX_LISTED else ""
    return ", ".join(names[:_MAX_LISTED]) + more
