"""What is to be measured of a folder of runs: on which data each, by its log, and what cannot be.

A source's inputs are a digest of all that its numbers come from; a run whose inputs are those of
one measured before is not measured again.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any

from ncscope.checkpoint.inspect import Inspection, inspect
from ncscope.checkpoint.run_facts import RunFacts, run_facts
from ncscope.checkpoint.runs import find_runs
from ncscope.clip.backbone import Backbone
from ncscope.data.known import name_of_known, parse_known
from ncscope.errors import CheckpointError, DataError, NcscopeError
from ncscope.features.sources import is_toy, open_data
from ncscope.opening import open_regular
from ncscope.writing import __version__
from ncscope.zoo.load import method_to_load
from ncscope.zoo.settings import LearnerOptions

ZERO_SHOT = "zero-shot"


@dataclass(frozen=True)
class Task:
    """A source on a half of a data set's classes; `facts` are None of zero-shot."""

    source: str
    data: str
    split: str
    backbone: str | None  # that its file or log names
    inputs: str
    facts: RunFacts | None = None

    @property
    def group(self) -> tuple[str, str, str | None]:
        """Tasks of one group are on the same images, with the same backbone."""
        return self.data, self.split, self.backbone


@dataclass(frozen=True)
class Plan:
    """Tasks in the order of their groups, zero-shot first; what is left out; what to say of it."""

    tasks: tuple[Task, ...]
    left_out: tuple[dict[str, str], ...]
    notes: tuple[str, ...]


def plan_folder(
    sources: Sequence[str | Path],
    *,
    data_root: str | Path | None,
    split: str | None,
    part: str | None,
    options: LearnerOptions,
    conditions: Mapping[str, Any],
) -> Plan:
    """Look at every run below the sources, which are folders, checkpoints and `zero-shot`.

    Args:
        data_root: the folder that holds the data sets, in CoOp's layout; None where logs name toy
            tasks.
        split: base, new or all of every run; None takes the classes that a run was trained on.
        conditions: all else that the numbers depend on.

    Raises:
        CheckpointError: a folder without a checkpoint below it.
    """
    paths, notes = list[Path](), list[str]()
    for source in sources:
        if str(source) != ZERO_SHOT:
            found = find_runs(source)
            paths += found.paths
            notes += found.notes
    if not paths:
        raise CheckpointError(f"`{ZERO_SHOT}` alone names no data; name a folder of runs beside it")
    tasks, left_out, digests = list[Task](), list[dict[str, str]](), dict[tuple[str, str], str]()
    for path in dict.fromkeys(paths):
        try:
            seen = inspect(path, method=options.method, epoch=options.load_epoch)
            method_to_load(seen)
            facts = run_facts(seen)
            data = data_of(facts, data_root)
            taken = split or facts.trained_split or "all"
            images = _images_digest(data, taken, part, digests)
        except NcscopeError as error:
            left_out.append({"source": str(path), "reason": str(error)})
            continue
        inputs = _digest([*_files(seen), data, taken, images, conditions])
        tasks.append(Task(str(path), data, taken, facts.backbone, inputs, facts))
    if any(str(source) == ZERO_SHOT for source in sources):
        for data, taken, backbone in dict.fromkeys(task.group for task in tasks):
            inputs = _digest([backbone, data, taken, digests.get((data, taken)), conditions])
            tasks.append(Task(ZERO_SHOT, data, taken, backbone, inputs))
    groups = list(dict.fromkeys(task.group for task in tasks))
    tasks.sort(key=lambda one: (groups.index(one.group), one.facts is not None))
    return Plan(tuple(tasks), tuple(left_out), tuple(notes))


def data_of(facts: RunFacts, root: str | Path | None) -> str:
    """DATA for the data set that a run's log names.

    Raises:
        DataError: no log names it, it is none of the known ones, or there is no root.
    """
    named = facts.dataset
    if named is None:
        raise DataError(
            f"{facts.file}: no log.txt tells its data set; measure it by itself, with --data"
        )
    if is_toy(named):
        return named
    known = parse_known(named)  # ours have eurosat:/data, Dassl's EuroSAT
    try:
        name = known[0].name if known else name_of_known(named)
    except DataError:
        raise DataError(
            f"{facts.file}: its log names the data set {named!r}, none that --data-root can find; "
            f"measure it by itself, with --data"
        ) from None
    if root is None:
        raise DataError(
            f"{facts.file}: its log names the data set {name}; say where the data sets lie: "
            f"--data-root"
        )
    return f"{name}:{root}"


def _images_digest(
    data: str, split: str, part: str | None, known: dict[tuple[str, str], str]
) -> str:
    """A digest of the list of images; a toy's come with the version."""
    if is_toy(data):
        return __version__
    if (data, split) not in known:
        known[data, split] = open_data(data, part=part, split=split).digest
    return known[data, split]


def _files(seen: Inspection) -> list[str]:
    """Digests of the files that a run is read from."""
    located = seen.located
    return [_file_digest(path) for path in (located.path, *located.companions, *located.logs)]


def _file_digest(path: Path) -> str:
    found = hashlib.sha256()
    with open_regular(path) as file:
        while block := file.read(2**20):
            found.update(block)
    return found.hexdigest()


def _digest(values: object) -> str:
    return hashlib.sha256(
        json.dumps([__version__, _plain(values)], sort_keys=True).encode()
    ).hexdigest()


def _plain(value: Any) -> Any:
    """A value for a digest; files and folders by size and time of change, models by their own."""
    if isinstance(value, Backbone):
        return value.digest
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(one) for one in value]
    if isinstance(value, str | Path):
        return [str(value), *_stamp(str(value))]
    return value if isinstance(value, int | float | None) else repr(value)


def _stamp(name: str) -> list[object]:
    try:
        path = Path(name)
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        found = [(file.name, file.stat()) for file in files if file.is_file()]
    except (OSError, ValueError):  # no path at all
        return []
    return [[file, told.st_size, told.st_mtime_ns] for file, told in found]
