"""What a caller may say of a checkpoint; the rest is read from log.txt or from the file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ncscope.clip.base import PromptedClip


@dataclass(frozen=True)
class LearnerOptions:
    """Facts that a checkpoint may not tell; names as on the command line. None: not said.

    Args:
        classnames: training classes in the checkpoint's order, where the file does not tell.
        class_token_position: end, middle or front (CoOp).
        condition: mean, class, none or per-image (CoCoOp).
        image_feature: fused, class or representation (MMRL).
        data_name: the data set, for methods whose templates depend on it.
        template: the prompt of methods without a learned one; several are averaged.
        transform: current (shorter edge resized, centre cropped) or squash (before October 2021).
        residual_scale: of TaskRes.
        adapter_scale: of MMA.
        teacher: checkpoint or learner that has PromptKD's text side.
        base: checkpoint that belongs to the learner: the CoOp prompt a DPC prompt is mixed with,
            AnchorOPT's anchor, TextRefiner's memory.
    """

    classnames: Sequence[str] | None = None
    class_token_position: str | None = None
    condition: str | None = None
    image_feature: str | None = None
    data_name: str | None = None
    template: str | Sequence[str] | None = None
    transform: str | None = None
    residual_scale: float | None = None
    adapter_scale: float | None = None
    teacher: str | Path | PromptedClip | None = None
    base: str | Path | None = None

    @property
    def templates(self) -> tuple[str, ...]:
        return (self.template,) if isinstance(self.template, str) else tuple(self.template or ())
