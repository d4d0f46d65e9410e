"""Settings that change features and are not in the file: read from log.txt, or asked for by name.

There are no defaults here: a value that is guessed gives features that are quietly wrong.
"""

from collections.abc import Sequence

from ncscope.errors import CheckpointError
from ncscope.zoo.settings import Settings


def needed(settings: Settings, name: str, *, what: str, like: str) -> str:
    """The setting as it stands in log.txt or was given by `--setting`.

    Args:
        name: dotted, as in log.txt: `TRAINER.COOP.TL`.
        what: it decides, for the message.
        like: an example of a value.

    Raises:
        CheckpointError: nothing says it.
    """
    value = settings.logged.get(name, "")
    if not value:
        raise CheckpointError(
            f"{settings.where}: {settings.method} needs {what}, which is not in the file, and "
            f"there is no log.txt that says {name}; give it: --setting {name}=VALUE (such as "
            f"{like})"
        )
    return value


def needed_number(
    settings: Settings, name: str, *, what: str, like: str, among: Sequence[int] | None = None
) -> float:
    """The same as a number, one of `among` where there are only so many.

    Raises:
        CheckpointError: nothing says it, or it is no such number.
    """
    text = needed(settings, name, what=what, like=like)
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not abs(value) < 1e6 or (among is not None and value not in among):
        wanted = f"a whole number in {min(among)}..{max(among)}" if among else "a number"
        raise CheckpointError(
            f"{settings.where}: {name} is {text!r}; expected {wanted}, {what} of {settings.method}"
        )
    return value
