"""Running out of memory in training, in one line that says what to turn."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ncscope.errors import DataError

_SIGNS = ("out of memory", "can't allocate memory")  # a device's, and the CPU allocator's words


@contextmanager
def enough_memory() -> Iterator[None]:
    """Turn what torch raises without memory into a refusal.

    Raises:
        DataError: out of memory, with the options that help.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:  # torch's own error for devices is a RuntimeError
        words = str(error)
        short = isinstance(error, MemoryError | torch.cuda.OutOfMemoryError)
        if not short and not any(sign in words for sign in _SIGNS):
            raise
        raise DataError(
            "out of memory in training; give a smaller --batch-size or a larger --accumulate, or "
            "on CUDA --precision bf16"
        ) from None
