"""What a training step starts from: which images, as frozen features kept once or as pixels.

N training images, V views of each, K classes, B images of a batch, D embedding width, S image size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.clip.prompts import ZeroShot
from ncscope.data.images import ImageSet
from ncscope.errors import DataError
from ncscope.features.cache import cache_path, keep, read_cached
from ncscope.features.forward import ImageFeatures, chosen_workers, encode_images, loaded
from ncscope.features.parts import stored_rows
from ncscope.features.processes import ALONE, Spread, from_one, own_parts, put_together
from ncscope.tuning.augment import PixelSource, Views, stacked
from ncscope.tuning.values import SAMPLERS


def epoch_batches(
    labels: Tensor,
    *,
    batch_size: int,
    seed: int,
    epoch: int,
    sampler: str = "plain",
    drop_last: bool = False,
) -> list[Tensor]:
    """The image numbers of each batch, on the CPU.

    Args:
        batch_size: B; 0 is all images at once, in their order.
        sampler: `plain` shows every image once an epoch, the last batch with what is left over;
            `balanced` draws as many with replacement, every class equally often on average.
        drop_last: leave out the last batch where it is smaller than the others, as Dassl does: in
            this epoch these images are not seen. Fewer images than a batch has stay one batch.

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
    batches = list(order.split(batch_size or count))
    return batches[:-1] if drop_last and len(batches[-1]) < batch_size <= count else batches


class Inputs(Protocol):
    """Training images by number."""

    @property
    def labels(self) -> Tensor:
        """(N,), on the device."""
        ...

    def expect(self, batches: Sequence[Tensor], epoch: int) -> None:
        """Say what `batch` will be asked for next, so that pixels are decoded ahead."""
        ...

    def batch(self, rows: Tensor, epoch: int) -> Tensor:
        """The images `rows` as epoch `epoch` shows them: (B, D) features or (B, 3, S, S) pixels."""
        ...


@dataclass(frozen=True, eq=False)
class FeatureInputs:
    """Backbone features of V views of each image; which view is shown is drawn every epoch."""

    table: Tensor  # (V, N, D) on the device
    labels: Tensor  # (N,) on the device
    seed: int
    by_epoch: bool = False  # view e belongs to epoch e

    def expect(self, batches: Sequence[Tensor], epoch: int) -> None:
        """Nothing is to be done: they are here."""

    def batch(self, rows: Tensor, epoch: int) -> Tensor:
        views, count, width = self.table.shape
        if self.by_epoch or views == 1:
            return self.table[epoch if self.by_epoch else 0][sent(rows, self.table.device)]
        view = chosen_views(views, count, seed=self.seed, epoch=epoch)
        places = sent(view[rows] * count + rows, self.table.device)
        return self.table.view(-1, width)[places]


def sent(numbers: Tensor, device: torch.device) -> Tensor:
    """Numbers of the CPU on a device, which is not waited for."""
    pinned = numbers.pin_memory() if device.type == "cuda" and not numbers.is_cuda else numbers
    return pinned.to(device, non_blocking=True)


def chosen_views(views: int, count: int, *, seed: int, epoch: int) -> Tensor:
    """(N,) view of each image in an epoch; it follows from seed and epoch alone."""
    if views == 1:
        return torch.zeros(count, dtype=torch.int64)
    generator = torch.Generator().manual_seed(1_000_003 * seed + epoch)
    return torch.randint(views, (count,), generator=generator)


def feature_inputs(
    backbone: Backbone,
    images: ImageSet,
    *,
    views: int | str,
    seed: int,
    epochs: int,
    batch_size: int = 64,
    workers: int | None = None,
    cache: Path | None = None,
    spread: Spread = ALONE,
) -> FeatureInputs:
    """Run the frozen image tower once over each view of each image.

    Args:
        views: V, 1 for the centre crop; `online` keeps a view an epoch.
        cache: where features of the centre crop are looked up and kept.
        spread: each process encodes a share of the images and gets the features of all.
    """
    labels = torch.tensor(images.labels, device=backbone.device)
    if views == 1:
        found = cached_image_features(
            backbone, images, batch_size=batch_size, workers=workers, cache=cache, spread=spread
        )
        return FeatureInputs(found.rows[None].to(backbone.device), labels, seed)
    count = epochs if views == "online" else int(views)
    source = PixelSource(backbone, images, seed)
    workers = chosen_workers(workers, backbone.device, len(images), spread.beside)
    table = _view_features(source, count, batch_size, workers, spread)
    return FeatureInputs(table, labels, seed, by_epoch=views == "online")


def _view_features(
    source: PixelSource, views: int, batch_size: int, workers: int, spread: Spread
) -> Tensor:
    """(V, N, D) features of views 0, 1, ... of every image, on the device."""
    backbone, images = source.backbone, source.images
    parts = own_parts(len(images), batch_size, spread)
    keys = [[(row, view) for row in part.tolist()] for view in range(views) for part in parts]
    batches = loaded(
        Views(source), keys, workers=workers, device=backbone.device, where=images.name,
        collate=stacked,
    )  # fmt: skip
    rows = []
    with torch.no_grad():
        for shown in batches:
            if isinstance(shown, DataError):
                raise shown
            pixels = source.finished(shown.to(backbone.device, non_blocking=True))
            rows.append(backbone.encode_image(pixels).float())
    by_view = [rows[i : i + len(parts)] for i in range(0, views * len(parts), max(1, len(parts)))]
    by_view = by_view or [[]] * views
    return torch.stack([put_together(own, parts, spread, backbone.device) for own in by_view])


def cached_image_features(
    backbone: Backbone,
    images: ImageSet,
    *,
    batch_size: int = 64,
    workers: int | None = None,
    cache: Path | None = None,
    spread: Spread = ALONE,
) -> ImageFeatures:
    """The backbone's own features of a data set, looked up in the cache where there is one.

    Args:
        spread: each process encodes a share, gets all, and the first one keeps them.

    Raises:
        DataError: an unreadable image.
    """
    rows = stored_rows(images)
    if rows is not None:
        return ImageFeatures(rows, torch.arange(len(rows)))
    path = cache and cache_path(cache, model=backbone.image_digest, images=images.digest)
    found = read_cached(path, num_images=len(images)) if path else None
    if found is not None and len(found.kept) < len(images):
        found = None  # by a run that left out unreadable ones
    told = from_one(found and found.rows, found and found.kept, spread)
    if told is not None:
        return ImageFeatures(*told)
    encoded = encode_images(
        ZeroShot(backbone), images, batch_size=batch_size, workers=workers, spread=spread
    )
    if path and spread.first:
        keep(path, encoded)
    return encoded
