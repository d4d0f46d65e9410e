"""A grid of tuning runs, from a TOML file or of those that come with the package.

Every combination of its options is a run with a name. A wrong value is told before anything is
started, not by the log of every run that has it.

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
import math
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ncscope.errors import DataError
from ncscope.opening import is_there, read_text
from ncscope.tuning.options import TuneOptions
from ncscope.tuning.recipe import ALL_METHODS, RECIPES, check_data
from ncscope.tuning.values import VIEWS

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
    "prograd_lambda": float, "knowledge_weight": float, "scl_text": float, "scl_image": float,
    "scl_logits": float, "gpa_mean": float, "gpa_std": float, "residual_scale": float,
    "adapter_ratio": float, "rank": int, "alpha": float, "beta": float,
}  # fmt: skip
MACHINE = ("backbone", "pretrained", "template", "device", "workers", "trust_backbone")
_OTHERS = (*MACHINE, "target", "eval_every", "log_every")  # options beside those of `TuneOptions`
FOLDER = Path(__file__).with_name("specs")
_OF_TABLES = ("weights", "variants")
_KINDS = {str: "a text", int: "a whole number", float: "a number", bool: "true or false",
          list: "a list of texts"}  # fmt: skip
_FROM_1 = ("epochs", "accumulate", "ctx", "ctx_vision", "depth", "rank", "cpt_clusters")
_FROM_0 = (
    "shots", "batch_size", "eval_every", "log_every", "workers", "lcd_weight", "mid_weight",
    "prograd_lambda", "knowledge_weight", "scl_text", "scl_image", "scl_logits", "gpa_mean",
    "gpa_std", "residual_scale", "adapter_ratio", "alpha", "beta",
)  # fmt: skip
_IN_NAMES = ("lcd_weight", "mid_weight")
MOST_RUNS = 20_000
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
        if key in _OF_TABLES:
            where = f"grid.{key}"
            axes.append([_checked(_table(v, path, where), path, where) for v in listed])
        else:
            axes.append([_checked({key: value}, path, "grid") for value in listed])
    for key in _OF_TABLES:
        if key in fixed:
            raise DataError(f"{path}: fixed.{key}: its tables make a run each, in [grid]; what all "
                            f"share is said by the options themselves")  # fmt: skip
    shared = _checked(fixed, path, "fixed")
    if (count := math.prod(map(len, axes))) > MOST_RUNS:
        raise DataError(
            f"{path}: {count} runs; expected at most {MOST_RUNS} of one grid: divide it"
        )
    runs = [_merged([*choice, shared], path) for choice in itertools.product(*axes)]
    _check_once(runs, path)
    return [Planned(run.name, _rooted(run.options, root, path)) for run in runs]


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
    run = Planned(run_name(options), options)
    try:
        check_data(tune_options(options).method, _on_features(str(options["data"])))
    except DataError as error:
        raise DataError(f"{path}: the run {run.name}: {error}") from None
    return run


def tune_options(options: Mapping[str, Option]) -> TuneOptions:
    """The options of a run that decide its result.

    Raises:
        DataError: they do not go together.
    """
    found: Any = {key: value for key, value in options.items() if key not in _OTHERS}
    if "shots" in found:
        found["shots"] = found["shots"] or None
    return TuneOptions(**found)


def _on_features(data: str) -> bool | None:
    """Whether the data are stored features, by their name alone; None where it does not say."""
    first = data.partition(",")[0]
    if Path(first).suffix in (".npz", ".safetensors"):
        return True
    return False if first.startswith("toy:") or Path(first).suffix in (".json", ".csv") else None


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


def run_name(options: Mapping[str, Option]) -> str:
    """A folder's name: what people look for, and a digest of every option.

    The digest keeps a run apart from one whose other options were changed in the file since.
    """
    digest = hashlib.sha256(json.dumps(options, sort_keys=True).encode()).hexdigest()[:8]
    data = str(options["data"]).removeprefix("toy:").removesuffix(f":{_ROOT}")
    parts = [str(options["method"]), data]
    parts += [f"{key}{_short(options[key])}" for key in ("tau", "seed") if key in options]
    parts += [f"{key[:3]}{_short(options[key])}" for key in _IN_NAMES if options.get(key)]
    readable = re.sub(r"[^\w.@+=-]+", "_", "-".join(parts), flags=re.ASCII)[:100].strip("_.-")
    return f"{readable}-{digest}"


def _short(number: Option) -> str:
    return str(number) if isinstance(number, int) else f"{number:g}"


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
        piped = path.parts[:2] in (("/", "dev"), ("/", "proc"))  # `<(...)` of a shell, `/dev/stdin`
        return tomllib.loads(path.read_text(encoding="utf-8") if piped else read_text(path))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not TOML ({error})") from None


def _checked(table: Mapping[str, Any], path: Path, where: str) -> dict[str, Option]:
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
    if key == "views" and value != "online" and not re.fullmatch(VIEWS, str(value)):
        return "a number of 1 to 9999, or online"
    if key == "recipe" and value not in RECIPES:
        return f"one of {', '.join(RECIPES)}"
    if key == "method" and value not in ALL_METHODS and not is_there(str(value)):
        return f"one of {', '.join(ALL_METHODS)}, or a checkpoint"
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


def ready_names() -> list[str]:
    """What `ncscope sweep NAME` takes beside a file of one's own."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def spec_path(name_or_file: str | Path) -> Path:
    """The file of a grid: one that comes with the package by its name, else a path.

    Raises:
        DataError: neither; the names are listed. Or it cannot be looked for.
    """
    names = ready_names()
    if str(name_or_file) in names:
        return FOLDER / f"{name_or_file}.toml"
    path = Path(name_or_file)
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"{path}: no such file, and no ready grid: {', '.join(names)}") from None
    except (OSError, ValueError) as error:  # no access, a name too long, or NUL in it
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"{str(path)[:100]}: cannot be read ({reason}); expected a TOML file or a ready grid"
        ) from None
    return path
