"""DPC: a mixture of two CoOp prompts (Li et al. 2025, arXiv:2503.13443).

c is the file's `ctx`, p the prompt of an earlier CoOp run, w and v the weights for training and for
new classes. The authors un-mix in three ways (`SPLE.STACK.MODE`), and so the prompt in use is

| mode | training classes | new classes |
|---|---|---|
| converse (all their configurations) | (c - (1 - w) p) / w | (v c + (w - v) p) / w |
| simple | c | (v c + (w - v) p) / w |
| neither | c | v c + (1 - v) p |

Where a run has all classes of a data set other than ImageNet, all of them count as new. What is
computed is rounded as the authors' is: in the precision that both prompts are stored in. n tokens,
W token width.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.clip.text_tower import encode_prompts, text_tower
from ncscope.errors import CheckpointError
from ncscope.zoo.learners.coop import arrange, position_of
from ncscope.zoo.learners.learner import Learner, Sides, build, folded
from ncscope.zoo.learners.parts import class_source, prompt_part, take
from ncscope.zoo.learners.said import elsewhere, meant, said, said_number, unsaid
from ncscope.zoo.settings import Settings

_STACK = "SPLE.STACK."
_AS_IT_IS = (
    "`ctx` is taken as it is, for new classes, too: log.txt does not say how it is mixed "
    "(SPLE.STACK.MODE); in the authors' configurations it is un-mixed at every pass, which needs "
    "--base CHECKPOINT, --setting SPLE.STACK.MODE=converse and both weights"
)
_PARTLY = (
    "`ctx` is the mixture for the training classes, and new classes get it, too: their own needs "
    "the CoOp prompt it is mixed with (--base CHECKPOINT)"
)


def load_dpc(tensors: Mapping[str, Tensor], backbone: Backbone, settings: Settings) -> Learner:
    """A learner with the prompt of each class that the authors' code would use.

    Raises:
        CheckpointError: other shapes than the backbone's; a base prompt that is of another shape,
            or lacking where even training classes need it; an unknown way of mixing.
    """
    tower = text_tower(backbone.model)
    learner, width = prompt_part(tensors), tower.positions.shape[1]
    shape = tuple(take(learner, "ctx", ("n", width), settings).shape)
    position = position_of(settings)
    mode = _mode(settings)
    contexts = _contexts(learner["ctx"], mode, shape, settings)
    used = [context.float().to(backbone.device) for context in contexts]
    source = class_source(
        tensors, backbone, settings, num_context=shape[0], dtype=learner["ctx"].dtype
    )
    trained = {folded(name) for name in settings.classnames or ()}
    whole = _all_new(settings)

    def text(names: list[str]) -> Tensor:
        tokens = source(names)
        rows = [encode_prompts(tower, arrange(tokens, one, position=position)) for one in used]
        new = [folded(name) not in trained if whole is None else whole for name in names]
        return torch.where(torch.tensor(new, device=rows[0].device)[:, None], rows[-1], rows[0])

    facts = {
        "context": list(shape),
        "class_token_position": position,
        "mode": mode,
        "new_classes": "mixed" if len(used) > 1 else "ctx",
    }
    warnings = () if len(used) > 1 else (_AS_IT_IS if mode is None else _PARTLY,)
    return build(backbone, settings, Sides(text, facts=facts, warnings=warnings))


def _mode(settings: Settings) -> str | None:
    """converse, simple or plain; None where nothing tells."""
    text = said(settings, f"{_STACK}MODE")
    if text is None:
        return None
    found = [mode for mode in ("converse", "simple") if mode in text]
    if len(found) > 1:
        raise CheckpointError(
            f"{settings.where}: the run's {_STACK}MODE is {text!r}; expected converse or simple, "
            f"or neither: with both the authors' code un-mixes its prompt twice"
        )
    return found[0] if found else "plain"


def _contexts(
    mixed: Tensor, mode: str | None, shape: tuple[int, ...], settings: Settings
) -> list[Tensor]:
    """The (n, W) prompts of training classes and of new ones; one where no more is known.

    In the order of the authors' steps, each of which rounds.
    """
    if mode is None:
        return [mixed]
    if not settings.base:
        if mode == "converse":
            raise CheckpointError(
                f"{settings.where}: DPC in mode converse un-mixes its prompt at every pass, which "
                f"needs the CoOp prompt it is mixed with; give that run: --base CHECKPOINT"
            )
        return [mixed]
    base = prompt_part(settings.base)
    take(base, "ctx", shape, settings)
    plain = base["ctx"]
    weight, for_new = (_weight(settings, name) for name in ("WEIGHT", "WEIGHT_FOR_NEW"))
    if weight == 0 and mode != "plain":
        raise CheckpointError(
            f"{settings.where}: the run's {_STACK}WEIGHT is 0, by which mode {mode} divides; "
            f"expected more: --setting {_STACK}WEIGHT=NUMBER"
        )

    def unmixed(context: Tensor) -> Tensor:
        return (context - (1 - weight) * plain) * (1 / weight)

    other = unmixed(mixed) if mode == "simple" else mixed
    new = (for_new * other + (1 - for_new) * plain).to(mixed.dtype)
    return [unmixed(mixed), unmixed(new)] if mode == "converse" else [mixed, new]


def _weight(settings: Settings, name: str) -> float:
    value = said_number(settings, f"{_STACK}{name}")
    if value is None:
        raise unsaid(settings, "a weight of DPC's mixture", f"{_STACK}{name}", "NUMBER")
    return value


def _all_new(settings: Settings) -> bool | None:
    """Whether the authors' code takes all classes for new; None where it goes by the class.

    Of a whole data set all are new, but for ImageNet, where none is.
    """
    whole = settings.run.get("subsample") == "all" or elsewhere(settings)
    return meant(settings) != "ImageNet" if whole else None
