"""From the gradients of the objective's terms, each by itself or summed up, to moved prompts.

Also the optimiser of a run.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

from ncscope.errors import DataError
from ncscope.tuning.losses import without_conflict
from ncscope.tuning.objective import REGULARISERS
from ncscope.tuning.values import OPTIMIZERS, Recipe

Term = tuple[float, Tensor]  # weight and value


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


class Optimiser:
    """SGD with momentum, Adam or AdamW: torch's own functions, and their state by leaf.

    torch's classes would import its compiler with the first step, which takes as long as torch.
    """

    def __init__(self, recipe: Recipe, leaves: list[Tensor]) -> None:
        if recipe.optimizer not in OPTIMIZERS:
            raise DataError(
                f"`optimizer` is {recipe.optimizer!r}; expected one of {', '.join(OPTIMIZERS)}"
            )
        self.recipe, self.leaves = recipe, leaves
        self.state: list[dict[str, Tensor]] = [{} for _ in leaves]

    @torch.no_grad()
    def step(self, gradients: list[Tensor], lr: float) -> None:
        """Move the leaves along the gradients at a learning rate."""
        if self.recipe.optimizer == "sgd":
            self._sgd(gradients, lr)
        else:
            self._adam(gradients, lr)

    def _sgd(self, gradients: list[Tensor], lr: float) -> None:
        momenta = [state.get("momentum_buffer") for state in self.state]
        sgd(
            self.leaves, gradients, momenta, weight_decay=self.recipe.weight_decay,
            momentum=self.recipe.momentum, lr=lr, dampening=0, nesterov=False, maximize=False,
        )  # fmt: skip
        for state, momentum in zip(self.state, momenta, strict=True):
            if momentum is not None:
                state["momentum_buffer"] = momentum

    def _adam(self, gradients: list[Tensor], lr: float) -> None:
        for state, leaf in zip(self.state, self.leaves, strict=True):
            if not state:
                state |= {"step": torch.tensor(0.0)}
                state |= {name: torch.zeros_like(leaf) for name in ("exp_avg", "exp_avg_sq")}
        move = adam if self.recipe.optimizer == "adam" else adamw
        means, squares, steps = (
            [state[name] for state in self.state] for name in ("exp_avg", "exp_avg_sq", "step")
        )
        move(
            self.leaves, gradients, means, squares, [], steps, amsgrad=False, beta1=0.9,
            beta2=0.999, lr=lr, weight_decay=self.recipe.weight_decay, eps=self.recipe.adam_eps,
            maximize=False,
        )  # fmt: skip

    def tensors(self) -> dict[str, Tensor]:
        """Momenta and step counts by `optimiser.NUMBER.NAME`."""
        return {
            f"optimiser.{number}.{name}": value.detach().clone()
            for number, state in enumerate(self.state)
            for name, value in state.items()
        }

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take up what `tensors` gave."""
        for key, value in tensors.items():
            if key.startswith("optimiser."):
                _, number, name = key.split(".")
                leaf = self.leaves[int(number)]
                kept = value.float() if name == "step" else value.to(leaf).view_as(leaf)
                self.state[int(number)][name] = kept.clone()
