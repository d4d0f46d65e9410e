"""A Lightning callback: collapse of the validation features, every epoch, in the module's log.

B images of a batch, K classes, D embedding width. Needs `pip install "ncscope[lightning]"`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from lightning.pytorch import (  # pyright: ignore[reportMissingImports]
    Callback,
    LightningModule,
    Trainer,
)
from torch import Tensor

from ncscope.diagnosis.streaming import CollapseMetrics
from ncscope.diagnosis.summary import scalars
from ncscope.errors import DataError

Taken = tuple[Tensor, Tensor, Tensor | None]


class CollapseCallback(Callback):
    """Logs the summary of a report, as `collapse/delta_lcd/raw` and so on, of each validation.

        trainer = lightning.Trainer(callbacks=[CollapseCallback(num_classes=10)])

    Lightning gathers over processes. Of several validation loaders each has numbers of its own,
    `collapse/1/...` of the second. Nothing is logged of the sanity check before training, nor what
    is undefined; `metrics[0].warnings` says why.

    Args:
        num_classes: K.
        take: what `validation_step` returned, and its batch -> (B, D) image features, (B,) labels,
            and (K, D) text features or None. By default the step returns a mapping with `image`,
            `label` and, if there is any, `text`.
        samples: as for `CollapseMetrics`.
        prefix: of the logged names.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        take: Callable[[Any, Any], Taken] | None = None,
        samples: bool = True,
        prefix: str = "collapse/",
    ) -> None:
        self.num_classes, self.samples, self.prefix = num_classes, samples, prefix
        self.take = by_name if take is None else take
        self.metrics: dict[int, CollapseMetrics] = {}

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the last validation."""
        del trainer, pl_module
        self.metrics = {}

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Add a batch's features.

        Raises:
            DataError: the step returned no features.
            ShapeError: they do not fit.
        """
        del trainer, batch_idx
        if dataloader_idx not in self.metrics:
            made = CollapseMetrics(self.num_classes, samples=self.samples)
            self.metrics[dataloader_idx] = made.to(pl_module.device)
        image, label, text = self.take(outputs, batch)
        self.metrics[dataloader_idx].update(image, label, text)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log what is defined."""
        if trainer.sanity_checking:
            return
        for number, metric in self.metrics.items():
            prefix = f"{self.prefix}{number}/" if number else self.prefix
            pl_module.log_dict(scalars(metric.compute(), prefix))


def by_name(outputs: Any, batch: Any) -> Taken:
    """`image`, `label` and `text` of a mapping that a step returned."""
    del batch
    if not isinstance(outputs, Mapping) or not {"image", "label"} <= outputs.keys():
        found = sorted(outputs) if isinstance(outputs, Mapping) else type(outputs).__name__
        raise DataError(
            f"`validation_step` returned {found}; expected a mapping with `image` (B, D), `label` "
            f"(B,) and, for measures of text, `text` (K, D); or give the callback `take`"
        )
    return outputs["image"], outputs["label"], outputs.get("text")
