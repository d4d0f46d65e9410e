"""The values of a grid's options: which there are, of what kind, and within which bounds.

A wrong value is told before anything is started, not by the log of every run that has it.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ncscope.errors import DataError
from ncscope.tuning.recipe import METHODS, RECIPES

Option = str | int | float | bool | list[str]
# The options of `ncscope tune` that decide its result, and what they take.
OPTIONS: dict[str, type] = {
    "method": str, "data": str, "split": str, "shots": int, "tau": float, "seed": int,
    "class_order": str, "recipe": str, "epochs": int, "batch_size": int, "lr": float,
    "optimizer": str, "views": str, "ctx": int, "ctx_vision": int, "ctx_init": str, "depth": int,
    "csc": bool, "class_token_position": str, "loss": str, "adjustment": float, "sampler": str,
    "regulariser": str, "lcd_weight": float, "lcd_form": str, "mid_weight": float,
    "mid_form": str, "centred": bool, "relative_weights": bool, "eval_every": int,
    "log_every": int, "target": list, "accumulate": int, "backbone": str, "pretrained": str,
    "template": str, "device": str, "precision": str, "workers": int, "trust_backbone": bool,
    "test_part": str, "anchor": str, "cpt_clusters": int, "few_shot": str,
}  # fmt: skip
OF_TABLES = ("weights", "variants")
_KINDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false",
          list: "a list of texts"}  # fmt: skip
_FROM_1 = ("epochs", "accumulate", "ctx", "ctx_vision", "depth", "cpt_clusters")
_FROM_0 = (
    "shots", "batch_size", "eval_every", "log_every", "workers", "lcd_weight", "mid_weight"
)  # fmt: skip


def checked(table: Mapping[str, Any], path: Path, where: str) -> dict[str, Option]:
    """The options of a table, numbers as the option has them.

    Raises:
        DataError: no such option, or no such value of it, by its key.
    """
    found: dict[str, Option] = {}
    for key, value in table.items():
        kind = OPTIONS.get(key)
        if kind is None:
            raise DataError(f"{path}: {where}.{key}: not an option of ncscope tune; there are "
                            f"{', '.join(OPTIONS)}")  # fmt: skip
        if kind is not list and isinstance(value, list):
            raise DataError(f"{path}: {where}.{key}: a list, of values for a run each, is for "
                            f"[grid]; expected {_KINDS[kind]}")  # fmt: skip
        option = _converted(kind, value, key)
        wanted = _KINDS[kind] if option is None else _wanted(key, option)
        if option is None or wanted:
            raise DataError(f"{path}: {where}.{key} must be {wanted}; found {_shown(value)}")
        found[key] = option
    return found


def _converted(kind: type, value: Any, key: str) -> Option | None:
    """The value as the option has it; None where it is of another kind."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    if kind is int:
        return value if whole else None
    if kind is float and whole:
        try:
            return float(value)
        except OverflowError:
            return math.inf
    if key == "views" and whole:  # a number, or `online`
        return str(value)
    if kind is list and isinstance(value, list):
        return value if all(isinstance(item, str) for item in value) else None
    return value if isinstance(value, kind) else None


def _wanted(key: str, value: Option) -> str:
    """What was expected instead of this value; empty where it will do."""
    if any("\0" in text for text in (value if isinstance(value, list) else [value])
           if isinstance(text, str)):  # fmt: skip
        return "a text without a NUL character"
    if key == "views" and value != "online" and not (str(value).isdecimal() and int(str(value))):
        return "a number of 1 or more, or online"
    if key == "recipe" and value not in RECIPES:
        return f"one of {', '.join(RECIPES)}"
    if key == "method" and value not in METHODS and not Path(str(value)).exists():
        return f"one of {', '.join(METHODS)}, or a checkpoint"
    if isinstance(value, str | list):
        return ""
    if isinstance(value, float) and not math.isfinite(value):
        return "a finite number"
    if key == "seed" and not 0 <= value < 2**32:
        return "0 to 2^32 - 1"
    if key == "tau" and not 0 < value <= 1:
        return "above 0, and 1 at most"
    if key == "lr" and value <= 0:
        return "above 0"
    least = 1 if key in _FROM_1 else 0
    return f"{least} or more" if key in (*_FROM_1, *_FROM_0) and value < least else ""


def _shown(value: object) -> str:
    """On one line, and not all of what is very long."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
