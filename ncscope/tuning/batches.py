"""Which images make up each batch of an epoch; it follows from the seed and the epoch alone.

N training images, K classes, B images of a batch.
"""

import torch
from torch import Tensor

from ncscope.errors import DataError

SAMPLERS = ("plain", "balanced")


def epoch_batches(
    labels: Tensor, *, batch_size: int, seed: int, epoch: int, sampler: str = "plain"
) -> list[Tensor]:
    """The image numbers of each batch, on the CPU.

    Args:
        batch_size: B; 0 is all images at once, in their order.
        sampler: `plain` shows every image once an epoch, the last batch with what is left over;
            `balanced` draws as many with replacement, every class equally often on average.

    Raises:
        DataError: an unknown sampler.
    """
    if sampler not in SAMPLERS:
        raise DataError(f"`sampler` is {sampler!r}; expected one of {', '.join(SAMPLERS)}")
    count = len(labels)
    if sampler == "plain" and batch_size in (0, count):
        return [torch.arange(count)]
    generator = torch.Generator().manual_seed(2_000_003 * seed + epoch)
    if sampler == "plain":
        order = torch.randperm(count, generator=generator)
    else:
        sizes = torch.bincount(labels.cpu())
        weights = (1 / sizes.clamp_min(1).double())[labels.cpu()]
        order = torch.multinomial(weights, count, replacement=True, generator=generator)
    return list(order.split(batch_size or count))
