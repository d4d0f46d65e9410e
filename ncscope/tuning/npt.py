"""NPT's two terms as a loss for anybody's training loop; `ncscope tune` has no other.

B images of a batch, K classes, D embedding width. What is minimised is what a report measures:
features are normalised once, centred about the class-balanced mean, and given to the functions of
`ncscope.metrics`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ncscope._checks import known_labels
from ncscope.errors import ShapeError
from ncscope.features.processes import ALONE, Spread, added
from ncscope.metrics.rows import normalise_rows
from ncscope.tuning.exchange import gathered_for_mean, processes_of_torch, summed
from ncscope.tuning.forms import Objective
from ncscope.tuning.objective import Reference, npt_terms
from ncscope.tuning.optimiser import Term, norm, relative_factor, term_gradients
from ncscope.tuning.running import RunningMeans, class_means


class NPTLoss(nn.Module):
    """w1 L_LC + w2 L_MI of arXiv:2306.15955, without cross-entropy; the definitions are our own.

        npt = ncscope.NPTLoss(lcd_weight=0.5, mid_weight=0.1, centred=True)
        loss = cross_entropy + npt(image_features, labels, text_features)

    Features come as the towers give them, of any length and precision; under autocast terms are
    still computed in float32. Centred L_MI and the form `frobenius` need the class means of more
    images than a batch has. In training mode these run along over the steps, class by class, and
    are buffers: a `state_dict` holds them. In evaluation mode nothing runs along, and the loss is
    the measure of exactly the images given.

    In a trainer of several processes (a `torch.distributed` group) the loss in training mode is
    that of the images of all, and the mean of the processes' gradients, which
    DistributedDataParallel takes, is its gradient. Text features that depend on the image
    (CoCoOp's) have the geometry of their mean direction over the images, as in a report; the mean
    of their geometries would be another number, and no gradient would bring the reported one down.

    Args:
        lcd_weight, lcd_form: L_LC, one of cosine, frobenius, anchored, dispersion, orthogonal.
        mid_weight, mid_form: L_MI, one of push_pull, push_pull_linear, align, dot_regression,
            frobenius, log, anchored.
        centred: both terms between centred features, each side about its class-balanced mean.
        num_classes: K, checked against the text features; None takes theirs.
        relative: weights are shares of cross-entropy's gradient norm.
        anchor: (K, D), the frame of the forms `anchored`; None is the simplex ETF nearest to the
            text features.
        class_counts: (K,) training images of each class. Given, running means weigh images alike
            and a batch of all of them gives their mean exactly; else each step weighs a tenth.

    Attributes:
        terms: the value of each term of the last call, `lcd` and `mid`, without its weight.

    Raises:
        DataError: an unknown form, one that has no centred variant, or a weight below 0.
    """

    def __init__(
        self,
        lcd_weight: float = 0.0,
        lcd_form: str = "cosine",
        *,
        mid_weight: float = 0.0,
        mid_form: str = "push_pull",
        centred: bool = False,
        num_classes: int | None = None,
        relative: bool = False,
        anchor: Tensor | None = None,
        class_counts: Tensor | None = None,
        gather: bool = True,
    ) -> None:
        super().__init__()
        self.objective = Objective(
            lcd_weight=lcd_weight,
            lcd_form=lcd_form,
            mid_weight=mid_weight,
            mid_form=mid_form,
            centred=centred,
            relative_weights=relative,
        )
        self.num_classes, self.gather = num_classes, gather
        self.running = RunningMeans(class_counts)
        self.register_buffer("anchor", anchor, persistent=False)
        self.terms: dict[str, Tensor] = {}

    anchor: Tensor | None

    def forward(
        self,
        image: Tensor,
        label: Tensor,
        text: Tensor,
        *,
        cross_entropy: Tensor | None = None,
        parameters: Sequence[Tensor] = (),
    ) -> Tensor:
        """The weighted sum of the terms, a scalar with a gradient to image and text features.

        Args:
            image: (B, D) features.
            label: (B,) in 0..K-1; -1 is ignored.
            text: (K, D) features, or (B, K, D) where they depend on the image.
            cross_entropy: of the same batch, for `relative`.
            parameters: the trained tensors, for `relative`.

        Raises:
            ShapeError: shapes or labels that do not fit; images of one class only, where class
                means are needed; `relative` without `cross_entropy` and `parameters`.
        """
        spread = processes_of_torch() if self.gather and self.training else ALONE
        if self.objective.active:
            image, label = gathered_for_mean(image, spread), gathered_for_mean(label, spread)
            text = gathered_for_mean(text, spread) if text.ndim == 3 else text
        terms = self.weighted_terms(image, label, text)
        self.terms = {name: value.detach() for name, (_, value) in terms.items()}
        if self.objective.relative_weights and terms:
            if cross_entropy is None or not parameters:
                raise ShapeError(
                    "`relative` weights are shares of cross-entropy's gradient norm; give the loss "
                    "`cross_entropy` and `parameters`, the trained tensors"
                )
            terms = _relative(terms, cross_entropy, parameters, spread)
        total = image.new_zeros((), dtype=torch.promote_types(image.dtype, torch.float32))
        for weight, value in terms.values():
            total = total + weight * value
        return total

    def weighted_terms(
        self, image: Tensor, label: Tensor, text: Tensor, *, checked: bool = False
    ) -> dict[str, Term]:
        """Weight and value of each term that is switched on, `lcd` and `mid`; as for `forward`.

        Args:
            checked: the labels are known to lie in 0..K-1; they are not read back from a device.
        """
        if not self.objective.active:
            return {}
        with torch.autocast(image.device.type, enabled=False):
            rows, labels, text = self._prepared(image, label, text, checked=checked)
            reference = self._reference(rows, labels, text.shape[-2])
            with known_labels():  # by now
                return npt_terms(self.objective, rows, labels, text, reference)

    @torch.no_grad()
    def begin(self, image: Tensor, label: Tensor, num_classes: int) -> None:
        """Start running means from one pass over the training images: (N, D) features, (N,) labels.

        Without it they start from the first batch, and classes not seen yet are left out. Several
        processes give all images each, or a share each.
        """
        known = label >= 0
        rows, targets = normalise_rows(image[known]), label[known].long()
        means, shown = class_means(rows, targets, num_classes)
        spread = processes_of_torch() if self.gather else ALONE
        everyone = added(shown, spread)
        total = added(means * shown.unsqueeze(1), spread)
        self.running.remember(total / everyone.clamp_min(1).unsqueeze(1), everyone > 0)

    def extra_repr(self) -> str:
        """What it minimises, for printing."""
        o = self.objective
        parts = [
            f"{name}: {weight:g} {form}"
            for name, weight, form in (
                ("lcd", o.lcd_weight, o.lcd_form),
                ("mid", o.mid_weight, o.mid_form),
            )
            if weight
        ]
        return ", ".join([*parts, *["centred"] * o.centred, *["relative"] * o.relative_weights])

    def _prepared(
        self, image: Tensor, label: Tensor, text: Tensor, *, checked: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Unit rows of the labelled images, their labels, and unit rows of text."""
        fits = image.ndim == 2 and text.ndim in (2, 3) and text.shape[-1] == image.shape[1]
        if not fits or (text.ndim == 3 and len(text) != len(image)):
            raise ShapeError(
                f"expected image features (B, D) and text features (K, D) or (B, K, D); got "
                f"{tuple(image.shape)} and {tuple(text.shape)}"
            )
        size = text.shape[-2]
        if self.num_classes not in (None, size):
            raise ShapeError(
                f"`num_classes` is {self.num_classes}, the text features are of {size} classes; "
                f"expected a row of text a class"
            )
        if label.shape != image.shape[:1] or label.is_floating_point():
            raise ShapeError(
                f"`label` must be an integer (B,) tensor with B = {len(image)}; got {label.dtype} "
                f"{tuple(label.shape)}"
            )
        least, most = (0, 0) if checked else _ends(label)
        if least < -1 or not 0 <= most < size:
            raise ShapeError(
                f"the labels of a batch must lie in 0..{size - 1}, not all of them -1 for ignored; "
                f"got {f'{least}..{most}' if len(label) else 'none'}"
            )
        if least < 0:
            known = label >= 0
            image, label = image[known], label[known]
            text = text if text.ndim == 2 else text[known]
        return normalise_rows(image), label.long(), normalise_rows(text)

    def _reference(self, rows: Tensor, labels: Tensor, num_classes: int) -> Reference:
        if not self.objective.remembers:
            return Reference(anchor=self.anchor)
        running = self.running if self.training else RunningMeans()
        means, seen = running.with_batch(rows, labels, num_classes)
        complete = running.complete
        shown = num_classes if complete else int(seen.sum())
        if shown < 2:
            raise ShapeError(
                "`centred` and the form frobenius need images of at least 2 classes; seen so far: "
                "1; call `begin` with all training images first, or give larger batches"
            )
        if self.training:
            running.remember(means, seen, complete=shown == num_classes)
        return Reference(means, None if shown == num_classes else seen, self.anchor)


def _ends(label: Tensor) -> tuple[int, int]:
    """The least and the largest label, read at once; -1 where there is none."""
    if not len(label):
        return -1, -1
    least, most = torch.stack(torch.aminmax(label)).tolist()
    return least, most


def _relative(
    terms: dict[str, Term], cross_entropy: Tensor, parameters: Sequence[Tensor], spread: Spread
) -> dict[str, Term]:
    """Terms with values scaled so that a weight states a gradient's norm over cross-entropy's."""
    every = {"ce": (1.0, cross_entropy), **terms}
    each = term_gradients(every, parameters, apart=True)
    norms = {name: norm(summed(gradients, spread, told=False)) for name, gradients in each.items()}
    return {
        name: (weight, relative_factor(norms["ce"], norms[name]) * value)
        for name, (weight, value) in terms.items()
    }
