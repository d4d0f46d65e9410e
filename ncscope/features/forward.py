"""The batched forward pass of images: decoding in worker processes, features on the device.

N images, B batch, D width.
"""

import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ncscope.clip.pixels import InferenceTransform
from ncscope.clip.prompts import PromptedClip
from ncscope.data.images import ImageSet, refusal_of_bad
from ncscope.errors import DataError, ShapeError, shown
from ncscope.features.processes import ALONE, Spread, exchanged, in_order, require_same

Batch = tuple[Tensor | None, list[int], list[int]]  # pixels (B, 3, H, W), images in it, bad ones


@dataclass(frozen=True, eq=False)
class ImageFeatures:
    """Features of the readable images of a set."""

    rows: Tensor  # (M, D) float32 on the CPU
    kept: Tensor  # (M,) int64, which images of the set, ascending


def encode_images(
    learner: PromptedClip,
    images: ImageSet,
    *,
    batch_size: int = 64,
    workers: int | None = None,
    skip_bad: bool = False,
    progress: Callable[[int, int], object] | None = None,
    spread: Spread = ALONE,
) -> ImageFeatures:
    """Encode every image once, in order.

    An unreadable image ends the encoding, not the reading: the refusal names them all.

    Args:
        batch_size: images a forward pass.
        workers: processes that decode; None chooses, 0 decodes in this one.
        skip_bad: leave unreadable images out instead of refusing the set.
        progress: called with the number of images done and their total.
        spread: each process encodes every world-th batch, the batches that one would encode, and
            gets the features of all.

    Raises:
        DataError: an image that cannot be read, without `skip_bad`; or none that can.
    """
    if batch_size < 1:
        raise DataError(f"`batch_size` is {batch_size}; expected 1 or more")
    require_same({"images": images.digest}, spread)
    workers = chosen_workers(workers, learner.device, len(images), spread.beside)
    found: list[Tensor] = []
    kept: list[int] = []
    bad: list[int] = []
    share = _share(len(images), batch_size, spread)
    for pixels, indices, failed in _batches(learner, images, share, workers):
        bad += failed
        if pixels is not None and (skip_bad or not bad):
            found.append(_forward(learner, pixels))
            kept += indices
        if progress is not None:
            progress(min(spread.world * (len(kept) + len(bad)), len(images)), len(images))
    bad = sorted(index for one in exchanged(bad, spread) for index in one)
    check_bad(images, bad, skip_bad=skip_bad)
    rows = torch.cat(found).float().cpu() if found else torch.empty(0, 0)
    rows, places = in_order(rows, torch.tensor(kept, dtype=torch.int64), spread)
    return ImageFeatures(rows, places)


def check_bad(images: ImageSet, bad: list[int], *, skip_bad: bool) -> None:
    """Refuse unreadable images, or a set of nothing else."""
    names = [images.items[i] for i in bad]
    if len(bad) == len(images):
        raise DataError(f"{images.name}: none of {len(images)} images can be read")
    if bad and not skip_bad:
        raise DataError(refusal_of_bad(images.name, names, len(images)))


def with_direction(
    found: ImageFeatures, images: ImageSet, *, skip_bad: bool
) -> tuple[ImageFeatures, list[str]]:
    """The features without those that are NaN or infinite, or zero vectors, and a note of them.

    Raises:
        DataError: NaN or infinities without `skip_bad`, or nothing else; images are named.
    """
    finite = found.rows.isfinite().all(dim=1)
    good = finite & (found.rows != 0).any(dim=1) if skip_bad else finite
    if bool(good.all()):
        return found, []
    names = shown([images.items[i] for i in found.kept[~good].tolist()])
    count = f"{int((~good).sum())} of {len(good)} image features"
    if not skip_bad:
        raise DataError(
            f"{images.name}: {count} are NaN or infinite, of {names}; lower precisions overflow "
            f"where fp32 does not; --skip-bad (skip_bad=True) leaves them out"
        )
    if not bool(good.any()):
        raise DataError(f"{images.name}: {count} are NaN, infinite or zero: nothing is left")
    said = f"left out {count} that are NaN, infinite or zero: {names}"
    return ImageFeatures(found.rows[good], found.kept[good]), [said]


