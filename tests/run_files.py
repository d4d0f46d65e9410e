"""Run folders as `tune` and `analyze` write them, with made-up numbers."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

TUNE = {
    "shots": 16, "class_order": "index", "loss": "ce", "regulariser": "none", "lcd_weight": 0.0,
    "lcd_form": "cosine", "mid_weight": 0.0, "mid_form": "push_pull", "centred": False,
    "relative_weights": False, "seconds": 1.5,
}  # fmt: skip


def run(
    data: str,
    split: str,
    top1: float | None,
    *,
    stage: str | None = "after",
    measures: dict[str, float | None] | None = None,
) -> dict[str, Any]:
    """One entry of `runs`; without a stage one of `analyze`."""
    found = {
        "source": "somewhere", "data": data, "split": split, "classes": 5,
        "samples": 10, "dim": 4, "summary": {"accuracy": {"top1": top1}},
        "measures": measures or {}, "provenance": {"split": split},
    }  # fmt: skip
    return found if stage is None else {**found, "stage": stage}


def tuned(
    folder: Path,
    name: str,
    data: str,
    *,
    seed: int = 1,
    tau: float = 1.0,
    base: float | None = None,
    new: float | None = None,
    others: dict[str, float] | None = None,
    split: str = "base",
    source: float | None = None,
    measures: dict[str, dict[str, float | None]] | None = None,
    before: tuple[float, float] | None = None,
    place: str | None = None,
    **settings: Any,
) -> Path:
    """A run folder of `tune`; returns its metrics.json."""
    found = measures or {}
    runs = [run(data, s, v, measures=found.get(s)) for s, v in (("base", base), ("new", new))
            if v is not None]  # fmt: skip
    if source is not None:
        runs.append(run(data, "all", source))
    runs += [run(other, "all", value) for other, value in (others or {}).items()]
    if before is not None:
        runs += [run(data, "base", before[0], stage="before"),
                 run(data, "new", before[1], stage="before")]  # fmt: skip
    tune = {**TUNE, "method": name.split("+")[0], "name": name, "data": data, "split": split,
            "tau": tau, "realised_tau": max(tau, 0.0625), "seed": seed, **settings,
            "accuracy": {"base": base, "new": new}}  # fmt: skip
    if before is not None:
        tune["before"] = {"base": before[0], "new": before[1]}
    where = place or f"{name}-{data.replace(':', '_')}-{tau}-{seed}-{len(list(folder.glob('*')))}"
    return write(folder / where, {"format": 1, "runs": runs, "tune": tune})


def analysed(folder: Path, source: str, data: str, **accuracy: float) -> Path:
    """A folder of `analyze`: one run a split."""
    runs = [{**run(data, split, value, stage=None), "source": source}
            for split, value in accuracy.items()]  # fmt: skip
    return write(folder, {"format": 1, "runs": runs})


def of_folder(
    folder: Path, rows: Sequence[tuple[str, str, int | None, dict[str, float]]], **settings: object
) -> Path:
    """A metrics.json of `analyze DIR`: method, data set, seed, and measures of the base classes."""
    runs = []
    for method, data, seed, measures in rows:
        facts = {"method": method, "dataset": data, "seed": seed, "settings": settings}
        source = f"output/{data}/{method}/seed{seed}"
        runs.append({
            **run(f"{data}:/d", "base", 0.5, stage=None, measures=dict(measures)),
            "source": "zero-shot" if method == "zero-shot" else source,
            "run": None if method == "zero-shot" else facts,
        })  # fmt: skip
    return write(folder, {"format": 1, "runs": runs})


def write(folder: Path, body: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "metrics.json"
    path.write_text(json.dumps(body), encoding="utf-8")
    return path
