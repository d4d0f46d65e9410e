"""A progress bar on stderr."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar(what: str, *, quiet: bool) -> Iterator[Callable[[int, int], None] | None]:
    """Give a function of (done, total) that draws a bar, or None where there is to be none."""
    if quiet:
        yield None
        return
    from tqdm import tqdm  # here, so that --help does not wait for it

    with tqdm(desc=what, unit="image", disable=None, leave=False) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show
