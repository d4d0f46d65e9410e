"""The provenance in a feature file: JSON that is shown and written again, so it must be writable.

Anyone may have written it. JSON's readers take more than its writers give: NaN, numbers beyond
every range, halves of characters, lists nested a thousand deep. What the report relies on has a
kind; an entry of another kind is passed over and named.
"""

import json
import math
from collections.abc import Callable
from typing import Any

_DEEPEST = 32
_LARGEST = 2**63


def _is_text(value: object) -> bool:
    return value is None or isinstance(value, str)


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(entry, str) for entry in value)


def _is_table_of_texts(value: object) -> bool:
    return isinstance(value, dict) and all(map(_is_text, value.values()))


_KINDS: dict[str, tuple[str, Callable[[object], bool]]] = {
    **dict.fromkeys(("source", "data", "part", "split"), ("text", _is_text)),
    "warnings": ("a list of texts", _is_texts),
    "learner": ("an object", lambda value: isinstance(value, dict)),
    "content": ("an object of texts", _is_table_of_texts),
    "versions": ("an object of texts", _is_table_of_texts),
}


def read_provenance(text: str) -> tuple[dict[str, Any], str | None]:
    """What a file says of its origin, as far as it can be written again, and what was passed over.

    Never refuses: features are measured whatever is said of them.
    """
    try:
        found = json.loads(text)
        problem = _problem(found, 0)
    except (ValueError, RecursionError):
        found, problem = None, "is no JSON"
    if problem is not None or not isinstance(found, dict):
        return {}, f"its provenance {problem or 'is no JSON object'} and was passed over"
    other = [key for key, (_, fits) in _KINDS.items() if key in found and not fits(found[key])]
    kept = {key: value for key, value in found.items() if key not in other}
    if not other:
        return kept, None
    said = "; ".join(f"`{key}` is not {_KINDS[key][0]}" for key in other)
    return kept, f"in its provenance {said}, and was passed over"


def _problem(value: object, depth: int) -> str | None:
    """Why a value cannot be written as JSON in UTF-8, or None."""
    if depth > _DEEPEST:
        return f"is nested more than {_DEEPEST} deep"
    if isinstance(value, str):
        whole = not any("\ud800" <= letter <= "\udfff" for letter in value)
        return None if whole else "holds half a character"
    if isinstance(value, float):
        return None if math.isfinite(value) else "holds NaN or infinity"
    if isinstance(value, int):
        return None if abs(value) < _LARGEST else "holds a number beyond 64 bits"
    inside = [*value, *value.values()] if isinstance(value, dict) else value
    if isinstance(inside, list):
        return next(filter(None, (_problem(entry, depth + 1) for entry in inside)), None)
    return None
