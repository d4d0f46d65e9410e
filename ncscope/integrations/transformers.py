"""A callback for `transformers.Trainer`: collapse of the evaluated features, in its metrics.

B images of a batch, K classes, D embedding width. Needs `pip install "ncscope[transformers]"`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn
from transformers import TrainerCallback  # pyright: ignore[reportMissingImports]

from ncscope.diagnosis.streaming import CollapseMetrics
from ncscope.diagnosis.summary import scalars
from ncscope.errors import DataError

Taken = tuple[Tensor, Tensor, Tensor | None]


class CollapseCallback(TrainerCallback):  # pyright: ignore[reportGeneralTypeIssues]
    """Adds a report's summary, as `eval_collapse/delta_lcd/raw` and so on, to each evaluation.

        trainer = Trainer(model, ..., callbacks=[callback := CollapseCallback(num_classes=10)])
        callback.log = trainer.log  # if TensorBoard and its like shall have them, too

    The numbers are in what `trainer.evaluate()` returns and in `trainer.state.log_history`; what is
    undefined is not, and `callback.warnings` says why. A forward hook takes the features of the
    passes in evaluation mode. Over several processes `Trainer` repeats images to fill the last
    batch, and so they count twice.

    Args:
        num_classes: K.
        take: the model's inputs by name, and its output -> (B, D) image features, (B,) labels, and
            (K, D) text features or None. By default `labels` of the inputs, and `image_embeds` and
            `text_embeds` of the output, as CLIP models have them.
        samples: as for `CollapseMetrics`.
        prefix: of the names, after the evaluation's own.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        take: Callable[[Mapping[str, Any], Any], Taken] | None = None,
        samples: bool = True,
        prefix: str = "collapse/",
    ) -> None:
        self.num_classes, self.samples, self.prefix = num_classes, samples, prefix
        self.take = by_name if take is None else take
        self.log: Callable[[dict[str, float]], object] | None = None
        self.warnings: list[str] = []
        self._metric = CollapseMetrics(num_classes, samples=samples)
        self._watched: nn.Module | None = None

    def on_init_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        """Watch the trainer's model."""
        del args, state, control
        self._watch(more["model"])

    def on_train_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        """Watch the trainer's model, where the callback was added later."""
        del args, state, control
        self._watch(more["model"])

    def on_evaluate(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        """Put the numbers where the evaluation's are.

        Raises:
            DataError: no pass of the model was seen, as the callback was added after `Trainer` was
                made and nothing trained since.
        """
        del args, control
        if self._watched is None:
            raise DataError(
                "the callback has not seen the model; give it to Trainer(callbacks=[...])"
            )
        metrics = more["metrics"]
        first = next(iter(metrics), "eval_")
        found = scalars(self._metric.compute(), f"{first.partition('_')[0]}_{self.prefix}")
        self.warnings = self._metric.warnings
        self._metric = CollapseMetrics(self.num_classes, samples=self.samples)
        metrics.update(found)
        if self.log is not None:
            self.log(found)
        else:
            state.log_history.append({**found, "epoch": state.epoch, "step": state.global_step})

    def _watch(self, model: nn.Module) -> None:
        if self._watched is not model:
            self._watched = model
            model.register_forward_hook(self._after, with_kwargs=True)

    def _after(
        self, model: nn.Module, given: tuple[Any, ...], named: dict[str, Any], output: Any
    ) -> None:
        del given
        if not model.training:
            self._metric.update(*self.take(named, output))


def by_name(inputs: Mapping[str, Any], output: Any) -> Taken:
    """`labels` of a CLIP model's inputs and `image_embeds`, `text_embeds` of its output."""
    label, image = inputs.get("labels"), getattr(output, "image_embeds", None)
    if label is None or image is None:
        raise DataError(
            f"the model was given {sorted(inputs)} and gave {type(output).__name__}; expected "
            f"`labels` and an output with `image_embeds` and `text_embeds`; or give the callback "
            f"`take`"
        )
    return image, label, getattr(output, "text_embeds", None)
