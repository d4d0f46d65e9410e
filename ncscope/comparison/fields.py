"""Fields of a JSON file not to be trusted: right type and range, or a line that says where."""

import json
import math
from pathlib import Path
from typing import Any, NoReturn

from ncscope.errors import DataError


def share(value: object, file: Path, key: str) -> float | None:
    """A number in [0, 1], or None."""
    found = number(value, file, key)
    if found is not None and not 0 <= found <= 1:
        wrong(file, key, "a share in [0, 1]", value)
    return found


def number(value: object, file: Path, key: str) -> float | None:
    """A finite number, or None."""
    if value is None:
        return None
    try:
        if not isinstance(value, bool) and isinstance(value, (int, float)) and math.isfinite(value):
            return float(value)
    except OverflowError:  # a whole number beyond the range of floats
        pass
    wrong(file, key, "a number or null", value)


def wrong(file: Path, key: str, wanted: str, found: object) -> NoReturn:
    """Refuse a field: which, what was wanted, what was found."""
    shown = repr(found)
    shown = shown if len(shown) <= 60 else shown[:59] + "…"
    raise DataError(f"{file}: {key} must be {wanted}; found {shown}")


def parse_object(file: Path) -> dict[str, Any]:
    """The object that a file holds as strict JSON.

    Raises:
        DataError: a file that cannot be read or is no JSON object.
    """
    try:
        body = json.loads(file.read_text(encoding="utf-8"), parse_constant=_no_constant)
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file}: not JSON ({type(error).__name__}: {error})") from None
    if not isinstance(body, dict):
        raise DataError(f"{file}: not a metrics.json of ncscope: expected an object")
    return body


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number that metrics.json may hold")
