"""The errors a caller may want to catch. Each message says what was expected and what was found.

NcscopeError
├── ShapeError        a tensor or array: shape, dtype, label range, NaN
├── DataError         a data set, class list or feature file
├── CheckpointError   a prompt learner's checkpoint
└── BackboneError     a CLIP model: unknown name, unreadable or missing weights
"""

from collections.abc import Sequence


class NcscopeError(Exception):
    """Base of every error that ncscope raises on purpose."""


class ShapeError(NcscopeError, ValueError):
    """A tensor has the wrong shape, dtype or label range, or holds NaN."""


class DataError(NcscopeError, ValueError):
    """A data set, a class list or a feature file is not what was expected."""


class CheckpointError(NcscopeError, ValueError):
    """A checkpoint file is not what its adapter reads."""


class BackboneError(NcscopeError, ValueError):
    """A CLIP backbone cannot be built or its weights cannot be read."""


def shown(names: Sequence[str], *, most: int = 5) -> str:
    """The first names of a list, for a message."""
    return ", ".join(names[:most]) + (", …" if len(names) > most else "")


def brief(value: object) -> str:
    """A value of a file, for a message. What a file nested is named by its type, not shown."""
    if isinstance(value, str):
        return ascii(value[:60])
    return ascii(value)[:60] if isinstance(value, int | float | None) else type(value).__name__
