"""What a table of many runs says of each, and what tells two runs of one method apart."""

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ncscope.checkpoint.checks import other_epoch
from ncscope.checkpoint.inspect import Inspection
from ncscope.checkpoint.locate import BEST
from ncscope.checkpoint.runlog import RunLog
from ncscope.opening import read_bytes

_SEED_FOLDER = re.compile(r"seed[-_]?(\d{1,9})")
_NUMBERED = re.compile(r"model\.pth\.tar-(\d{1,9})")
# Lines of a log that say where and how it ran, or what the row has a column for
_NOT_SETTINGS = re.compile(
    r"[a-z].*|Loading .*|SEED|VERBOSE|USE_CUDA|OUTPUT_DIR|RESUME|VERSION|ENV.*"
    r"|DATASET\.(NAME|ROOT|SUBSAMPLE_CLASSES)|DATALOADER\.NUM_WORKERS"
    r"|TRAIN\.(PRINT|CHECKPOINT)_FREQ|TRAINER\.NAME|TEST\..*|.*\.TEMPLATE"
)
_NOT_OPTIONS = ("data", "split", "seed", "source", "label", "template", "backbone",
                "backbone_digest")  # fmt: skip


@dataclass(frozen=True)
class RunFacts:
    """One run, as a row of a table. None where neither file nor log says it.

    `accuracy` is the log's, in per cent, and `accuracy_of` says of which other model it is, if it
    is not this file's. `chosen` says why this file was read where there were several. `needs` are
    the options that must be given to run it. `settings` are the lines of its log, by dotted name,
    but for those that say which run it is, and the options of `tune` beside it.
    """

    file: str
    method: str | None
    dataset: str | None
    trained_split: str | None
    shots: int | None
    seed: int | None
    epoch: int | None
    accuracy: float | None
    accuracy_of: str | None
    backbone: str | None
    chosen: str | None
    needs: tuple[str, ...]
    settings: dict[str, str | int | float]

    def to_json(self) -> dict[str, Any]:
        """Plain values for json.dumps."""
        return {**asdict(self), "needs": list(self.needs)}


def run_facts(found: Inspection) -> RunFacts:
    """The row of an inspected run."""
    log = found.log
    missing = (need.option for need in found.needs if need.value is None)
    known = {need.what: need.value for need in found.needs}
    choice = [note for note in found.located.notes if note.startswith("read ")]
    return RunFacts(
        file=str(found.checkpoint.path),
        method=found.method,
        dataset=log.dataset if log else None,
        trained_split=found.subset,
        shots=log.shots if log else None,
        seed=_seed(found.checkpoint.path, log),
        epoch=_epoch(found),
        accuracy=log.accuracy if log else None,
        accuracy_of=other_epoch(found.checkpoint, log),
        backbone=known.get("backbone"),
        chosen=choice[0] if choice else None,
        needs=tuple(dict.fromkeys(missing)),
        settings=_settings(found.checkpoint.path.parent, log),
    )


def took_best(facts: RunFacts) -> bool:
    """Whether model-best was taken where there was a choice."""
    return facts.chosen is not None and Path(facts.file).name == BEST


def _settings(folder: Path, log: RunLog | None) -> dict[str, str | int | float]:
    lines = log.settings if log else {}
    found: dict[str, str | int | float] = {
        name: value for name, value in lines.items() if value and not _NOT_SETTINGS.fullmatch(name)
    }
    return dict(sorted((found | _tuned(folder)).items()))


def _tuned(folder: Path) -> dict[str, str | int | float]:
    """The options of `ncscope tune` in config.json beside its checkpoint; none where it is not."""
    try:
        body = json.loads(read_bytes(folder / "config.json", most=2**22))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(body, dict) or "recipe_in_force" not in body:
        return {}  # somebody else's
    kept = {name: value for name, value in body.items() if name not in _NOT_OPTIONS}
    kept["cpt_weights"] = "/".join(map(str, kept.get("cpt_weights") or ()))
    return {name: value for name, value in kept.items() if isinstance(value, str | int | float)}


def _seed(file: Path, log: RunLog | None) -> int | None:
    """The log's seed, else that of the folder nearest to the file."""
    if log is not None and log.seed is not None:
        return log.seed
    named = (_SEED_FOLDER.fullmatch(part) for part in reversed(file.parts[:-1]))
    return next((int(match[1]) for match in named if match), None)


def _epoch(found: Inspection) -> int | None:
    """The epoch in the file, else in its name, else the last in the log of a run with one file."""
    told = found.checkpoint.extras.get("epoch")
    if isinstance(told, int) and not isinstance(told, bool):
        return told
    if match := _NUMBERED.fullmatch(found.checkpoint.path.name):
        return int(match[1])
    if found.checkpoint.path.name == "checkpoint.safetensors" and found.log:
        return found.log.epochs_logged
    return None
