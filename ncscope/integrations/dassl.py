"""A hook for trainers of Dassl, as CoOp and its successors have them.

B images of a batch, K classes, D embedding width. Dassl itself is not imported.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ncscope.diagnosis.streaming import CollapseMetrics
from ncscope.diagnosis.summary import scalars
from ncscope.errors import DataError


def watch(trainer: Any, *, prefix: str = "collapse/", samples: bool = True) -> CollapseMetrics:
    """Write a report's summary of the test images to the trainer's TensorBoard after every epoch.

        trainer = build_trainer(cfg)
        ncscope.integrations.dassl.watch(trainer)
        trainer.train()

    Features are what `image_encoder` and `text_encoder` of the trainer's model give while it
    classifies the images, as all of CoOp's kin have them; images are those of `val_loader` where
    `TEST.FINAL_MODEL` is best_val, else of `test_loader`.

    Returns:
        What holds the last epoch's features, with `compute` and `warnings`.

    Raises:
        DataError: the model has no such encoders; in an epoch, text that is encoded for every image
            (CoCoOp), or not at all (TaskRes): its features are not the encoder's.
    """
    metric, seen, model = (
        CollapseMetrics(trainer.num_classes, samples=samples),
        _Seen(),
        trainer.model,
    )
    for name in ("image_encoder", "text_encoder"):
        found = [part for path, part in model.named_modules() if path.split(".")[-1] == name]
        if len(found) != 1:
            raise DataError(f"the trainer's model has {len(found)} `{name}`; expected one")
        found[0].register_forward_hook(seen.keeper(name))
    go_on: Callable[[], Any] = trainer.after_epoch

    def after_epoch() -> None:
        go_on()
        _measure(trainer, metric, seen)
        scale = getattr(getattr(model, "module", model), "logit_scale", None)
        scale = 100.0 if scale is None else scale.detach().exp()
        for name, value in scalars(metric.compute(logit_scale=scale), prefix).items():
            trainer.write_scalar(name, value, trainer.epoch)

    trainer.after_epoch = after_epoch
    return metric


class _Seen:
    """What the encoders gave since `clear`."""

    def __init__(self) -> None:
        self.found: dict[str, list[Tensor]] = {}

    def clear(self) -> None:
        self.found = {"image_encoder": [], "text_encoder": []}

    def keeper(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        """A forward hook that keeps what an encoder gives; of several results the first."""

        def keep(_module: nn.Module, _given: Any, output: Any) -> None:
            if self.found and not torch.is_grad_enabled():
                self.found[name].append(output[0] if isinstance(output, tuple) else output)

        return keep


@torch.no_grad()
def _measure(trainer: Any, metric: CollapseMetrics, seen: _Seen) -> None:
    """The features of all test images as the trainer classifies them."""
    metric.reset()
    trainer.set_model_mode("eval")
    loader = trainer.val_loader if trainer.cfg.TEST.FINAL_MODEL == "best_val" else None
    for batch in trainer.test_loader if loader is None else loader:
        pixels, label = trainer.parse_batch_test(batch)
        seen.clear()
        trainer.model_inference(pixels)
        times = {name: len(rows) for name, rows in seen.found.items()}
        if set(times.values()) != {1}:
            raise DataError(
                f"in one pass the model called its encoders {times}; expected each once, text of "
                f"all classes and images of the batch: measure such a method with ncscope analyze"
            )
        metric.update(seen.found["image_encoder"][0], label, seen.found["text_encoder"][0])
    seen.found = {}
