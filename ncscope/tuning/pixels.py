"""Training pixels for image towers that are trained: kept as bytes, or decoded ahead by processes.

N training images, V views of each, B images of a batch, S image size. A view is uint8 until it is
on the device: a quarter of the memory, of the pinned buffer, and of what is sent.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ncscope.clip.backbone import Backbone
from ncscope.data.images import ImageSet
from ncscope.errors import DataError
from ncscope.features.forward import chosen_workers, new_loader, one_pass
from ncscope.tuning.augment import PixelSource, Views, stacked
from ncscope.tuning.inputs import chosen_views

Key = tuple[int, int]  # image, view
Loader = DataLoader[Tensor | DataError]
_KEPT = 4 * 2**30  # bytes of pixels that are held in memory; more are decoded every time


@dataclass(eq=False)
class _Wanted:
    """The batches of the next pass over a loader, which asks for them as it begins."""

    batches: list[list[Key]] = field(default_factory=list)

    def __iter__(self) -> Iterator[list[Key]]:
        return iter(list(self.batches))


@dataclass(eq=False)
class PixelInputs:
    """Pixels, kept where they fit into memory, else decoded before they are asked for.

    What nobody said would come is decoded when it is asked for: the result is the same. The
    processes that decode stay from epoch to epoch, as long as there is something to decode.
    """

    labels: Tensor  # (N,) on the device
    source: PixelSource
    views: int | None  # None: a new view every epoch
    workers: int = 0
    kept: dict[Key, Tensor] = field(default_factory=dict)
    at_hand: dict[Key, Tensor] = field(default_factory=dict)  # of the last batch, for its parts
    coming: Iterator[Any] = field(default_factory=lambda: iter(()))
    order: list[list[Key]] = field(default_factory=list)  # of `coming`, the next batch first
    wanted: _Wanted = field(default_factory=_Wanted)
    loader: Loader | None = None

    def expect(self, batches: Sequence[Tensor], epoch: int) -> None:
        """Begin to decode what is not kept, in the order of the batches, a few of them ahead."""
        view = self._views(epoch)
        keys = [[(row, int(view[row])) for row in rows.tolist()] for rows in batches]
        wanted = [[key for key in dict.fromkeys(own) if key not in self.kept] for own in keys]
        self.order = [own for own in wanted if own]
        self.wanted.batches = list(self.order)
        if not self.order:  # the processes end
            self.loader, self.coming = None, iter(())
            return
        if self.loader is None:
            self.loader = new_loader(
                Views(self.source),
                self.wanted,
                workers=self.workers,
                device=self.labels.device,
                collate=stacked,
                stay=True,
            )
        self.coming = one_pass(self.loader, where=self.source.images.name)

    def batch(self, rows: Tensor, epoch: int) -> Tensor:
        view, device = self._views(epoch), self.labels.device
        keys = [(row, int(view[row])) for row in rows.tolist()]
        lacking = [key for key in dict.fromkeys(keys) if key not in self.kept]
        if not all(key in self.at_hand for key in lacking):
            self._fetch(lacking)
        shown = torch.stack([self._known(key) for key in keys])
        if device.type == "cuda":
            shown = shown.pin_memory()
        return self.source.finished(shown.to(device, non_blocking=True))

    def _views(self, epoch: int) -> Tensor:
        """(N,) view of each image in an epoch."""
        if self.views is None:
            return torch.full((len(self.labels),), epoch)
        return chosen_views(self.views, len(self.labels), seed=self.source.seed, epoch=epoch)

    def _known(self, key: Key) -> Tensor:
        return self.kept[key] if key in self.kept else self.at_hand[key]

    def _fetch(self, keys: list[Key]) -> None:
        """Have at least these at hand: what comes next, or what nobody expected."""
        near = (i for i, own in enumerate(self.order[:3]) if set(keys) <= set(own))
        place = next(near, None)
        if place is None:
            self._take(keys, stacked([Views(self.source)[key] for key in keys]))
            return
        for _ in range(place + 1):  # one whose images came with others is passed over
            self._take(self.order.pop(0), next(self.coming))

    def _take(self, keys: Sequence[Key], shown: Tensor | DataError) -> None:
        """Keep what came if all there is fits, else until the next batch comes."""
        if isinstance(shown, DataError):
            raise shown
        total = len(self.labels) * (self.views or 0) * shown[0].numel() * shown.element_size()
        self.at_hand = dict(zip(keys, shown, strict=True))
        if 0 < total <= _KEPT:
            self.kept.update((key, one.clone()) for key, one in self.at_hand.items())  # not pinned
            self.at_hand = {}


def pixel_inputs(
    backbone: Backbone,
    images: ImageSet,
    *,
    views: int | str,
    seed: int,
    workers: int | None = None,
    beside: int = 1,
) -> PixelInputs:
    """Pixels for an image tower that is trained; as for `feature_inputs`.

    Args:
        workers: processes that decode; None chooses, 0 decodes in this one.
        beside: processes of this machine that train.
    """
    source = PixelSource(backbone, images, seed, plain=views == 1)
    labels = torch.tensor(images.labels, device=backbone.device)
    chosen = chosen_workers(workers, backbone.device, len(images), beside)
    return PixelInputs(labels, source, None if views == "online" else int(views), chosen)
