"""How files are written here: whole or not at all, and by which version of the package."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError

from ncscope.errors import DataError

__version__ = "0.2.0"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name in the folder of `path` (made if missing), renamed to `path` at the end.

    Raises:
        DataError: the file cannot be written; what stood under its name before still does.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
        mode = temporary.stat().st_mode  # what the user's umask allows; safetensors narrows it
        yield temporary
        temporary.chmod(mode)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())  # its name must not be on the disk before what it holds
        temporary.replace(path)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path}: cannot be written ({reason})") from None
    finally:
        with suppress(OSError):
            temporary.unlink()  # there only if something went wrong


def write_text(path: Path, text: str) -> Path:
    """Write UTF-8 under a temporary name in the same folder, then rename.

    A path may hold bytes that are no UTF-8, which Python has as halves of surrogate pairs: they are
    written as their codes, which in JSON are what they were.
    """
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
    return path


def make_folder(folder: Path) -> None:
    """Create an output folder, or say in a line why not."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be made a folder ({error.strerror})") from None
