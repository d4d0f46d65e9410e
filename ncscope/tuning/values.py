"""The values that a training run depends on beside data, seed and objective."""

import re
from dataclasses import dataclass

from ncscope.errors import DataError

ONLINE = "online"
VIEWS = "[1-9][0-9]{0,3}"  # kept views of a picture
LOSSES = ("ce", "balanced", "logit-adjusted", "balanced-softmax")
SAMPLERS = ("plain", "balanced")
OPTIMIZERS = ("sgd", "adam", "adamw")


@dataclass(frozen=True)
class Recipe:
    """What training depends on beside data, seed and objective.

    `batch_size` 0 is all images at once. `views` is the number of augmented versions of a picture
    that are kept (1: the centre crop), or `online` for a new one every epoch, the authors' way.
    `drop_last` leaves out, in every epoch, the images of its order that no longer fill a batch, as
    Dassl does where there are as many images as a batch has.

    `ctx` counts text tokens, `ctx_vision` image tokens; `depth` counts blocks with prompts of their
    own. `ctx_init` None draws the context at random; `ctx_pad` puts vectors of zero before words
    that are fewer than the context, ProGrad's way.

    Of single methods: `gpa_mean` and `gpa_std`, in epochs from 1, of the Gaussian that weighs the
    states of PromptSRC's epochs, and `scl_text`, `scl_image`, `scl_logits`, the weights of what it
    adds; `knowledge_weight` of KgCoOp and TCP; `prograd_lambda`, the share of the opposing gradient
    that ProGrad takes out; `residual_scale` of TaskRes; `adapter_ratio`, the adapter's share of
    CLIP-Adapter's mixture; `rank` of the change that
    `shared-text` makes; `alpha` and `beta` of Tip-Adapter-F's cache, before validation images
    choose others.
    """

    lr: float
    batch_size: int
    epochs: int
    optimizer: str = "sgd"
    ctx: int = 4
    ctx_vision: int = 0
    ctx_init: str | None = "a photo of a"
    ctx_pad: bool = False
    depth: int = 1
    csc: bool = False
    class_token_position: str = "end"
    views: int | str = ONLINE
    drop_last: bool = True
    momentum: float = 0.9
    weight_decay: float = 5e-4
    adam_eps: float = 1e-8
    warmup_epochs: int = 1
    warmup_lr: float = 1e-5
    gpa_mean: float = 15.0
    gpa_std: float = 1.0
    scl_text: float = 25.0
    scl_image: float = 10.0
    scl_logits: float = 1.0
    knowledge_weight: float = 8.0
    prograd_lambda: float = 1.0
    residual_scale: float = 0.5
    adapter_ratio: float = 0.2
    rank: int = 8
    alpha: float = 1.17
    beta: float = 1.0

    @property
    def words(self) -> list[str]:
        """The words that the context begins as; none where it is drawn at random."""
        return (self.ctx_init or "").replace("_", " ").split()

    @property
    def gpa(self) -> tuple[float, float]:
        """Mean and deviation of PromptSRC's Gaussian, in epochs from 1."""
        return self.gpa_mean, self.gpa_std


def parsed_views(views: int | str) -> int | str:
    """A number from 1 to 9999, or `online`.

    Raises:
        DataError: anything else.
    """
    if str(views) == ONLINE:
        return ONLINE
    if not re.fullmatch(VIEWS, str(views)):
        raise DataError(f"`views` is {views!r}; expected a number of 1 to 9999, or online")
    return int(views)
