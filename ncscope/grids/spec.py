"""A grid of tuning runs, read from a TOML file: every combination, each with its name.

    [grid]                      # a run for each combination
    method = ["maple"]
    data = ["toy:shapes", "toy:fish"]
    tau = [1.0, 0.05]
    seed = [1, 2, 3]
    weights = [{}, {lcd_weight = 0.1, mid_weight = 1.0}]
    [fixed]                     # what all of them share
    recipe = "toy"
    [about]                     # words for people, as `ncscope sweep --list` shows them
    makes = "Figure 5"

Keys are the options of `ncscope tune`, with `_` for `-`. `weights` and `variants` are lists of
tables of options that go together; `{root}` in a text is the folder of the data.
"""

import hashlib
import itertools
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ncscope.errors import DataError
from ncscope.grids.spec_values import OF_TABLES, Option, checked

_IN_NAMES = ("lcd_weight", "mid_weight")
_ABOUT = ("makes", "time", "then")
_ROOT = "{root}"


@dataclass(frozen=True)
class Planned:
    """One run of a grid: the name of its folder, and its options."""

    name: str
    options: Mapping[str, Option]

    def arguments(self) -> list[str]:
        """What follows `ncscope tune` on the command line, without --out."""
        found = [str(self.options["method"])]
        for key, value in self.options.items():
            flag = f"--{key.replace('_', '-')}"
            if isinstance(value, bool):
                found += [flag] if value else []
            elif isinstance(value, list):
                found += [part for item in value for part in (flag, item)]
            elif key != "method":
                found.append(f"{flag}={value}")  # one word: a value may begin with a dash
        return found


def read_about(path: str | Path) -> dict[str, str]:
    """What a grid says of itself: `makes`, `time` it takes, and what to do `then`.

    Raises:
        DataError: other keys, or values that are no texts.
    """
    path = Path(path)
    return _about(_toml(path), path)


def _about(body: Mapping[str, Any], path: Path) -> dict[str, str]:
    found = _table(body.get("about", {}), path, "about")
    for key, value in found.items():
        if key not in _ABOUT or not isinstance(value, str):
            raise DataError(f"{path}: about.{key} must be a text, and one of {', '.join(_ABOUT)}")
    return found


def read_spec(path: str | Path, *, root: str | Path | None = None) -> list[Planned]:
    """The runs of a TOML file, in the order of its keys, the last key varying fastest.

    Args:
        root: what `{root}` stands for. It is no part of a run's name: elsewhere it is the same run.

    Raises:
        DataError: a file that is no such grid; the offending key is named.
    """
    path = Path(path)
    body = _toml(path)
    for key in body:
        if key not in ("grid", "fixed", "about"):
            raise DataError(f"{path}: {key}: no table of a grid; those are grid, fixed and about")
    _about(body, path)
    grid, fixed = (_table(body.get(key, {}), path, key) for key in ("grid", "fixed"))
    axes: list[list[dict[str, Option]]] = []
    for key, values in grid.items():
        listed = values if isinstance(values, list) else [values]
        if not listed:
            raise DataError(f"{path}: grid.{key}: an empty list makes no run")
        if key in OF_TABLES:
            where = f"grid.{key}"
            axes.append([checked(_table(v, path, where), path, where) for v in listed])
        else:
            axes.append([checked({key: value}, path, "grid") for value in listed])
    for key in OF_TABLES:
        if key in fixed:
            raise DataError(f"{path}: fixed.{key}: its tables make a run each, in [grid]; what all "
                            f"share is said by the options themselves")  # fmt: skip
    shared = checked(fixed, path, "fixed")
    runs = [_merged([*choice, shared], path) for choice in itertools.product(*axes)]
    _check_once(runs, path)
    return [Planned(run.name, _rooted(run.options, root, path)) for run in runs]


def _check_once(runs: Sequence[Planned], path: Path) -> None:
    """A weight of 0 is the same as none."""
    seen: dict[str, str] = {}
    for run in runs:
        kept = {k: v for k, v in run.options.items() if k not in _IN_NAMES or v != 0}
        key = json.dumps(kept, sort_keys=True)
        if key in seen:
            why = "a list repeats a value" if seen[key] == run.name else "a weight of 0 is none"
            raise DataError(f"{path}: the same run comes twice: {seen[key]}; {why}")
        seen[key] = run.name


def _rooted(
    options: Mapping[str, Option], root: str | Path | None, path: Path
) -> dict[str, Option]:
    def put(text: str) -> str:
        if root is None and _ROOT in text:
            raise DataError(f"{path}: {text}: name the folder of the data sets by --root DIR")
        return text.replace(_ROOT, str(root))

    return {
        key: put(value) if isinstance(value, str)
        else [put(item) for item in value] if isinstance(value, list)
        else value
        for key, value in options.items()
    }  # fmt: skip


def _merged(parts: list[dict[str, Option]], path: Path) -> Planned:
    options: dict[str, Option] = {}
    for part in parts:
        for key, value in part.items():
            if key in options:
                raise DataError(f"{path}: {key}: given twice, in two of the grid's parts")
            options[key] = value
    for key in ("method", "data"):
        if key not in options:
            raise DataError(f"{path}: grid.{key} is missing; every run needs one")
    return Planned(run_name(options), options)


def run_name(options: Mapping[str, Option]) -> str:
    """A folder's name: what people look for, and a digest of every option.

    The digest keeps a run apart from one whose other options were changed in the file since.
    """
    digest = hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:8]
    parts = [str(options["method"]), _named(str(options["data"]))]
    parts += [f"{key}{_short(options[key])}" for key in ("tau", "seed") if key in options]
    parts += [f"{key[:3]}{_short(options[key])}" for key in _IN_NAMES if options.get(key)]
    readable = re.sub(r"[^\w.@+=-]+", "_", "-".join(parts), flags=re.ASCII)[:100].strip("_.-")
    return f"{readable}-{digest}"


def _short(number: Option) -> str:
    return str(number) if isinstance(number, int) else f"{number:g}"


def _named(data: str) -> str:
    return data.removeprefix("toy:").removesuffix(f":{_ROOT}")


def _table(value: object, path: Path, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DataError(f"{path}: {where} must be a table of options; found {value!r}")
    return value


def _toml(path: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib  # pyright: ignore[reportMissingImports]
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not TOML ({error})") from None
