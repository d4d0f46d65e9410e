"""Image files: reading one as RGB, telling images from other files, and what they contain.

Only raster formats are opened. Pillow also knows formats that start another program (EPS runs
Ghostscript); files are untrusted, so those are not tried.
"""

import contextlib
import errno
import functools
import hashlib
import io
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ncscope.errors import DataError
from ncscope.opening import open_regular, read_bytes

_TOO_LARGE = "more than 178 million pixels"  # which Pillow does not open
_NO_FILE = (errno.EISDIR, errno.EINVAL, errno.EFBIG)  # of `ncscope.opening`
_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "JPEG2000", "AVIF")


def read_image(path: str | Path, *, item: str | None = None) -> Image.Image:
    """Decode a file as an RGB image; DataError names `item` where it cannot be decoded.

    As CLIP's own pipelines do, orientation tags are ignored and transparency is dropped. Pixels
    of 16 bits are brought to 8; an animation gives its first frame.
    """
    try:
        with (
            _large_ones_quietly(),
            open_regular(path) as file,
            Image.open(file, formats=_formats()) as image,
        ):
            return as_rgb(image)
    except Image.DecompressionBombError:
        raise DataError(f"{item or path}: {_TOO_LARGE}; make it smaller") from None
    except Exception as error:  # a damaged file can raise anything inside its decoder
        reason = str(error).replace(str(path), "").strip() or type(error).__name__
        raise DataError(f"{item or path}: cannot be read as an image ({reason})") from None


def as_rgb(image: Image.Image) -> Image.Image:
    """A decoded image in RGB, by the rules of `read_image`."""
    if image.mode == "F":
        raise DataError("its pixels are floating-point numbers, whose range is not known")
    if image.mode.startswith("I"):  # 16 bits; Pillow would clip them all to white
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise DataError("its pixels are 32-bit integers, whose range is not known")
        return Image.fromarray((values >> 8).astype(np.uint8)).convert("RGB")
    if image.mode == "P" and "transparency" in image.info:
        return image.convert("RGBA").convert("RGB")  # the direct way warns, with the same result
    return image.convert("RGB")


@dataclass(frozen=True)
class FileLoader:
    """Loads the i-th of a fixed list of files. Picklable, for worker processes."""

    paths: tuple[str, ...]
    items: tuple[str, ...]

    def __call__(self, index: int) -> Image.Image:
        return read_image(self.paths[index], item=self.items[index])


def inspect_files(paths: Sequence[Path]) -> list[tuple[bool, str]]:
    """Tell of each file whether its header is an image's, and the sha256 of its size and bytes.

    Instead of the sha256 of a file that is none, the reason where it is a picture all the same.
    Pixels are not decoded: a file cut short is found when it is loaded.
    """
    with _large_ones_quietly(), ThreadPoolExecutor(max_workers=8) as pool:
        # hashing releases the interpreter's lock
        return list(pool.map(_inspect, paths))


def _inspect(path: Path) -> tuple[bool, str]:
    try:
        content = read_bytes(path)
        with Image.open(io.BytesIO(content), formats=_formats()):
            pass
    except Image.DecompressionBombError:
        return False, _TOO_LARGE
    except OSError as error:  # Pillow's own, of no image, has no number
        return False, f"{error.strerror}" if error.errno in _NO_FILE else ""
    except Exception:  # as in `read_image`
        return False, ""
    digest = hashlib.sha256(f"{len(content)}\n".encode())
    digest.update(content)
    return True, digest.hexdigest()


@functools.lru_cache(maxsize=1)
def _formats() -> tuple[str, ...]:
    """The raster formats that this Pillow can open."""
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


@contextlib.contextmanager
def _large_ones_quietly() -> Iterator[None]:
    """Leaves out what Pillow says of pictures of 90 to 179 million pixels, which are read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield
