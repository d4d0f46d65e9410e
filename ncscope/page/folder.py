"""A folder of runs to records: each on the data set that its log names, one at a time, resumable.

Features are let go as soon as a run is measured, so that memory does not grow with the runs; each
record is on disk before the next run is taken up. Several processes take a run each, round by
round: so none waits for another longer than a run takes, and the first keeps the records.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ncscope.diagnosis.against import with_reference
from ncscope.diagnosis.equal import side_by_side
from ncscope.diagnosis.measure import Run, measure
from ncscope.diagnosis.run_table import run_rows, run_table
from ncscope.diagnosis.tables import write_csv, write_json, written_as
from ncscope.errors import DataError, NcscopeError
from ncscope.features.aligned import in_order_of
from ncscope.features.bundle import Features
from ncscope.features.cache import cache_folder
from ncscope.features.extract import extract
from ncscope.features.processes import ALONE, Spread, exchanged, of_first, own_device
from ncscope.features.sources import open_backbone
from ncscope.opening import read_text
from ncscope.page.analyze import with_interventions
from ncscope.page.folder_plan import ZERO_SHOT, Task, plan_folder
from ncscope.text import run_names
from ncscope.writing import make_folder, write_text
from ncscope.zoo.settings import LearnerOptions

_UNFINISHED = "unfinished.jsonl"


@dataclass(frozen=True, eq=False)
class FolderReport:
    """The records of a folder's runs, as metrics.json has them; `held` were measured before."""

    records: list[dict[str, Any]]
    left_out: tuple[dict[str, str], ...]
    held: int
    notes: tuple[str, ...]

    def table(self) -> str:
        """A row a run: what it is, and its headline numbers."""
        return run_table(self.records)

    def save(self, folder: str | Path, *, tables_as: Sequence[str] = ()) -> list[Path]:
        """Write metrics.json, metrics.csv, and the table in further formats (`csv`, `md`, `tex`).

        Raises:
            DataError: an unknown format, or a file that cannot be written.
        """
        folder = Path(folder)
        texts = {form: written_as(run_rows(self.records), form) for form in tables_as}
        make_folder(folder)
        written = [write_csv(self.records, folder / "metrics.csv")]
        for form, text in texts.items():
            make_folder(folder / "tables")
            written.append(write_text(folder / "tables" / f"runs.{form}", text))
        last = write_json(self.records, folder / "metrics.json", left_out=self.left_out)
        (folder / _UNFINISHED).unlink(missing_ok=True)
        return [last, *written]


