"""Options that were given and that nothing reads: said by name, since silence looks like effect."""

from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any

import typer
from typer.core import TyperCommand

from ncscope_cli.processes import first
from ncscope_cli.terminal import say

CHECKPOINTS = (
    "class_token_position", "condition", "image_feature", "transform", "residual_scale",
    "adapter_scale", "teacher", "teacher_backbone", "base", "method", "load_epoch", "setting",
    "learner",
)  # fmt: skip
# of `analyze`: how images and texts become features
EXTRACTION = (
    "data", "data_root", "classnames", "template", "descriptions", "backbone", "pretrained",
    "trust_backbone", "data_name", "device", "precision", "batch_size", "workers",
    "cache", *CHECKPOINTS,
)  # fmt: skip


_RUNNING: ContextVar[Any] = ContextVar("the parser's context of the verb that runs", default=None)


def say_unused(names: Iterable[str], why: str) -> None:
    """A line for each of these options that was given: it has no effect, and why."""
    context = _RUNNING.get()
    if context is None or not first():  # None: the function is called from Python
        return
    spelt = {param.name: param.opts[0] for param in context.command.params}
    for name in names:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            say(f"warning: {spelt[name]} has no effect {why}", name="")


def refuse_empty(args: list[str]) -> None:
    """Refuse an option whose value is no text at all, as an unset variable of a shell leaves it.

    As a path it would be the current folder.

    Raises:
        BadParameter: names the option.
    """
    for before, word in zip(["", *args], args, strict=False):
        option, sign, value = word.partition("=")
        if option.startswith("--") and sign and not value:
            name = option
        elif not word:
            name = before.partition("=")[0] if before.startswith("-") else "an argument"
        else:
            continue
        if name != "--ctx-init":  # no words to begin with
            raise typer.BadParameter(f"{name} is empty; expected a value, or leave it out")


class Verb(TyperCommand):
    """A command that takes no empty value, and knows what of its options was given."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        refuse_empty(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        token = _RUNNING.set(ctx)
        try:
            return super().invoke(ctx)
        finally:
            _RUNNING.reset(token)
