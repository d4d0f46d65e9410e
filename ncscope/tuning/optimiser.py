"""From the gradients of the objective's terms, each by itself or summed up, to moved prompts.

Also the optimiser of a run, and its state as plain tensors.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer

from ncscope.errors import DataError
from ncscope.tuning.losses import without_conflict
from ncscope.tuning.objective import REGULARISERS
from ncscope.tuning.recipe import Recipe

Term = tuple[float, Tensor]  # weight and value
OPTIMIZERS = ("sgd", "adam", "adamw")


def term_gradients(
    terms: Mapping[str, Term], leaves: Sequence[Tensor], *, apart: bool
) -> dict[str, list[Tensor]]:
    """Gradients of each term by name, without its weight; or of their weighted sum, under ""."""
    if apart:
        return {name: _of(value, leaves) for name, (_, value) in terms.items()}
    total = sum(weight * value for weight, value in terms.values())
    assert isinstance(total, Tensor)
    return {"": _of(total, leaves)}


def _of(value: Tensor, leaves: Sequence[Tensor]) -> list[Tensor]:
    """Gradients, 0 where a leaf has no part in the value."""
    if not value.requires_grad:
        return [torch.zeros_like(leaf) for leaf in leaves]
    found = torch.autograd.grad(
        value, leaves, retain_graph=True, allow_unused=True, materialize_grads=True
    )
    return list(found)


def combined(
    weights: Mapping[str, float],
    each: Mapping[str, list[Tensor]],
    norms: Mapping[str, Tensor],
    *,
    relative: bool,
    prograd: bool,
    strength: float = 1.0,
) -> list[Tensor]:
    """What the leaves are moved along, from the terms' own gradients and their norms.

    Args:
        relative: a regulariser's weight states its gradient's norm over that of cross-entropy's.
        prograd: the term `general` only takes away what of cross-entropy's gradient opposes it.
        strength: the share of that which ProGrad takes away.
    """
    one = norms["ce"].new_ones(())
    factors = {name: weight * one for name, weight in weights.items()}
    if relative:
        for name in REGULARISERS:
            if name in factors:
                factors[name] = factors[name] * relative_factor(norms["ce"], norms[name])
    if prograd:
        each = {**each, "ce": without_conflict(each["ce"], each["general"], strength=strength)}
        factors["general"] = 0 * one
    return [
        torch.stack([factors[name] * each[name][i] for name in each]).sum(dim=0)
        for i in range(len(each["ce"]))
    ]


def relative_factor(cross_entropy: Tensor, term: Tensor) -> Tensor:
    """What makes a term's gradient as long as cross-entropy's, of both norms; 0 if it has none."""
    return torch.where(term > 0, cross_entropy / term, 0)


def norm(gradients: Sequence[Tensor]) -> Tensor:
    """Euclidean norm over all leaves."""
    return torch.cat([gradient.flatten() for gradient in gradients]).norm()


def new_optimiser(recipe: Recipe, leaves: list[Tensor]) -> Optimizer:
    """SGD with momentum, Adam or AdamW, as the recipe says.

    Raises:
        DataError: an unknown one.
    """
    decay = recipe.weight_decay
    if recipe.optimizer == "sgd":
        return SGD(leaves, lr=recipe.lr, momentum=recipe.momentum, weight_decay=decay)
    if recipe.optimizer == "adam":
        return Adam(leaves, lr=recipe.lr, eps=recipe.adam_eps, weight_decay=decay)
    if recipe.optimizer == "adamw":
        return AdamW(leaves, lr=recipe.lr, eps=recipe.adam_eps, weight_decay=decay)
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
