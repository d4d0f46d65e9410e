"""What values a stranger's JSON may have: each rule says what is expected and checks a value.

A configuration is taken key by key: sizes within limits, switches, and words of a few. `null`
stands for whatever a key has where it is not said.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ncscope.errors import BackboneError, brief
from ncscope.opening import once_each, read_bytes

MOST_CONFIG = 2**20  # bytes of a configuration

Rule = tuple[str, Callable[[object], bool]]  # what is expected, and whether a value is it


def whole(least: int, most: int) -> Rule:
    def fits(value: object) -> bool:
        return type(value) is int and least <= value <= most

    return f"a whole number in {least}..{most}", fits


def real(least: float, most: float) -> Rule:
    def fits(value: object) -> bool:
        return type(value) in (int, float) and least <= value <= most  # pyright: ignore

    return f"a number in {least:g}..{most:g}", fits  # NaN is in no range


def one_of(*words: str) -> Rule:
    return f"one of {', '.join(map(repr, words))}", lambda value: value in words


def list_of(count: int, rule: Rule) -> Rule:
    def fits(value: object) -> bool:
        return isinstance(value, list) and len(value) == count and all(map(rule[1], value))

    return f"a list of {count}, each {rule[0]}", fits


def either(first: Rule, second: Rule) -> Rule:
    return f"{first[0]}, or {second[0]}", lambda value: first[1](value) or second[1](value)


def table(rules: Mapping[str, Rule]) -> Rule:
    def fits(value: object) -> bool:
        return isinstance(value, dict) and all(
            key in rules and rules[key][1](entry) for key, entry in value.items()
        )

    return "an object of " + " and ".join(f"`{k}` ({rule[0]})" for k, rule in rules.items()), fits


SWITCH: Rule = "true or false", lambda value: isinstance(value, bool)
OBJECT: Rule = "an object", lambda value: isinstance(value, dict)


def read_json(path: Path, *, most: int = MOST_CONFIG) -> Any:
    """The value in a JSON file.

    Raises:
        BackboneError: it cannot be read, is larger than `most` bytes, or is no JSON.
    """
    try:
        return json.loads(read_bytes(path, most=most), object_pairs_hook=once_each)
    except OSError as error:
        raise BackboneError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise BackboneError(f"{path}: not readable as JSON ({error})") from None


def check_value(where: str, value: object, rule: Rule) -> None:
    """Refuse a value that is not what its rule says; `where` names file and key."""
    if value is not None and not rule[1](value):
        raise BackboneError(f"{where} is {brief(value)}; expected {rule[0]}")


def checked(
    place: str, entries: Mapping[str, Any], rules: Mapping[str, Rule], defaults: Mapping[str, Any]
) -> dict[str, Any]:
    """The values of the keys that have a rule, those not said by default; others are passed over.

    Args:
        place: what stands before a key in a refusal: "FILE: `section."

    Raises:
        BackboneError: a value that is not what its rule says.
    """
    for key in rules:
        check_value(f"{place}{key}`", entries.get(key), rules[key])
    said = {key: entries[key] for key in rules if entries.get(key) is not None}
    return {**defaults, **said}
