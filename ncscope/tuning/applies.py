"""Which options of a prompt which methods have, so that none is passed over in silence."""

from collections.abc import Mapping

from ncscope.errors import DataError
from ncscope.tuning.recipe import METHODS

_WRITTEN = ("coop", "kgcoop", "prograd")
_DEEP = ("ivlp", "maple", "promptsrc")
_TEXT = (*_WRITTEN, "cocoop", "tcp", *_DEEP)
TAKEN_BY: dict[str, tuple[str, ...]] = {
    "ctx": _TEXT,
    "ctx_init": _TEXT,
    "ctx_vision": ("vpt", "ivlp", "promptsrc"),
    "depth": ("vpt", *_DEEP),
    "csc": _WRITTEN,
    "class_token_position": _WRITTEN,
}


def check_applies(method: str, said: Mapping[str, object]) -> None:
    """Refuse an option that the method does not have.

    Args:
        method: its name, or a checkpoint, whose prompts are as they are.
        said: options by name; None and False are not said.

    Raises:
        DataError: names the option and the methods that have it.
    """
    for name, methods in TAKEN_BY.items():
        if said.get(name) in (None, False) or method in methods:
            continue
        if method not in METHODS:
            raise DataError(
                f"`{name}` has no effect on {method!r}: no method has this name, and a "
                f"checkpoint's prompts are as they are"
            )
        raise DataError(f"`{name}` has no effect on {method}; it is for {', '.join(methods)}")
