"""What is said of an error that nobody foresaw: one line, and a file with all of it.

It is a fault of ncscope, not of the input: so the line says what it was, where the whole traceback
is, and that it wants to be reported.
"""

import contextlib
import os
import tempfile
import traceback
from pathlib import Path

from ncscope.text import short
from ncscope.writing import __version__

_LONGEST = 200


def unexpected(error: Exception) -> str:
    """The line. The traceback goes to a new file that only the user can read."""
    if isinstance(error, MemoryError):
        return f"out of memory{_brief(error)}; smaller --batch-size, fewer images or more memory"
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename is not None else ""
        return f"{where}{error.strerror}; its traceback {_kept(error)}"
    return (
        f"unexpected {type(error).__name__}{_brief(error)}{_where(error)}; this is a fault of "
        f"ncscope {__version__}: please report it with its traceback, which {_kept(error)}"
    )


def _brief(error: Exception) -> str:
    words = short(error, _LONGEST)
    return f" ({words})" if words.strip() else ""


def _where(error: Exception) -> str:
    """The innermost line of the program that it came by."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "ncscope" in frame.filename] or frames
    return f" at {Path(own[-1].filename).name}:{own[-1].lineno}" if own else ""


def _kept(error: Exception) -> str:
    """Where the traceback is; nothing fails a second time where it cannot be kept."""
    words = "".join(traceback.format_exception(error))
    with contextlib.suppress(OSError):
        number, path = tempfile.mkstemp(prefix="ncscope-", suffix=".txt")  # mode 0600
        with os.fdopen(number, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"ncscope {__version__}\n{words}")
        return f"is in {path}"
    return "could not be written to a file"
