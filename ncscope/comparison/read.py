"""Finds and reads metrics.json files of `analyze` and `tune` as outcomes, checking as it goes."""

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from ncscope.diagnosis.outcome import SETTINGS, Outcome, data_identity, without_seed
from ncscope.errors import DataError
from ncscope.opening import once_each, read_text

_SPLITS = ("base", "new", "all")
_BY_MORE = ("tip-adapter-f",)  # its cache decides, too: a run's top-1 is of CLIP's features alone


def find_files(paths: Iterable[str | Path]) -> list[Path]:
    """The files given, and every metrics.json at any depth of the folders given, each once.

    Raises:
        DataError: a path that is not there, or a folder without a metrics.json.
    """
    found: dict[Path, Path] = {}
    for path in map(Path, paths):
        if path.is_dir():
            inside = [top / "metrics.json" for top, names in _walked(path)
                      if "metrics.json" in names]  # fmt: skip
            if not inside:
                raise DataError(f"{path}: no metrics.json in it, at any depth; run `ncscope tune` "
                                f"or `ncscope analyze` first")  # fmt: skip
        elif path.is_file():
            inside = [path]
        else:
            raise DataError(f"{path}: no such file or folder")
        for file in sorted(inside):
            found.setdefault(file.resolve(), file)
    if not found:
        raise DataError("nothing to compare: give folders of runs, or their metrics.json")
    return list(found.values())


