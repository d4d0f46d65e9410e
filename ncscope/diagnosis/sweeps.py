"""Both sweeps over a run's images, block by block: nothing of their size is ever copied.

Memory that a step freed is given back to the system here (`in_steps`), and nowhere else.

N samples, K classes, D embedding width. The images may be a memory map of a file larger than
memory. Several processes each take their share of the blocks; sums are merged after each sweep.
"""

import ctypes
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace

import torch
from torch import Tensor

from ncscope._checks import working
from ncscope.features.checked import is_large
from ncscope.features.processes import ALONE, Spread, added, everyones, exchanged
from ncscope.metrics import ClassMoments, MomentsAccumulator, SampleAccumulator, SampleMeasures
from ncscope.metrics.rows import is_extreme

BLOCK_ROWS = 16384  # 32 MB at D = 512; a multiple of the rows the accumulators take at a time


def in_steps(image: Tensor | None, parts: Iterable[dict[str, Tensor]]) -> dict[str, Tensor]:
    """All parts in one; what making a part freed is given back before the next is made."""
    found: dict[str, Tensor] = {}
    _give_back(image)
    for part in parts:
        found |= part
        _give_back(image)
    return found


def _give_back(image: Tensor | None) -> None:
    """Return what is free on the heap, if the images are many.

    glibc keeps what (K, K) temporaries leave behind: 250 MB at K = 1000, of which 20 are in use.
    """
    if is_large(image) and sys.platform == "linux":
        with suppress(OSError, AttributeError):  # another C library
            ctypes.CDLL(None).malloc_trim(0)


def sweep(
    image: Tensor,
    label: Tensor,
    num_classes: int,
    *,
    text: Tensor | None,
    logit_scale: Tensor | None,
    normalise: bool = True,
    margins: bool = False,
    spread: Spread = ALONE,
) -> tuple[ClassMoments, SampleMeasures]:
    """Both sweeps over (N, D) images; the moments carry the second sweep's exact spreads.

    Args:
        label: (N,), -1 ignored.
        text: (K, D), None leaves decisions by text out.
        margins: gather margins to other texts, too; of few images.
        spread: every process gets the measures of all; images must be the same in each.
    """
    first = MomentsAccumulator(
        num_classes, image.shape[1], normalise=normalise, device=image.device
    )
    for rows, labels in _blocks(image, label, spread):
        first.update(rows, labels)
    moments = _merged(first, spread).compute(least=1)
    second = SampleAccumulator(
        moments, text=text, logit_scale=logit_scale, normalise=normalise, margins=margins
    )
    if margins and spread.world == 1:  # class by class: distances from its text are made once
        order = torch.argsort(label, stable=True)
        order = order[label[order] >= 0]
        image, label = image[order], label[order]
    for rows, labels in _blocks(image, label, spread):
        second.update(rows, labels)
    exchanged(None, spread)
    second.load_state_dict({n: added(sums, spread) for n, sums in second.state_dict().items()})
    samples = second.compute()
    return replace(moments, spreads=samples.spreads), samples


def row_norms(rows: Tensor) -> Tensor:
    """Lengths of the last axis, (N,) or (N, K), in float32 or wider; 0 for zero rows only."""
    return torch.cat([_lengths(working(block)) for block in rows.split(BLOCK_ROWS)])


def _lengths(rows: Tensor) -> Tensor:
    norms = rows.norm(dim=-1)
    if bool((extreme := is_extreme(norms)).any()):
        largest = rows.abs().amax(dim=-1)  # an underestimate, but neither 0 nor infinite
        norms = torch.where(extreme, largest, norms)
    return norms


def _blocks(image: Tensor, label: Tensor, spread: Spread) -> Iterator[tuple[Tensor, Tensor]]:
    """This process's blocks of rows, half precision as float32, and their labels."""
    size = BLOCK_ROWS
    if spread.world > 1:  # as many blocks for each
        rounds = -(-len(label) // (spread.world * size))
        size = -(-len(label) // max(1, rounds * spread.world)) or 1
    for start in range(spread.rank * size, len(label), spread.world * size):
        chosen = slice(start, start + size)
        yield working(image[chosen]), label[chosen]


def _merged(mine: MomentsAccumulator, spread: Spread) -> MomentsAccumulator:
    """What the accumulators of all processes saw together, merged in their order."""
    if spread.world == 1:
        return mine
    state = mine.state_dict()
    shift = torch.zeros_like(mine.sums[0]) if mine.shift is None else mine.shift.to(mine.sums)
    plain = exchanged([mine.shift is not None, mine.ignored, mine.resolution], spread)
    names = ("counts", "sums", "squares")
    parts = {name: everyones(state[name], spread) for name in names}
    shifts = everyones(shift, spread)
    total = MomentsAccumulator(*mine.sums.shape, normalise=mine.normalise, device=mine.sums.device)
    for rank, (seen, ignored, resolution) in enumerate(plain):
        one = MomentsAccumulator(*mine.sums.shape, device=mine.sums.device)
        found = {name: parts[name][rank] for name in names}
        found |= {"shift": shifts[rank] if seen else None, "normalise": mine.normalise}
        one.load_state_dict(found | {"ignored": ignored, "resolution": resolution})
        total.merge(one)
    return total