def _forward(learner: PromptedClip, pixels: Tensor) -> Tensor:
    with torch.inference_mode():
        pixels = pixels.to(learner.device, non_blocking=True)
        if isinstance(learner.preprocess, InferenceTransform):
            pixels = learner.preprocess.finished(pixels)
        features = learner.image_features(pixels)
    if features.ndim != 2 or len(features) != len(pixels):
        raise ShapeError(
            f"`image_features` gave {tuple(features.shape)} for {len(pixels)} images; "
            f"expected (B, D)"
        )
    return features


def _share(count: int, batch_size: int, spread: Spread) -> list[list[int]]:
    """This process's batches of image indices."""
    starts = range(spread.rank * batch_size, count, spread.world * batch_size)
    return [list(range(start, min(start + batch_size, count))) for start in starts]


def _batches(
    learner: PromptedClip, images: ImageSet, share: list[list[int]], workers: int
) -> Iterator[Batch]:
    change = learner.preprocess
    if isinstance(change, InferenceTransform):
        change = change.colours  # made what the tower wants on the device
    decoded = _Decoded(images.load, change, len(images))
    return loaded(
        decoded, share, workers=workers, device=learner.device, where=images.name, collate=_collate
    )


def loaded(
    decoded: Dataset[Any],
    batches: Iterable[Any],
    *,
    workers: int,
    device: torch.device,
    where: str,
    collate: Callable[[list[Any]], Any],
) -> Iterator[Any]:
    """Batches of a data set, decoded by processes ahead of time, in pinned memory for CUDA.

    Args:
        batches: lists of what `decoded` takes for an index.
        where: the images' name, for the refusal.

    Raises:
        DataError: a process was killed.
    """
    loader = new_loader(decoded, batches, workers=workers, device=device, collate=collate)
    yield from one_pass(loader, where=where)


def new_loader(
    decoded: Dataset[Any],
    batches: Iterable[Any],
    *,
    workers: int,
    device: torch.device,
    collate: Callable[[list[Any]], Any],
    stay: bool = False,
) -> DataLoader[Any]:
    """A loader as `loaded` has it, which starts its processes when it is first passed over.

    Args:
        stay: they wait for the next pass, of what `batches` gives then, until it is let go of.
    """
    return DataLoader(
        decoded,
        batch_sampler=batches,  # pyright: ignore[reportArgumentType]
        num_workers=workers,
        collate_fn=collate,
        pin_memory=device.type == "cuda",
        prefetch_factor=4 if workers else None,
        persistent_workers=stay and workers > 0,
    )


def one_pass(loader: DataLoader[Any], *, where: str) -> Iterator[Any]:
    """What a loader gives, once over; raises as `loaded`."""
    with warnings.catch_warnings():  # of more workers than cores, and of forking beside threads
        warnings.simplefilter("ignore")
        found = iter(loader)
    try:
        yield from found
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise DataError(
            f"{where}: a decoding process was killed, most often for want of shared memory; use "
            f"fewer workers or a smaller batch (--workers 0, --batch-size)"
        ) from None


@dataclass(frozen=True, eq=False)
class _Decoded(Dataset[tuple[int, Tensor | None]]):
    """Image i of a set as preprocessed pixels, None where it cannot be read."""

    load: Callable[[int], Image.Image]
    preprocess: Callable[[Image.Image], Tensor]
    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[int, Tensor | None]:
        try:
            return index, self.preprocess(self.load(index))
        except DataError:
            return index, None


def _collate(samples: list[tuple[int, Tensor | None]]) -> Batch:
    pixels = [value for _, value in samples if value is not None]
    good = [index for index, value in samples if value is not None]
    bad = [index for index, value in samples if value is None]
    return torch.stack(pixels) if pixels else None, good, bad


def chosen_workers(
    workers: int | None, device: torch.device, num_images: int, processes: int
) -> int:
    """On an accelerator every core decodes; on the CPU the forward pass wants the cores."""
    if workers is not None:
        if workers < 0:
            raise DataError(f"`workers` is {workers}; expected 0 or more")
        return workers
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if device.type == "cpu" or num_images < 256:
        return 0
    return min(16, max(1, (cores or 1) // processes))
