"""What `inspect` finds out about a checkpoint, as one object and as JSON."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from ncscope.checkpoint.class_names import ClassNames
from ncscope.checkpoint.facts import Facts
from ncscope.checkpoint.locate import Located
from ncscope.checkpoint.method_notes import Need
from ncscope.checkpoint.reading import Checkpoint
from ncscope.checkpoint.runlog import RunLog
from ncscope.checkpoint.zoo_fingerprint import Recognition

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
