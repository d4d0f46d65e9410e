"""A run that is trained longer than it was begun for: `--resume --extend --epochs MORE`.

The cosine of the learning rate has the length of all epochs (Dassl's schedule), so a longer run is
another one from its second epoch on. What was trained stays as it is; the epochs that are added
take the rates that a run of the new length has in them, which begin higher than the last ones were.
That is said, and kept in config.json: such a run is not a run of the new length.
"""

from typing import Any

from ncscope.errors import CheckpointError
from ncscope.tuning.losses import epoch_weights
from ncscope.tuning.recipe import learning_rate
from ncscope.tuning.values import Recipe

KEY = "extended_from"  # of a configuration: for each time [epochs the run was for, epochs done]


def check_longer(known: dict[str, Any], wanted: dict[str, Any], where: object) -> None:
    """Refuse to extend a run to no more epochs than it is for.

    Raises:
        CheckpointError: names both.
    """
    if not known.get("epochs", 0) < wanted.get("epochs", 0):
        raise CheckpointError(
            f"{where}: the run there is of {known.get('epochs')} epochs, and --extend is asked for "
            f"{wanted.get('epochs')}; expected --epochs of more"
        )


def history(known: dict[str, Any], epochs: int, done: int) -> list[list[int]]:
    """How often a run was extended: what its state knows, and this time if there is one."""
    past = [list(one) for one in known.get(KEY, ())]
    before = int(known.get("epochs", epochs))
    return past if before == epochs else [*past, [before, done]]


def said(past: list[list[int]], recipe: Recipe) -> tuple[str, ...]:
    """What there is to say of a run that was extended; nothing of another."""
    if not past:
        return ()
    before, done = past[-1]
    old = learning_rate(_of(recipe, before), max(done - 1, 0))
    return (
        f"the run was begun for {before} epochs and goes on to {recipe.epochs}: epochs {done + 1} "
        f"to {recipe.epochs} take the learning rates of a cosine of {recipe.epochs} epochs, from "
        f"{learning_rate(recipe, done):.3g} on, where epoch {done} had {old:.3g}; it is no run of "
        f"{recipe.epochs} epochs from the start",
    )


def _of(recipe: Recipe, epochs: int) -> Recipe:
    return Recipe(
        recipe.lr, recipe.batch_size, epochs,
        warmup_epochs=recipe.warmup_epochs, warmup_lr=recipe.warmup_lr,
    )  # fmt: skip


def average_factor(before: int, recipe: Recipe) -> float:
    """What a sum weighted for `before` epochs is multiplied by to be one for the recipe's.

    PromptSRC's weights of both lengths differ by their sum alone: the ratio is that of any epoch,
    taken where the old weight is largest.
    """
    old = epoch_weights(before, *recipe.gpa)
    new = epoch_weights(recipe.epochs, *recipe.gpa)
    at = max(range(before), key=old.__getitem__)
    return new[at] / old[at]
