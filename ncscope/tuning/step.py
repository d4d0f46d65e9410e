"""One training step: features, loss terms, and the gradients that move the prompts.

B images of a batch, K classes, D embedding width. On several processes, started by torchrun, each
takes its share of a batch through the towers. Features are then gathered with their gradients, so
that every loss, class-balanced ones too, is of the whole batch: the result is that of one process
up to rounding. Prompts are small, so their gradients travel as one tensor.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ncscope.features import processes
from ncscope.features.processes import ALONE, Spread, everyones
from ncscope.tuning.inputs import Inputs
from ncscope.tuning.losses import classification_loss, logits_of, own_terms
from ncscope.tuning.objective import Objective, Reference, regularisers
from ncscope.tuning.optimiser import Term, added, combined, norm, term_gradients
from ncscope.tuning.running import RunningMeans
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

    @property
    def leaves(self) -> list[Tensor]:
        return list(self.trainee.trained.values())


def step_gradients(
    setting: Setting,
    rows: Tensor,
    epoch: int,
    running: RunningMeans,
    *,
    by_term: bool = False,
) -> tuple[list[Tensor], dict[str, Tensor], dict[str, Tensor]]:
    """Gradients of the whole objective on one batch, in the order of `setting.leaves`.

    Args:
        rows: (B,) numbers of the batch's images.
        by_term: take each term's gradient by itself, for its norm; relative weights and ProGrad
            need it and have it always.

    Returns:
        The gradients; each term's value; each term's gradient norm at the trained tensors, where
        terms were taken apart.
    """
    weights: dict[str, float] = {}
    values: dict[str, Tensor] = {}
    sums: dict[str, list[Tensor]] = {}  # gradients by term, or of all terms under ""
    apart = by_term or setting.objective.relative or setting.trainee.method == "prograd"
    for part in rows.tensor_split(min(setting.accumulate, len(rows))):
        share_of_batch = len(part) / len(rows)
        terms = batch_terms(setting, part, epoch, running)
        weights = {name: weight for name, (weight, _) in terms.items()}
        for name, (_, value) in terms.items():
            values[name] = values.get(name, 0) + share_of_batch * value.detach()
        for name, found in term_gradients(terms, setting.leaves, apart=apart).items():
            sums[name] = added(sums.get(name), found, share_of_batch)
    each = {name: summed(gradients, setting.spread) for name, gradients in sums.items()}
    if not apart:
        return each[""], values, {}
    norms = {name: norm(gradients) for name, gradients in each.items()}
    whole = combined(
        weights,
        each,
        norms,
        relative=setting.objective.relative,
        prograd=setting.trainee.method == "prograd",
    )
    return whole, values, norms


def batch_terms(
    setting: Setting, rows: Tensor, epoch: int, running: RunningMeans
) -> dict[str, Term]:
    """Weight and value of every term on the images `rows`, the cross-entropy `ce` first."""
    spread, trainee = setting.spread, setting.trainee
    parts = [rows[rank :: spread.world] for rank in range(spread.world)]
    own, sizes, everyone = parts[spread.rank], [len(part) for part in parts], torch.cat(parts)
    labels = setting.inputs.labels[everyone.to(setting.inputs.labels.device)]
    # A process that gets no image takes one that does not count: its towers must run all the same.
    shown = setting.inputs.batch(own if len(own) else everyone[:1], epoch)
    learner = trainee.learner()
    with _autocast(setting, shown.device):
        image = _image_side(learner, shown)
        text = _text_side(learner, setting.classnames, image)
    image = gathered(image[: len(own)].float(), sizes, spread)
    per_image = text.ndim == 3
    text = text[: len(own)] if per_image else text
    text = gathered(text.float(), sizes, spread) if per_image else equally(text.float(), spread)
    frozen = setting.frozen.images
    near = None if frozen is None else frozen.batch(everyone, epoch)
    scale = learner.logit_scale
    return loss_terms(setting, image, labels, text, scale=scale, running=running, near=near)


def _image_side(learner: Learner, shown: Tensor) -> Tensor:
    """(B, D) image features, of backbone features or of pixels."""
    return learner.from_backbone(shown) if learner.from_backbone else learner.encode_pixels(shown)


def _text_side(learner: Learner, classnames: Sequence[str], image: Tensor) -> Tensor:
    """(K, D) text features, or (B, K, D) where they depend on the image."""
    names = list(classnames)
    return learner.by_feature(names, image) if learner.by_feature else learner.encode_names(names)


def _autocast(setting: Setting, device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Towers in half precision on CUDA; losses are taken outside, in float32."""
    if device.type != "cuda" or setting.precision == "fp32":
        return contextlib.nullcontext()
    return torch.autocast("cuda", dtype=torch.bfloat16)


def loss_terms(
    setting: Setting,
    image: Tensor,
    labels: Tensor,
    text: Tensor,
    *,
    scale: Tensor,
    running: RunningMeans,
    near: Tensor | None = None,
) -> dict[str, Term]:
    """Weight and value of every term of (B, D) image and (K, D) or (B, K, D) text features.

    Args:
        near: (B, D) features of the same images without prompts, for methods that ask for them.
    """
    frozen = setting.frozen
    logits = logits_of(image, text, scale)
    loss = classification_loss(
        logits, labels, setting.counts, loss=setting.loss, strength=setting.adjustment
    )
    class_means = running.with_batch(image, labels)  # before the batch is in the mean
    running.update(image, labels)
    reference = Reference(
        image_mean=running.total,
        class_means=class_means,
        frozen_text=frozen.text,
        clusters=frozen.clusters,
        anchor=frozen.anchor,
    )
    return {
        "ce": (1.0, loss),
        **own_terms(
            setting.trainee.method,
            image,
            text,
            scale=scale,
            frozen_text=frozen.text,
            frozen_image=near,
        ),
        **regularisers(setting.objective, image, labels, text, reference),
    }


def gathered(rows: Tensor, sizes: Sequence[int], spread: Spread) -> Tensor:
    """The rows of all processes, rank after rank, with gradients to this process's own.

    Args:
        sizes: rows of each process.
    """
    if spread.world == 1:
        return rows
    most = max(sizes)
    padded = torch.cat([rows, rows.new_zeros(most - len(rows), *rows.shape[1:])])
    parts = everyones(padded.detach(), spread)
    kept = [part[:size] for part, size in zip(parts, sizes, strict=True)]
    kept[spread.rank] = rows  # the others' gradients are summed afterwards
    return torch.cat(kept)


def equally(rows: Tensor, spread: Spread) -> Tensor:
    """What every process computes in full: the same values, a share of the gradient each."""
    if spread.world == 1:
        return rows
    part = rows / spread.world
    return part + (rows - part).detach()


def summed(gradients: list[Tensor], spread: Spread) -> list[Tensor]:
    """Add up the processes' gradients."""
    if spread.world == 1:
        return gradients
    flat = processes.added(torch.cat([gradient.flatten() for gradient in gradients]), spread)
    parts = flat.split([gradient.numel() for gradient in gradients])
    return [part.view_as(g) for part, g in zip(parts, gradients, strict=True)]