def _walked(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Every folder below, through links too, each once, with the names of its files."""
    seen: set[str] = set()
    for top, inside, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(top)
        if real in seen:
            inside.clear()
        else:
            seen.add(real)
            yield Path(top), names


def read_outcomes(files: Sequence[Path], *, before: bool = False) -> list[Outcome]:
    """Every run in the files, one outcome for each data set it was tested on.

    Args:
        before: also what tuning started from, as rows of their own ("maple before").

    Raises:
        DataError: a file that is no metrics.json, naming file and key.
    """
    return [outcome for file in files for outcome in _outcomes(file, before=before)]


def _outcomes(file: Path, *, before: bool) -> list[Outcome]:
    body = _parse_object(file)
    runs = body.get("runs")
    if body.get("format") != 1 or not isinstance(runs, list):
        raise DataError(f"{file}: not a metrics.json of ncscope: expected format 1 with a list "
                        f"`runs`, found format {body.get('format')!r}")  # fmt: skip
    tune = body.get("tune")
    if tune is not None and not isinstance(tune, dict):
        _wrong(file, "tune", "an object", tune)
    by_path = set() if tune is not None else _alike(runs, file)
    outcomes: dict[tuple[str, ...], dict[str, Any]] = {}
    for place, run in enumerate(runs):
        where = f"runs[{place}]"
        if not isinstance(run, dict):
            _wrong(file, where, "an object", run)
        if tune is None:
            facts = _plain(run, file, where, by_path=_method(run) in by_path)
        else:
            facts = _tuned(tune, runs[0], run, file, where)
        if facts["stage"] == "before" and not before:
            continue
        if tune is None and "stage" in run:  # a copy, as `demo` writes of the runs beside it
            continue
        key = _row_of(facts)
        held = outcomes.setdefault(key, {**facts, "accuracy": {}, "measures": {}})
        split = facts["split"]
        if split in held["measures"]:
            raise DataError(f"{file}: {where} is a second run of {facts['name']} on "
                            f"{facts['data']}, split {split}")  # fmt: skip
        held["measures"][split] = _numbers(run, file, where)
        told = _inside(run, "summary", "accuracy", "top1")
        top1 = _share(told, file, f"{where}.summary.accuracy.top1")
        if top1 is not None:
            held["accuracy"][split] = top1
    if tune is not None:
        _fill(outcomes, tune, file)
    return [Outcome(**{k: v for k, v in held.items() if k not in ("stage", "split")})
            for held in outcomes.values() if held["accuracy"] or held["measures"]]  # fmt: skip


def _plain(run: Mapping[str, Any], file: Path, where: str, *, by_path: bool) -> dict[str, Any]:
    """Facts of a run of `analyze`, which is named by its method where its log said which it is.

    Args:
        by_path: name it by its path, as runs are that method and settings do not tell apart.
    """
    source = str(run.get("source") or "features")
    split, backbone = (_inside(run, *keys) for keys in (
        ("provenance", "split"), ("provenance", "learner", "backbone", "name")))  # fmt: skip
    data = data_identity(str(run.get("data") or "features"))
    name, seed = without_seed(source, data)
    settings: dict[str, Any] = {"backbone": backbone} if isinstance(backbone, str) else {}
    method, tau = _method(run), None
    if method is not None:
        told = run["run"]
        lines = told.get("settings")
        lines = lines if isinstance(lines, dict) else {}
        settings |= {key: value for key, value in lines.items() if _is_setting(key, value)}
        seed = told.get("seed") if isinstance(told.get("seed"), int) else seed
        tau = lines.get("tau") if isinstance(lines.get("tau"), float) else None
        name = name if by_path else method
    return {
        "name": name, "trained_on": None, "trained_split": None, "data": data, "seed": seed,
        "tau": tau, "realised_tau": None, "stage": "after", "settings": settings,
        "split": _split(split or run.get("split") or "all", file, where), "file": str(file),
    }  # fmt: skip


def _method(run: object) -> str | None:
    """The method of a run whose log was read with it."""
    found = _inside(run, "run", "method")
    return found if isinstance(found, str) else None


def _is_setting(key: str, value: object) -> bool:
    known = key in SETTINGS or "." in key  # ours, or a line of a log
    return known and isinstance(value, str | int | float)


def _row_of(facts: Mapping[str, Any]) -> tuple[str, ...]:
    """What one outcome has of its splits in common."""
    settings = sorted((key, str(value)) for key, value in facts["settings"].items())
    return facts["name"], facts["data"], str(facts["seed"]), str(facts["tau"]), str(settings)


def _alike(runs: Sequence[object], file: Path) -> set[str]:
    """Methods of which two runs differ in nothing that their logs tell."""
    found: dict[tuple[str, ...], str | None] = {}
    alike = set()
    for place, run in enumerate(runs):
        if isinstance(run, dict) and (method := _method(run)) is not None:
            facts = _plain(run, file, f"runs[{place}]", by_path=False)
            key = (*_row_of(facts), facts["split"])
            if key in found:
                alike.add(method)
            found[key] = method
    return alike


def _tuned(
    tune: Mapping[str, Any],
    first: Mapping[str, Any],
    run: Mapping[str, Any],
    file: Path,
    where: str,
) -> dict[str, Any]:
    """Facts of a run of a tuning; its `first` run is on the data that were trained on.

    That run's name of the data is taken, not the user's: so it is of data tested on elsewhere.
    """
    name, source = tune.get("name") or tune.get("method"), tune.get("data")
    if not isinstance(name, str):
        _wrong(file, "tune.name", "a text", name)
    if not isinstance(source, str):
        _wrong(file, "tune.data", "a text", source)
    stage = run.get("stage", "after")
    if stage not in ("before", "after"):
        _wrong(file, f"{where}.stage", "before or after", stage)
    seed = tune.get("seed")
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
        _wrong(file, "tune.seed", "a whole number", seed)
    settings = {key: tune.get(key) for key in SETTINGS}
    if isinstance(settings["cpt_weights"], list):
        settings["cpt_weights"] = "/".join(map(str, settings["cpt_weights"]))
    # A list of images is a file for each data set and seed: all of them are one row.
    settings["few_shot"] = "drawn" if settings["few_shot"] is None else "listed"
    for key, value in settings.items():
        if value is not None and not isinstance(value, (str, int, float)):
            _wrong(file, f"tune.{key}", "a text or a number", value)
        if key.endswith("_weight"):
            settings[key] = _number(value, file, f"tune.{key}")
    if tune.get("split") is not None:
        _split(tune["split"], file, "tune")
    return {
        "name": f"{name} before" if stage == "before" else name,
        "trained_on": data_identity(str(first.get("data") or source)),
        "trained_split": tune.get("split"),
        "data": data_identity(str(run.get("data") or source)),
        "seed": seed, "tau": _number(tune.get("tau"), file, "tune.tau"),
        "realised_tau": _number(tune.get("realised_tau"), file, "tune.realised_tau"),
        "settings": settings, "stage": stage, "file": str(file),
        "split": _split(run.get("split") or "all", file, where),
    }  # fmt: skip


def _fill(outcomes: Mapping[tuple[str, ...], dict[str, Any]], tune: Mapping[str, Any], file: Path
          ) -> None:  # fmt: skip
    """Accuracies that `tune` states and no run does; a disagreement is refused."""
    for held in outcomes.values():
        if held["data"] != held["trained_on"]:
            continue
        key = "accuracy" if held["stage"] == "after" else "before"
        for split in _SPLITS:
            told = _share(_inside(tune, key, split), file, f"tune.{key}.{split}")
            if told is None:
                continue
            if tune.get("method") in _BY_MORE:
                held["accuracy"][split] = told
                continue
            found = held["accuracy"].setdefault(split, told)
            if abs(found - told) > 1e-3:
                raise DataError(f"{file}: tune.{key}.{split} is {told:.4f}, but the run of that "
                                f"split has top1 = {found:.4f}")  # fmt: skip


def _numbers(run: Mapping[str, Any], file: Path, where: str) -> dict[str, float]:
    """The flat measures that are defined; those of the summary where there are no others."""
    measures = run.get("measures", {})
    if not isinstance(measures, dict):
        _wrong(file, f"{where}.measures", "an object", measures)
    named = ((name, _number(value, file, f"{where}.measures.{name}"))
             for name, value in measures.items())  # fmt: skip
    return {name: value for name, value in named if value is not None}


def _parse_object(file: Path) -> dict[str, Any]:
    """The object that a file holds as strict JSON.

    Raises:
        DataError: a file that cannot be read or is no JSON object.
    """
    try:
        body = json.loads(read_text(file), parse_constant=_no_constant, object_pairs_hook=once_each)
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file}: not JSON ({type(error).__name__}: {error})") from None
    if not isinstance(body, dict):
        raise DataError(f"{file}: not a metrics.json of ncscope: expected an object")
    return body


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number that metrics.json may hold")


def _inside(value: object, *keys: str) -> Any:
    """What lies under nested keys, or None."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _split(value: object, file: Path, where: str) -> str:
    if value not in _SPLITS:
        _wrong(file, f"{where}.split", "base, new or all", value)
    return str(value)


def _share(value: object, file: Path, key: str) -> float | None:
    """A number in [0, 1], or None."""
    found = _number(value, file, key)
    if found is not None and not 0 <= found <= 1:
        _wrong(file, key, "a share in [0, 1]", value)
    return found


def _number(value: object, file: Path, key: str) -> float | None:
    """A finite number, or None."""
    if value is None:
        return None
    try:
        if not isinstance(value, bool) and isinstance(value, (int, float)) and math.isfinite(value):
            return float(value)
    except OverflowError:  # a whole number beyond the range of floats
        pass
    _wrong(file, key, "a number or null", value)


def _wrong(file: Path, key: str, wanted: str, found: object) -> NoReturn:
    """Refuse a field: which, what was wanted, what was found."""
    shown = repr(found)
    shown = shown if len(shown) <= 60 else shown[:59] + "…"
    raise DataError(f"{file}: {key} must be {wanted}; found {shown}")
