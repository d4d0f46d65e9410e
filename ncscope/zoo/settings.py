"""What a caller may say of a checkpoint, and what a learner needs to know beside its tensors."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.clip.descriptions import Descriptions, read_descriptions
from ncscope.clip.prompts import PromptedClip
from ncscope.errors import DataError


@dataclass(frozen=True)
class LearnerOptions:
    """Facts that a checkpoint may not tell; names as on the command line. None: not said.

    Args:
        classnames: training classes in the checkpoint's order, where the file does not tell.
        class_token_position: end, middle or front (CoOp).
        condition: mean, class, none or per-image (CoCoOp).
        image_feature: fused, class or representation (MMRL).
        data_name: the data set, for methods whose templates depend on it.
        descriptions: of classes, for zero-shot and learners with written prompts: sentences by
            class, or their JSON file (`FILE:PART` of one with several data sets). In place of the
            usual template; averaged with those that are given.
        template: the prompt of methods without a learned one; several are averaged.
        transform: current (shorter edge resized, centre cropped) or squash (before October 2021).
        residual_scale: of TaskRes.
        adapter_scale: of MMA; CLIP-Adapter's share, 0.2 in its authors' code.
        teacher: checkpoint or learner that has PromptKD's text side.
        method: read the file as this method's, whatever its keys and its log say.
        teacher_backbone: the CLIP the teacher was trained on: a file, a folder, or a name, whose
            published weights are taken; None: what the files or the logs say.
        base: checkpoint that belongs to the learner: the CoOp prompt a DPC prompt is mixed with,
            AnchorOPT's anchor, TextRefiner's memory.
        settings: of the run, by the dotted names of log.txt, whose values they replace
            (`TRAINER.MMRL.REP_LAYERS`).
        split: base or new, where the images are of that half of the classes (MMRL).
        load_epoch: the epoch to take of a run's several; model-best, else the last.
    """

    classnames: Sequence[str] | None = None
    class_token_position: str | None = None
    condition: str | None = None
    image_feature: str | None = None
    data_name: str | None = None
    descriptions: str | Path | Descriptions | None = None
    template: str | Sequence[str] | None = None
    transform: str | None = None
    residual_scale: float | None = None
    adapter_scale: float | None = None
    teacher: str | Path | PromptedClip | None = None
    teacher_backbone: str | Path | Backbone | None = None
    base: str | Path | None = None
    method: str | None = None
    settings: Mapping[str, str] | None = None
    split: str | None = None
    load_epoch: int | None = None

    @property
    def templates(self) -> tuple[str, ...]:
        return (self.template,) if isinstance(self.template, str) else tuple(self.template or ())


def with_facts(options: LearnerOptions | None, facts: Mapping[str, Any]) -> LearnerOptions:
    """The options with facts that were said beside them, by their names.

    Raises:
        DataError: no option is called so.
    """
    known = [entry.name for entry in fields(LearnerOptions)]
    for name in facts:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            meant = f"; is `{near[0]}` meant?" if near else f"; expected one of {', '.join(known)}"
            raise DataError(f"there is no option `{name}`{meant}")
    return replace(options or LearnerOptions(), **facts)


@dataclass(frozen=True, eq=False)
class Settings:
    """Facts that a checkpoint's tensors do not tell, resolved; None where nobody told.

    `classnames` are the training classes in the file's order; `words` the fixed words between
    context and name, `after` what follows the name. `stored` asks for the token vectors in the
    file instead of the backbone's. `origins` says of each fact whether it is an option's,
    log.txt's, the file's or a default.
    """

    where: str  # the checkpoint, for messages
    method: str
    classnames: tuple[str, ...] | None = None
    words: str = ""
    after: str = "."
    stored: bool = False
    class_token_position: str | None = None
    condition: str | None = None
    data_name: str | None = None
    templates: tuple[str, ...] = ()
    descriptions: Descriptions | None = None
    residual_scale: float | None = None
    adapter_scale: float | None = None
    image_feature: str | None = None
    split: str | None = None
    teacher: PromptedClip | None = None
    companions: Mapping[str, Tensor] = field(default_factory=dict)  # of models saved beside it
    base: Mapping[str, Tensor] = field(default_factory=dict)  # of `--base CHECKPOINT`
    extras: Mapping[str, object] = field(default_factory=dict)  # plain values in the file
    run: Mapping[str, Any] = field(default_factory=dict)  # what log.txt says of the run, JSON
    logged: Mapping[str, str] = field(default_factory=dict)  # log.txt's settings, dotted names
    origins: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    memo: dict[object, Any] = field(default_factory=dict)  # what only class names decide

    def once(self, key: object, compute: Callable[[], Any]) -> Any:
        """What `compute` gives, kept: training rebuilds a learner at every step.

        Outside of inference mode, whose tensors no gradient can pass by.
        """
        if key not in self.memo:
            with torch.inference_mode(False), torch.no_grad():
                self.memo[key] = compute()
        return self.memo[key]


def descriptions_of(options: LearnerOptions) -> Descriptions | None:
    """The descriptions given, read from their file."""
    given = options.descriptions
    named = isinstance(given, str | Path)
    return read_descriptions(given, options.data_name) if named else given


def logged_number(settings: Settings, *names: str) -> float | None:
    """The first of these settings in log.txt that is a number."""
    for name in names:
        try:
            return float(settings.logged[name])
        except (KeyError, ValueError):
            continue
    return None
