"""The optimiser of a run and its state as plain tensors."""

import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer

from ncscope.errors import DataError
from ncscope.tuning.recipe import Recipe

OPTIMIZERS = ("sgd", "adam", "adamw")


def new_optimiser(recipe: Recipe, leaves: list[Tensor]) -> Optimizer:
    """SGD with momentum, Adam or AdamW, as the recipe says.

    Raises:
        DataError: an unknown one.
    """
    decay = recipe.weight_decay
    if recipe.optimizer == "sgd":
        return SGD(leaves, lr=recipe.lr, momentum=recipe.momentum, weight_decay=decay)
    if recipe.optimizer == "adam":
        return Adam(leaves, lr=recipe.lr, weight_decay=decay)
    if recipe.optimizer == "adamw":
        return AdamW(leaves, lr=recipe.lr, weight_decay=decay)
    raise DataError(f"`optimizer` is {recipe.optimizer!r}; expected one of {', '.join(OPTIMIZERS)}")


def take_step(
    optimiser: Optimizer, leaves: list[Tensor], gradients: list[Tensor], lr: float
) -> None:
    """Move the leaves along the gradients at a learning rate."""
    for group in optimiser.param_groups:
        group["lr"] = lr
    for leaf, gradient in zip(leaves, gradients, strict=True):
        leaf.grad = gradient
    optimiser.step()
    optimiser.zero_grad()


def optimiser_tensors(optimiser: Optimizer) -> dict[str, Tensor]:
    """Momenta and step counts by `optimiser.NUMBER.NAME`."""
    states = optimiser.state_dict()["state"]
    return {
        f"optimiser.{number}.{name}": torch.as_tensor(value).detach().clone()
        for number, state in states.items()
        for name, value in state.items()
        if value is not None
    }


def restore_optimiser(optimiser: Optimizer, tensors: dict[str, Tensor]) -> None:
    """Take up what `optimiser_tensors` gave."""
    states: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimiser."):
            _, number, name = key.split(".")
            states.setdefault(int(number), {})[name] = value
    optimiser.load_state_dict({**optimiser.state_dict(), "state": states})
