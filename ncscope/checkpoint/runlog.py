"""Reads log.txt, which Dassl writes beside a checkpoint: the configuration and the accuracies.

The log is text anybody may have edited, cut or appended to. It is parsed and no more: what is not
found is None, and nothing in it is executed or looked up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ncscope.checkpoint.log_config import Settings, settings_of
from ncscope.checkpoint.log_results import (
    Evaluation,
    class_names_of,
    epochs_of,
    evaluations_of,
    num_classes_of,
    transform_of,
)

_MAX_BYTES = 16 * 2**20  # read at each end of a longer file
_START = "** Arguments **"


@dataclass(frozen=True)
class RunLog:
    """What the logs of one run say. `None` where they do not say it.

    `class_token_position` is end, middle or front; `subsample` all, base or new; `transform` is
    current (resize, centre crop) or squash (before October 2021); accuracies are in per cent, over
    `images_tested`.
    `settings` are all lines of the configuration, by dotted name (`TRAINER.COOP.N_CTX`).
    """

    trainer: str | None
    backbone: str | None
    dataset: str | None
    subsample: str | None
    shots: int | None
    seed: int | None
    precision: str | None
    context_words: str | None
    context_length: int | None
    vision_context_length: int | None
    class_specific: bool | None
    class_token_position: str | None
    text_depth: int | None
    vision_depth: int | None
    transform: str | None
    max_epoch: int | None
    epochs_logged: int | None
    num_classes: int | None
    class_names: tuple[str, ...] | None
    accuracy: float | None
    macro_f1: float | None
    images_tested: int | None
    evaluations: tuple[Evaluation, ...]
    settings: dict[str, str]
    notes: tuple[str, ...]


def read_runlog(paths: Sequence[Path]) -> RunLog | None:
    """Read the logs of a run, oldest first. None if there is none, or none that says anything.

    Where several runs were appended, the last that trained is taken; the accuracy is that of its
    last evaluation on the test split.
    """
    notes: list[str] = []
    texts = [text for path in paths if (text := _text(path, notes))]
    runs = [run for text in texts for run in _runs(text)]
    if not runs:
        return None
    settings = [settings_of(run) for run in runs]
    trained = [i for i, found in enumerate(settings) if not found.flag("eval_only")]
    chosen = trained[-1] if trained else len(runs) - 1
    if len(runs) > 1:
        notes.append(f"log.txt holds {len(runs)} runs; read number {chosen + 1}")
    return _runlog(runs[chosen], settings[chosen], notes)


def _runlog(run: str, found: Settings, notes: list[str]) -> RunLog | None:
    evaluations = evaluations_of(run)
    if not found.values and not evaluations:
        return None
    tested = [e for e in evaluations if e.split == "test"] or list(evaluations)
    if not evaluations:
        notes.append("log.txt has no finished evaluation: the run was cut short, or not tested")
    return RunLog(
        trainer=found.text("TRAINER.NAME", "Loading trainer", "trainer"),
        backbone=found.text("MODEL.BACKBONE.NAME", "Loading CLIP (backbone"),
        dataset=found.text("DATASET.NAME", "Loading dataset"),
        subsample=found.text("DATASET.SUBSAMPLE_CLASSES"),
        shots=found.count("DATASET.NUM_SHOTS"),
        seed=found.count("SEED", "seed"),
        precision=found.of_trainer("PREC"),
        context_words=found.context_words(),
        context_length=found.count_of_trainer("N_CTX", "N_CTX_TEXT"),
        vision_context_length=found.count_of_trainer("N_CTX_VISION"),
        class_specific=found.flag_of_trainer("CSC"),
        class_token_position=found.of_trainer("CLASS_TOKEN_POSITION"),
        text_depth=found.count_of_trainer("PROMPT_DEPTH", "PROMPT_DEPTH_TEXT"),
        vision_depth=found.count_of_trainer("PROMPT_DEPTH", "PROMPT_DEPTH_VISION"),
        transform=transform_of(run),
        max_epoch=found.count("OPTIM.MAX_EPOCH"),
        epochs_logged=epochs_of(run),
        num_classes=num_classes_of(run),
        class_names=class_names_of(run),
        accuracy=tested[-1].accuracy if tested else None,
        macro_f1=tested[-1].macro_f1 if tested else None,
        images_tested=tested[-1].total if tested else None,
        evaluations=evaluations,
        settings=found.values,
        notes=tuple(notes),
    )


def _text(path: Path, notes: list[str]) -> str:
    """The file's text, whatever its encoding; of a very long file its beginning and its end."""
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES)
            size = path.stat().st_size
            if size > 2 * _MAX_BYTES:
                file.seek(size - _MAX_BYTES)
                notes.append(f"{path.name} is very long; its middle was not read")
                content += b"\n"
            content += file.read(_MAX_BYTES)
    except OSError as error:
        notes.append(f"{path.name} could not be read: {error.strerror}")
        return ""
    wide = content[:2] in (b"\xff\xfe", b"\xfe\xff")
    text = content.decode("utf-16" if wide else "utf-8-sig", errors="replace")
    return text.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n")


def _runs(text: str) -> list[str]:
    """The text cut where a program began: at the stars above its arguments."""
    first, *rest = text.split(_START)
    return rest if rest else [first]
