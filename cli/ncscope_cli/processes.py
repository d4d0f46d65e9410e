"""A verb in several processes under torchrun: one of them writes and speaks."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from ncscope_cli.terminal import say

if TYPE_CHECKING:
    from ncscope.features.processes import Spread


def first() -> bool:
    """Whether this process is the one that speaks; known before the others are joined."""
    return os.environ.get("RANK", "0") == "0" or os.environ.get("WORLD_SIZE", "1") == "1"


@contextmanager
def processes(device: str = "cpu") -> Iterator["Spread"]:
    """Join the others; a refusal in any ends all, said in one line by the first.

    Args:
        device: where what they exchange lies.
    """
    from ncscope import NcscopeError
    from ncscope.features.processes import ALONE, joined

    spread = ALONE
    try:
        with joined(device, say=say) as spread:
            yield spread
    except NcscopeError:
        if spread.world == 1:
            raise
        raise typer.Exit(1) from None
