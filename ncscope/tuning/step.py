"""One training step: features, loss terms, and the gradients that move the prompts.

B images of a batch, K classes, D embedding width. On several processes, started by torchrun, each
takes its share of a batch through the towers. Features are then gathered with their gradients, so
that every loss, class-balanced ones too, is of the whole batch: the result is that of one process
up to rounding. Prompts are small, so their gradients travel as one tensor.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ncscope._checks import known_labels, working
from ncscope.clip.backbone import products
from ncscope.errors import ShapeError
from ncscope.features.processes import ALONE, Spread
from ncscope.metrics.rows import normalise_rows
from ncscope.tuning.exchange import equally, gathered, summed
from ncscope.tuning.forms import Objective
from ncscope.tuning.inputs import Inputs, sent
from ncscope.tuning.losses import classification_loss, logits_of, own_terms
from ncscope.tuning.npt import NPTLoss
from ncscope.tuning.objective import cpt_terms
from ncscope.tuning.optimiser import Term, combined, norm, term_gradients
from ncscope.tuning.trainee import Trainee
from ncscope.zoo.learners.learner import Learner


@dataclass(frozen=True, eq=False)
class Frozen:
    """What the CLIP without prompts says, for terms that stay near it. None: not asked for."""

    text: Tensor | None = None  # (K, D)
    images: Inputs | None = None  # (B, D) by batch
    clusters: Tensor | None = None  # (K,), CPT's
    anchor: Tensor | None = None  # (K, D), a fixed frame


@dataclass(frozen=True, eq=False)
class Setting:
    """What stays the same over all steps of a run."""

    trainee: Trainee
    inputs: Inputs
    objective: Objective
    counts: Tensor  # (K,) training images of each class
    classnames: tuple[str, ...]
    frozen: Frozen = Frozen()
    loss: str = "ce"
    adjustment: float = 1.0
    accumulate: int = 1
    precision: str = "fp32"
    spread: Spread = ALONE
    validation: tuple[Tensor, Tensor] | None = None  # (V, D) features and labels, to choose by

    @property
    def leaves(self) -> list[Tensor]:
        return list(self.trainee.trained.values())


def new_loss(setting: Setting) -> NPTLoss:
    """NPT's terms of the setting's objective, before the first step; of weight 0 for another's.

    Raises:
        ShapeError: training labels that are none of the classes; later steps do not look.
    """
    labels = setting.inputs.labels
    if labels.numel() and bool(((labels < 0) | (labels >= len(setting.classnames))).any()):
        raise ShapeError(
            f"the training labels must lie in 0..{len(setting.classnames) - 1}, one of the classes"
        )
    asked = setting.objective
    npt = asked.regulariser == "npt"
    return NPTLoss(
        asked.lcd_weight if npt else 0.0,
        asked.lcd_form,
        mid_weight=asked.mid_weight if npt else 0.0,
        mid_form=asked.mid_form,
        centred=asked.centred,
        num_classes=len(setting.classnames),
        anchor=setting.frozen.anchor,
        class_counts=setting.counts,
        gather=False,  # `_together` has
    ).to(setting.counts.device)


def step_gradients(
    setting: Setting,
    rows: Tensor,
    epoch: int,
    npt: NPTLoss,
    *,
    by_term: bool = False,
) -> tuple[list[Tensor], dict[str, Tensor], dict[str, Tensor]]:
    """Gradients of the whole objective on one batch, in the order of `setting.leaves`.

    A batch in parts goes through the towers twice: once for its features, of which all terms are
    taken together, and once for the towers' share of the gradient, part by part. So the result is
    that of one part, class-balanced and centred terms included.

    Args:
        rows: (B,) numbers of the batch's images.
        by_term: take each term's gradient by itself, for its norm; relative weights and ProGrad
            need it and have it always.

    Returns:
        The gradients; each term's value; each term's gradient norm at the trained tensors, where
        terms were taken apart.
    """
    apart = by_term or setting.objective.relative_weights or setting.trainee.method == "prograd"
    batch = shared_out(setting, rows, epoch)
    if len(batch.parts) == 1:
        terms = _terms(batch, npt, *_together(batch, *_encoded(batch, batch.parts[0])))
        with products(setting.precision, batch.labels.device):
            found = term_gradients(terms, setting.leaves, apart=apart)
    else:
        with torch.no_grad():
            features = _together(batch, *_in_parts(batch))
        image, text = (side.detach().requires_grad_() for side in features)
        terms = _terms(batch, npt, image, text)
        with products(setting.precision, batch.labels.device):
            found = _handed_back(batch, term_gradients(terms, [image, text], apart=apart))
    weights = {name: weight for name, (weight, _) in terms.items()}
    values = {name: value.detach() for name, (_, value) in terms.items()}
    each = {name: summed(gradients, setting.spread) for name, gradients in found.items()}
    if not apart:
        return each[""], values, {}
    norms = {name: norm(gradients) for name, gradients in each.items()}
    whole = combined(
        weights,
        each,
        norms,
        relative=setting.objective.relative_weights,
        prograd=setting.trainee.method == "prograd",
        strength=setting.trainee.recipe.prograd_lambda,
    )
    return whole, values, norms


def batch_terms(setting: Setting, rows: Tensor, epoch: int, npt: NPTLoss) -> dict[str, Term]:
    """Weight and value of every term on the images `rows`, the cross-entropy `ce` first."""
    batch = shared_out(replace(setting, accumulate=1), rows, epoch)
    return _terms(batch, npt, *_together(batch, *_encoded(batch, batch.parts[0])))


def expect(setting: Setting, batches: Sequence[Tensor], epoch: int) -> None:
    """Have this process's share of the batches decoded ahead of their steps."""
    setting.inputs.expect([_own(rows, setting.spread) for rows in batches], epoch)


