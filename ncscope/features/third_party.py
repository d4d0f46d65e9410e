"""Somebody else's prompt learner: found by `module:Class`, called, and checked for its members.

Naming a module runs it. That is the caller's word, never a file's.
"""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.clip.prompts import PromptedClip
from ncscope.errors import CheckpointError, NcscopeError

LearnerClass = Callable[[str, Backbone | None], PromptedClip]
MEMBERS = tuple(name for name in vars(PromptedClip) if not name.startswith("_"))


def find_learner(name: str) -> LearnerClass:
    """The class that `module:Class` names, of an installed module or one in the current folder.

    Raises:
        CheckpointError: another form, no such module, one that fails, no such class in it.
    """
    module_name, _, class_name = name.partition(":")
    parts = [*module_name.split("."), class_name]
    if not all(part.isidentifier() for part in parts):
        raise CheckpointError(
            f"`learner` is {name!r}; expected MODULE:CLASS, such as my_package.my_learner:MyLearner"
        )
    module = _module(module_name)
    found: Any = getattr(module, class_name, None)
    if isinstance(found, type):
        return found
    if found is not None:
        raise CheckpointError(f"`learner` {name!r} is a {type(found).__name__}; expected a class")
    own = [
        n for n, v in vars(module).items() if isinstance(v, type) and v.__module__ == module_name
    ]
    raise CheckpointError(
        f"`learner` {name!r}: there is no {class_name} in {module_name}; its classes are "
        f"{', '.join(sorted(own)) or 'none'}"
    )


def make_learner(learner: LearnerClass, source: str, backbone: Backbone | None) -> PromptedClip:
    """Call a learner's class with SOURCE and the backbone (None: `auto`), and check what it gives.

    Raises:
        CheckpointError: the call fails, or gives something that lacks members.
    """
    name = getattr(learner, "__name__", type(learner).__name__)
    try:
        made = learner(source, backbone)
    except NcscopeError:
        raise
    except Exception as error:
        raise CheckpointError(
            f"{name}(source, backbone) failed for {source!r} ({_reason(error)})"
        ) from error
    check_learner(made)
    return made


def check_learner(learner: Any) -> None:
    """Refuse an object without the members of `ncscope.clip.prompts.PromptedClip`.

    Raises:
        CheckpointError: names all that are missing, or the first that is of another kind.
    """
    name = type(learner).__name__
    missing = [member for member in MEMBERS if not hasattr(learner, member)]
    if missing:
        raise CheckpointError(
            f"{name} lacks {', '.join(f'`{member}`' for member in missing)}; a learner has the "
            f"members of ncscope.clip.prompts.PromptedClip"
        )
    scale = learner.logit_scale
    for member, fits, wanted in (
        ("description", isinstance(learner.description, dict), "a dictionary"),
        ("image_digest", isinstance(learner.image_digest, str), "text"),
        ("logit_scale", isinstance(scale, Tensor) and scale.ndim == 0, "a tensor of shape ()"),
        ("preprocess", callable(learner.preprocess), "a function of an image"),
    ):
        if not fits:
            found = type(getattr(learner, member)).__name__
            raise CheckpointError(f"`{member}` of {name} is a {found}; expected {wanted}")


def _module(name: str) -> Any:
    """Import a module; the current folder comes last, so that nothing in it stands in for others.

    Raises:
        CheckpointError: there is none, or it fails.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # stays: worker processes import the module again
    try:
        return importlib.import_module(name)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}."):
            raise CheckpointError(
                f"`learner`: no module {name!r}, neither installed nor in the current folder"
            ) from None
        raise CheckpointError(f"`learner`: importing {name} failed ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    """An exception in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
