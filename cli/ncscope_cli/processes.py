"""A verb in several processes under torchrun: one of them writes and speaks."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from ncscope_cli.terminal import say

if TYPE_CHECKING:
    from ncscope.features.processes import Spread


@contextmanager
def processes() -> Iterator["Spread"]:
    """Join the others; a refusal in any ends all, said in one line by the first."""
    from ncscope import NcscopeError
    from ncscope.features.processes import ALONE, joined

    spread = ALONE
    try:
        with joined(say=say) as spread:
            yield spread
    except NcscopeError:
        if spread.world == 1:
            raise
        raise typer.Exit(1) from None
