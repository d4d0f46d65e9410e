"""A progress bar on stderr."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ncscope_cli.terminal import bar


@contextmanager
def progress_bar(what: str, *, quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """Give a function of (done, total) that draws a bar, or None where there is to be none."""
    if quiet:
        yield None
        return
    with bar(what, "image") as shown:

        def show(done: int, total: int) -> None:
            shown.total = total
            shown.update(done - shown.n)

        yield show
