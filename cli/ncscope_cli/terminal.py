"""All that the command line prints, through one filter: what a file holds commands no terminal.

A class name, a key or a folder may hold escape sequences, which clear a screen or forge a line, and
signs that turn text round. They are shown as their codes. `say`, `answer` and `bar` are how verbs
print; `filtered` is around a whole command, for what libraries and the parser print.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ncscope.text import visible


def say(text: object, *, name: str = "ncscope: ") -> None:
    """One line on stderr, with the program's name before it."""
    print(f"{name}{visible(text)}", file=sys.stderr, flush=True)


def answer(text: str) -> None:
    """Lines on stdout."""
    print(visible(text, lines=True), flush=True)


def bar(what: str, unit: str) -> Any:
    """A progress bar on stderr, where that is a terminal; it alone may move the cursor."""
    from tqdm import tqdm  # here, so that --help does not wait for it

    return tqdm(desc=visible(what), unit=unit, disable=None, leave=False, file=_beneath(sys.stderr))


def say_beside(shown: Any, text: object) -> None:
    """One line on stderr, above a progress bar."""
    shown.write(visible(text), file=_beneath(sys.stderr))


@contextmanager
def filtered() -> Iterator[None]:
    """Whatever is printed meanwhile, by whomever, passes the filter."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _Filtered(sys.stdout), _Filtered(sys.stderr)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


class _Filtered:
    """A text stream that shows control characters as their codes, and else is the one beneath."""

    def __init__(self, beneath: Any) -> None:
        self.beneath = _beneath(beneath)
        if hasattr(self.beneath, "reconfigure"):  # a class name may be what it cannot say
            ascii_only = (self.beneath.encoding or "").lower() in ("ascii", "us-ascii", "646")
            self.beneath.reconfigure(
                encoding="utf-8" if ascii_only else None, errors="backslashreplace"
            )

    def write(self, text: str) -> int:
        if not isinstance(text, str):  # bytes are tried by who wants to know what kind this is
            raise TypeError(f"expected str, got {type(text).__name__}")
        self.beneath.write(visible(text, lines=True))
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.beneath, name)


def _beneath(stream: Any) -> Any:
    return stream.beneath if isinstance(stream, _Filtered) else stream