def _own(rows: Tensor, spread: Spread) -> Tensor:
    """This process's share of a batch; where there is none, an image that does not count: its
    towers must run all the same."""
    own = rows[spread.rank :: spread.world]
    return own if len(own) else rows[:1]


@torch.no_grad()
def begin_means(setting: Setting, npt: NPTLoss, batch_size: int) -> None:
    """Start running means from one pass over the training images as the first epoch shows them.

    Nothing is done where no term asks for them, or every step shows all images.
    """
    count = len(setting.inputs.labels)
    if not npt.objective.remembers or batch_size in (0, count):
        return
    found: list[Tensor] = []
    order: list[Tensor] = []
    batches = torch.arange(count).split(batch_size)
    expect(setting, batches, 0)
    for rows in batches:
        batch = shared_out(setting, rows, 0)
        parts = [_image_side(batch, part)[0] for part in batch.parts]
        found.append(gathered(torch.cat(parts)[: len(batch.own)], batch.sizes, setting.spread))
        order.append(batch.labels)
    npt.begin(torch.cat(found), torch.cat(order), len(setting.classnames))


@dataclass(frozen=True, eq=False)
class Batch:
    """Who takes which of a batch's images through the towers, and how many at once."""

    setting: Setting
    learner: Learner
    epoch: int
    own: Tensor  # image numbers of this process
    parts: tuple[Tensor, ...]  # of `own`; where it has none, of one image that does not count
    sizes: list[int]  # how many each process has
    everyone: Tensor  # (B,) image numbers, process after process
    labels: Tensor  # (B,), in that order


def shared_out(setting: Setting, rows: Tensor, epoch: int) -> Batch:
    """The images `rows` among the processes, and this one's in `accumulate` parts."""
    spread, labels = setting.spread, setting.inputs.labels
    shares = [rows[rank :: spread.world] for rank in range(spread.world)]
    own, everyone = shares[spread.rank], torch.cat(shares)
    taken = _own(rows, spread)
    return Batch(
        setting,
        setting.trainee.learner(),
        epoch,
        own,
        taken.tensor_split(min(setting.accumulate, len(taken))),
        [len(share) for share in shares],
        everyone,
        labels[sent(everyone, labels.device)],
    )


def _encoded(batch: Batch, part: Tensor) -> tuple[Tensor, Tensor]:
    """(b, D) image features of a part, and (K, D) or (b, K, D) text features."""
    image, text = _image_side(batch, part)
    return image, _text_side(batch) if text is None else text


def _image_side(batch: Batch, part: Tensor) -> tuple[Tensor, Tensor | None]:
    """(b, D) image features of a part, and (b, K, D) text features that depend on them, if any."""
    learner = batch.learner
    shown = batch.setting.inputs.batch(part, batch.epoch)
    with _autocast(batch.setting, shown.device):
        image = (learner.from_backbone or learner.encode_pixels)(shown)
        if learner.by_feature is None:
            return working(image), None
        return working(image), working(learner.by_feature(list(batch.setting.classnames), image))