def analyze_folder(
    *sources: str | Path,
    out: str | Path,
    data_root: str | Path | None = None,
    split: str | None = None,
    backbone: str | Path = "auto",
    options: LearnerOptions | None = None,
    bootstrap: int | None = None,
    seed: int | None = None,
    intervene: bool = False,
    strict: bool = False,
    progress: Callable[[str], Any] | None = None,
    left_out: Callable[[str], Any] | None = None,
    spread: Spread = ALONE,
    **extraction: Any,
) -> FolderReport:
    """Measure every run below folders, each on the data set and classes that its log names.

    What cannot be measured is left out with its reason. A run that `out` holds already, of the
    same files, images, options and version, is taken from there; one that was cut short goes on.

    Args:
        sources: folders, at any level above runs; checkpoints; and `zero-shot`, which is measured
            on every data set of theirs and is then what runs are compared with, image by image.
            Without it a run is compared with its own frozen text.
        out: where records are kept; `FolderReport.save` writes the files there.
        data_root: the folder that holds the data sets, in CoOp's layout.
        split: base, new or all of every run; None takes the classes that a run was trained on.
        backbone: of all; `auto` takes what each file or log names.
        bootstrap, seed: as for `measure`.
        intervene: also move the features along each measure.
        strict: one bad run ends all.
        progress, left_out: called with a line of text as a run is taken up, or left out.
        spread: from `joined`: the processes take different runs, and all get all records; the first
            keeps them, so let that one save the report.
        extraction: further arguments of `extract`.

    Raises:
        DataError: no run can be measured; a feature file, which has its data in it; processes that
            do not see the same runs.
        CheckpointError: a folder without a checkpoint below it.
        BackboneError: the backbone named cannot be loaded.
    """
    options = options or LearnerOptions()
    conditions = {
        "backbone": backbone, "options": options, "bootstrap": bootstrap, "seed": seed,
        "intervene": intervene,
        **{k: v for k, v in extraction.items() if k not in ("progress", "workers", "cache")},
    }  # fmt: skip
    plan = plan_folder(
        sources, data_root=data_root, split=split, part=extraction.get("part"), options=options,
        conditions=conditions,
    )  # fmt: skip
    bad = list(plan.left_out)
    for one in plan.left_out:
        _tell(left_out, f"{one['source']} is left out: {one['reason']}")
    if (strict and bad) or not plan.tasks:
        raise DataError(_none(bad))
    tasks = _of_all(plan.tasks, spread)
    if spread.first:
        make_folder(Path(out))
    kept = of_first(_records(Path(out)) if spread.first else None, spread)
    records = dict[str, dict[str, Any]]()
    extraction["device"] = own_device(extraction.get("device", "auto"), spread)
    measured = _Measuring(
        _Extraction(backbone, options, seed, extraction, replace(spread, rank=0, world=1)),
        bootstrap, seed or 0, intervene, extraction.get("skip_bad", False),
    )  # fmt: skip
    groups = {task.group for task in tasks if task.facts is None}  # that have zero-shot
    left = [task for task in tasks if task.inputs not in kept]
    for start in range(0, len(left), spread.world):
        taken = left[start : start + spread.world]
        for place, task in enumerate(taken, start + 1):
            _tell(progress, f"{place} of {len(left)}: {task.source} on {task.data}, {task.split}")
        own = None
        if spread.rank < len(taken):
            own = _attempt(measured, taken[spread.rank], taken, groups, strict=strict)
        for task, one in zip(taken, exchanged(own, spread), strict=False):
            if "reason" in one:
                if task.facts is None:
                    groups.discard(task.group)
                bad.append({"source": task.source, "reason": one["reason"]})
                _tell(left_out, f"{task.source} is left out: {one['reason']}")
                continue
            records[task.inputs] = one["record"]
            if spread.first:
                _keep(one["record"], Path(out) / _UNFINISHED)
    held = {t.inputs: kept[t.inputs] for t in tasks if t.inputs in kept}
    records |= held
    if not records:
        raise DataError(_none(bad))
    found = [records[task.inputs] for task in tasks if task.inputs in records]
    return FolderReport(found, tuple(bad), len(held), (*plan.notes, *_gone(kept, records)))


def _of_all(tasks: Sequence[Task], spread: Spread) -> list[Task]:
    """The tasks as the first process has them.

    Raises:
        DataError: another process has others.
    """
    said = [[task.source, *task.group, task.inputs] for task in tasks]
    told = of_first(said, spread)
    if [one[:-1] for one in told] != [one[:-1] for one in said]:
        raise DataError(
            f"process {spread.rank} sees {len(said)} runs, the first {len(told)}, or their logs "
            f"name other data; expected the same files on every machine"
        )
    return [replace(task, inputs=one[-1]) for task, one in zip(tasks, told, strict=True)]


def _attempt(
    measured: "_Measuring", task: Task, round_: Sequence[Task], groups: set[Any], *, strict: bool
) -> dict[str, Any]:
    """A task's record, or the reason why there is none, as one process tells it to the others."""
    zero_shot = task.group in groups
    try:
        if zero_shot and task.facts is not None and any(_is_reference(t, task) for t in round_):
            zero_shot = measured.has_reference(task)  # which another process finds out meanwhile
        return {"record": _as_record(measured(task, zero_shot=zero_shot), task)}
    except NcscopeError as error:
        if strict:
            raise
        return {"reason": str(error)}


def _is_reference(one: Task, task: Task) -> bool:
    return one.facts is None and one.group == task.group


def _tell(say: Callable[[str], Any] | None, line: str) -> None:
    if say is not None:
        say(line)


