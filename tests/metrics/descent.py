"""Descent to the minimum of a loss, for tests that say where it lies."""

from collections.abc import Callable

import torch
from torch import Tensor


def descend(loss: Callable[[], Tensor], *rows: Tensor, steps: int = 200) -> None:
    """Move `rows` in place to where `loss` is (locally) least."""
    optimiser = torch.optim.LBFGS(
        rows,
        max_iter=steps,
        tolerance_grad=1e-12,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )

    def closure() -> float:
        optimiser.zero_grad()
        value = loss()
        value.backward()
        return float(value.detach())

    optimiser.step(closure)