def _text_side(batch: Batch) -> Tensor:
    """(K, D) text features of a learner whose text does not depend on the image."""
    with _autocast(batch.setting, batch.labels.device):
        return working(batch.learner.encode_names(list(batch.setting.classnames)))


def _in_parts(batch: Batch) -> tuple[Tensor, Tensor]:
    """Features of all of this process's parts, as of `_encoded`."""
    sides = [_image_side(batch, part) for part in batch.parts]
    by_image = [text for _, text in sides if text is not None]
    text = torch.cat(by_image) if by_image else _text_side(batch)
    return torch.cat([image for image, _ in sides]), text


def _together(batch: Batch, image: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
    """The whole batch's features of every process's own, in the order of `everyone`."""
    spread, count = batch.setting.spread, len(batch.own)
    image = gathered(image[:count], batch.sizes, spread)
    if text.ndim == 2:
        return image, equally(text, spread)
    return image, gathered(text[:count], batch.sizes, spread)


def _handed_back(batch: Batch, found: dict[str, list[Tensor]]) -> dict[str, list[Tensor]]:
    """Gradients at this process's leaves from those at the whole batch's (image, text) features."""
    spread, leaves = batch.setting.spread, batch.setting.leaves
    start = sum(batch.sizes[: spread.rank])
    mine = slice(start, start + len(batch.own))
    total = {name: [torch.zeros_like(leaf) for leaf in leaves] for name in found}

    def add(side: Tensor, name: str, gradient: Tensor) -> None:
        if side.requires_grad and len(gradient):
            more = torch.autograd.grad(
                side, leaves, gradient, retain_graph=True, allow_unused=True, materialize_grads=True
            )
            total[name] = [a + b for a, b in zip(total[name], more, strict=True)]

    if batch.learner.by_feature is None:
        text = _text_side(batch)
        for name, (_, gradient) in found.items():
            add(text, name, gradient / spread.world)
        del text  # before the image tower needs the memory
    done = 0
    for part in batch.parts:
        image, text = _image_side(batch, part)
        place = slice(done, done + len(part))
        for name, gradients in found.items():
            for side, gradient in zip((image, text), gradients, strict=True):
                if side is not None:
                    add(side, name, gradient[mine][place])
        done += len(part)
    return total


def _autocast(setting: Setting, device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Towers in the precision asked for on CUDA; losses are taken outside, in float32."""
    if device.type != "cuda" or setting.precision in ("fp32", "tf32"):
        return products(setting.precision, device)
    return torch.autocast("cuda", dtype=torch.bfloat16)


def _terms(batch: Batch, npt: NPTLoss, image: Tensor, text: Tensor) -> dict[str, Term]:
    """`loss_terms` of the whole batch's features."""
    frozen, scale = batch.setting.frozen.images, batch.learner.logit_scale
    near = None if frozen is None else frozen.batch(batch.everyone, batch.epoch)
    extra = batch.learner.extra_logits
    return loss_terms(
        batch.setting, image, batch.labels, text, scale=scale, npt=npt, near=near,
        extra=None if extra is None else extra(image),
    )  # fmt: skip


def loss_terms(
    setting: Setting,
    image: Tensor,
    labels: Tensor,
    text: Tensor,
    *,
    scale: Tensor,
    npt: NPTLoss,
    near: Tensor | None = None,
    extra: Tensor | None = None,
) -> dict[str, Term]:
    """Weight and value of every term of (B, D) image and (K, D) or (B, K, D) text features.

    Args:
        near: (B, D) features of the same images without prompts, for methods that ask for them.
        extra: (B, K) logits that are added to the cosine's.
    """
    frozen, asked = setting.frozen, setting.objective
    logits = logits_of(image, text, scale)
    logits = logits if extra is None else logits + extra
    loss = classification_loss(
        logits, labels, setting.counts, loss=setting.loss, strength=setting.adjustment
    )
    terms = {
        "ce": (1.0, loss),
        **own_terms(
            setting.trainee.method,
            image,
            text,
            scale=scale,
            frozen_text=frozen.text,
            frozen_image=near,
            recipe=setting.trainee.recipe,
        ),
    }
    if asked.regulariser != "cpt":
        return terms | npt.weighted_terms(image, labels, text, checked=True)
    assert frozen.text is not None
    assert frozen.clusters is not None
    with known_labels():
        return terms | cpt_terms(
            asked,
            normalise_rows(image),
            labels,
            normalise_rows(text),
            frozen_text=frozen.text,
            clusters=frozen.clusters,
        )
