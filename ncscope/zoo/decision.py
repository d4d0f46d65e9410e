"""How a method decides, where it is not by the cosine of its features: for the self-check.

The accuracy in log.txt is of the method's own rule. DePT's is in its file (a linear probe beside
the cosine, on the classes it was trained on), TextRefiner's is the cosine times the length of the
text feature, MMRL's depends on the task, and others need what no file of the run holds; those are
not compared, and why not is said.

N images, K classes, D embedding width.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ncscope.checkpoint.inspect import Inspection
from ncscope.checkpoint.methods import row_of
from ncscope.zoo.learners.learner import Learner, folded
from ncscope.zoo.settings import LearnerOptions, Settings, logged_number

_PROBE = "linear_probe_proj."
_FILM = "film_lp_img."
_NO_PROBE = "it decides by a linear probe, too, which is not read from this file and its log.txt"


def rule_facts(seen: Inspection, options: LearnerOptions) -> dict[str, Any]:
    """What log.txt's accuracy is of: `not_by_cosine`, a reason; `image_feature`, the one it is by.

    Either is absent where the cosine of the features decides, of whichever there are.
    """
    row = None if seen.method is None else row_of(seen.method)
    if row is None:
        return {}
    if row.rule == "by task" and seen.log is not None:
        return {"image_feature": _of_task(seen.log.settings, seen.log.subsample)}
    if row.rule == "per image" and options.condition == "per-image":
        return {}
    if row.not_by_cosine:
        return {"not_by_cosine": row.not_by_cosine}
    return {"not_by_cosine": _NO_PROBE} if _probed(seen) else {}


def _of_task(settings: Mapping[str, str], subsample: str | None) -> str:
    """MMRL's image feature by TASK: `fused` or `class`."""
    task = settings.get("TASK") or "B2N"
    if task == "CD":
        return "fused" if settings.get("DATASET.NAME") == "ImageNet" else "class"
    return "fused" if task == "FS" or subsample == "base" else "class"


def _probed(seen: Inspection) -> bool:
    """Whether a DePT run tests with its probe: on base classes, and on all of ImageNet's."""
    if seen.method is None or not seen.method.startswith("DePT") or seen.log is None:
        return False
    on_all = seen.log.subsample == "all" and "ImageNet" in (seen.log.dataset or "")
    return seen.log.subsample == "base" or on_all


def accuracy_by_rule(
    learner: Learner,
    tensors: Mapping[str, Tensor],
    settings: Settings,
) -> Callable[[Sequence[str], Tensor, Tensor, Tensor], dict[str, Any] | None]:
    """A function of class names, (N, D) images, (K, D) text and (N,) labels: accuracy by the rule.

    The function returns `accuracy`, in per cent, and `rule` in words; None where the cosine is the
    rule, or where what the rule needs is not there.
    """

    def accuracy(
        names: Sequence[str], image: Tensor, text: Tensor, label: Tensor
    ) -> dict[str, Any] | None:
        if settings.run.get("not_by_cosine") != _NO_PROBE or text.ndim != 2:
            return None
        if [folded(one) for one in learner.classnames or ()] != [folded(one) for one in names]:
            return None
        if (share := _share(tensors, settings, classes=len(names), width=image.shape[1])) is None:
            return None
        known = label >= 0
        logits = dept_logits(
            image.float(), text.float(), tensors, share=share, scale=float(learner.logit_scale)
        )
        right = (logits.argmax(dim=1) == label)[known].double().mean().item()
        rule = f"DePT's own: {share:g} of the linear probe and {1 - share:g} of the cosine"
        return {"accuracy": 100 * right, "rule": rule}

    return accuracy


def accuracy_by_length(
    _names: Sequence[str], image: Tensor, text: Tensor, label: Tensor
) -> dict[str, Any] | None:
    """TextRefiner's accuracy in per cent and its rule in words; arguments as above."""
    if text.ndim != 2:
        return None
    guess = (F.normalize(image.float(), dim=1) @ text.float().T).argmax(dim=1)
    right = (guess == label)[label >= 0].double().mean().item()
    rule = "TextRefiner's own: the cosine times the length of the text feature"
    return {"accuracy": 100 * right, "rule": rule}


def _share(
    tensors: Mapping[str, Tensor], settings: Settings, *, classes: int, width: int
) -> float | None:
    """The probe's share of the decision; None where its kind is another, or it does not fit."""
    logged = settings.logged
    weight, bias = tensors.get(f"{_PROBE}weight"), tensors.get(f"{_PROBE}bias")
    if weight is None or bias is None or tuple(weight.shape) != (classes, width):
        return None
    if tuple(bias.shape) != (classes,) or logged.get("TRAINER.LINEAR_PROBE.TYPE") == "similarity":
        return None
    if logged.get("TRAINER.FILM.LINEAR_PROBE") == "False":
        return None  # then the modulation is in the file and not in force
    filmed = [tensors.get(f"{_FILM}{name}") for name in ("scale", "bias")]
    if any(part is not None and part.shape != (width,) for part in filmed):
        return None
    if logged.get("TRAINER.LINEAR_PROBE.TEST_TIME_FUSION") == "False":
        return 1.0
    share = logged_number(settings, "TRAINER.LINEAR_PROBE.WEIGHT")
    return share if share is not None and 0 <= share <= 1 else None


@torch.no_grad()
def dept_logits(
    image: Tensor, text: Tensor, tensors: Mapping[str, Tensor], *, share: float, scale: float
) -> Tensor:
    """(N, K) logits: `share` of the probe on modulated image features, the rest of the cosine.

    Args:
        image: (N, D), not normalised.
        text: (K, D).
        tensors: the file's; `film_lp_img.scale` and `.bias` are (D,), the probe's (K, D) and (K,).
        share: in [0, 1].
        scale: the multiplier of the cosine.
    """
    given = image
    if f"{_FILM}scale" in tensors and f"{_FILM}bias" in tensors:
        given = tensors[f"{_FILM}scale"].float() * image + tensors[f"{_FILM}bias"].float()
    weight, bias = (tensors[f"{_PROBE}{name}"].float() for name in ("weight", "bias"))
    cosines = F.normalize(image, dim=1) @ F.normalize(text, dim=1).T
    return (1 - share) * scale * cosines + share * F.linear(given, weight, bias)
