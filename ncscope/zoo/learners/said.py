"""What a run says of itself in log.txt, or the caller in its place: used or refused, never guessed.

`settings.logged` holds the values by dotted name (`TRAINER.MMRL.REP_LAYERS`); those that the caller
gives (`--setting NAME=VALUE`) stand in place of the log's.
"""

import math

from ncscope.clip.prompts import known_data
from ncscope.errors import CheckpointError
from ncscope.zoo.settings import Settings


def said(settings: Settings, *names: str) -> str | None:
    """The first of these settings that has a value."""
    return next((value for name in names if (value := settings.logged.get(name))), None)


def said_number(settings: Settings, *names: str) -> float | None:
    """The first of these settings that has a value, a finite number.

    Raises:
        CheckpointError: the value is no number.
    """
    text = said(settings, *names)
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        name = next(name for name in names if settings.logged.get(name))
        raise CheckpointError(
            f"{settings.where}: the run's {name} is {text!r}; expected a number; say it: "
            f"--setting {name}=NUMBER"
        )
    return value


def unsaid(settings: Settings, what: str, name: str, value: str) -> CheckpointError:
    """The error of a fact that is neither in the file nor in a log.txt.

    Args:
        name: the setting that says it; `value` is how its values look.
    """
    return CheckpointError(
        f"{settings.where}: {what} is not in the file, and no log.txt says it; give it: "
        f"--setting {name}={value}"
    )


def trained_on(settings: Settings) -> str | None:
    """The data set of the run by log.txt, spelt as its authors do where it is a known one."""
    name = settings.run.get("dataset")
    return known_data(name) or name


def meant(settings: Settings) -> str | None:
    """The data set that features are wanted for: the caller's, else that of the run."""
    return known_data(settings.data_name) or settings.data_name


def elsewhere(settings: Settings) -> bool:
    """Whether features are wanted for another data set than the one that the run names."""
    own, wanted = trained_on(settings), meant(settings)
    return own is not None and wanted is not None and own != wanted