class _Measuring:
    """Measures a task beside zero-shot of its group, which is measured once and then let go."""

    def __init__(
        self, extraction: "_Extraction", bootstrap: int | None, seed: int, intervene: bool,
        skip_bad: bool,
    ) -> None:  # fmt: skip
        self.extraction, self.intervene, self.seed = extraction, intervene, seed
        self.skip_bad = skip_bad
        self.measured = partial(measure, bootstrap=bootstrap, seed=seed, skip_bad=skip_bad)
        self.zero_shot: tuple[object, Run] | None = None

    def __call__(self, task: Task, *, zero_shot: bool) -> dict[str, Any]:
        """The task's record, compared with zero-shot, or else with its own frozen text."""
        runs = [self._reference(task)] if zero_shot else []
        if task.facts is not None:
            features = self.extraction(task.source, task)
            if runs:
                order = runs[0].features.classnames
                features = in_order_of(features, order) or features
            runs.append(self.measured(features))
        if self.intervene:
            runs[-1] = with_interventions(runs[-1], None, True, self.seed)
        runs = side_by_side(runs, skip_bad=self.skip_bad)
        names = run_names([run.record for run in runs])
        return with_reference(runs, names, self.measured)[-1].record

    def has_reference(self, task: Task) -> bool:
        """Whether zero-shot can be measured on the task's images."""
        try:
            self._reference(task)
        except NcscopeError:
            return False
        return True

    def _reference(self, task: Task) -> Run:
        if self.zero_shot is None or self.zero_shot[0] != task.group:
            self.zero_shot = None  # let go before the next is made
            self.zero_shot = task.group, self.measured(self.extraction(ZERO_SHOT, task))
        return self.zero_shot[1]


class _Extraction:
    """Extraction with the backbone loaded once, when the first run needs it."""

    def __init__(
        self, backbone: str | Path, options: LearnerOptions, seed: int | None,
        further: Mapping[str, Any], alone: Spread,
    ) -> None:  # fmt: skip
        self.named, self.options, self.seed = backbone, options, seed
        self.further = {**further, "spread": alone}
        self.loaded: Any = None

    def __call__(self, source: str, task: Task) -> Features:
        own: dict[str, Any] = {"backbone": self._backbone(), **self.further}
        if source == ZERO_SHOT and str(self.named) == "auto" and task.backbone not in (None, "toy"):
            own |= {"backbone": task.backbone, "pretrained": "openai"}
        return extract(source, data=task.data, split=task.split, seed=self.seed,
                       options=self.options, **own)  # fmt: skip

    def _backbone(self) -> Any:
        if self.loaded is None and str(self.named) in ("auto", "checkpoint"):
            return self.named
        if self.loaded is None:
            taken = self.further
            self.loaded = open_backbone(
                self.named, pretrained=taken.pop("pretrained", None), seed=self.seed,
                device=taken.get("device", "auto"), precision=taken.get("precision", "fp32"),
                trust_backbone=taken.get("trust_backbone", False),
                cache_dir=cache_folder(taken.get("cache", "auto")),
            )  # fmt: skip
        return self.loaded


def _as_record(record: dict[str, Any], task: Task) -> dict[str, Any]:
    """The record with what the run is, and what its numbers come from."""
    run = None if task.facts is None else task.facts.to_json()
    provenance = {**record["provenance"], "inputs": task.inputs}
    return {**record, "split": task.split, "run": run, "provenance": provenance}


def _none(left_out: Sequence[Mapping[str, str]]) -> str:
    first = left_out[0]
    if len(left_out) == 1:
        return first["reason"]
    return f"{len(left_out)} runs cannot be measured; {first['source']}: {first['reason']}"


def _keep(record: Mapping[str, Any], path: Path) -> None:
    with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
        file.write(json.dumps(record, allow_nan=False, ensure_ascii=False) + "\n")


def _records(out: Path) -> dict[str, dict[str, Any]]:
    """Records that lie in the folder from before, by their inputs; what is damaged is not taken."""
    found: list[Any] = []
    for name in ("metrics.json", _UNFINISHED):
        try:
            text = read_text(out / name)
        except (OSError, UnicodeDecodeError):
            continue
        for line in [text] if name == "metrics.json" else text.splitlines():
            try:
                body = json.loads(line)
            except (ValueError, RecursionError):
                continue  # cut off as it was written
            runs = body.get("runs") if name == "metrics.json" and isinstance(body, dict) else [body]
            found += runs if isinstance(runs, list) else []
    kept = {}
    for record in found:
        provenance = record.get("provenance") if isinstance(record, dict) else None
        inputs = provenance.get("inputs") if isinstance(provenance, dict) else None
        if isinstance(inputs, str):
            kept[inputs] = record
    return kept


def _gone(kept: Mapping[str, Any], records: Mapping[str, Any]) -> list[str]:
    """What was measured before and is not among these runs."""
    gone = [record.get("source") for inputs, record in kept.items() if inputs not in records]
    if not gone:
        return []
    some = ", ".join(map(str, gone[:3])) + (", …" if len(gone) > 3 else "")
    return [
        f"{len(gone)} runs measured before are not among these, or have other inputs now, and "
        f"leave metrics.json: {some}"
    ]
