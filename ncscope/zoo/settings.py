"""What a learner needs to know beside its tensors, and where each of these facts comes from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ncscope.clip.base import PromptedClip


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
    residual_scale: float | None = None
    adapter_scale: float | None = None
    image_feature: str | None = None
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


def logged_number(settings: Settings, *names: str) -> float | None:
    """The first of these settings in log.txt that is a number."""
    for name in names:
        try:
            return float(settings.logged[name])
        except (KeyError, ValueError):
            continue
    return None
