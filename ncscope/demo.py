"""The demo: zero-shot, CoOp and MaPLe, each with and without NPT, balanced and long-tailed.

On one task of the embedded toy suite, offline. It is a toy, and says so: one seed, one task, and
no claim about CLIP.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ncscope.diagnosis.against import with_reference
from ncscope.diagnosis.measure import Run, measure
from ncscope.page.report import Report
from ncscope.toy.model import load_toy_clip
from ncscope.tuning.tune import Tuned, tune

TASK = "toy:colours"
TAUS = (1.0, 0.06)
WEIGHTS = {"lcd_weight": 0.1, "mid_weight": 1.0}
METHODS = ("coop", "maple")

Progress = Callable[[str], object] | None


@dataclass(frozen=True)
class Row:
    """One line of the demo's table; accuracies in per cent, measures on the base classes."""

    name: str
    tau: float | None
    base: float
    new: float
    h: float
    tail: float
    delta_lcd: tuple[float, float]  # raw, centred
    delta_mid: tuple[float, float]


@dataclass(frozen=True, eq=False)
class Demo:
    """The rows and the report; run folders lie below the demo's folder."""

    rows: tuple[Row, ...]
    report: Report


def run_demo(
    folder: str | Path | None = None, *, progress: Progress = None, bootstrap: int | None = 50
) -> Demo:
    """Train and measure all eight runs; `progress` gets the name of each as it begins.

    A demo that was cut short goes on where it was.
    """
    clip = load_toy_clip()
    runs: list[Run] = []
    rows: list[Row] = []
    for tau in TAUS:
        for method in METHODS:
            for npt in (False, True):
                name = f"{method}+npt" if npt else method
                if progress is not None:
                    progress(f"{name}, tau {tau:g}")
                out = None if folder is None else Path(folder) / f"{name}-tau{tau:g}"
                weights = WEIGHTS if npt else {}
                tuned = tune(
                    method,
                    data=TASK,
                    out=out,
                    tau=tau,
                    recipe="toy",
                    backbone=clip,
                    log_every=0,
                    bootstrap=bootstrap,
                    resume=out is not None,
                    lcd_weight=weights.get("lcd_weight", 0.0),
                    mid_weight=weights.get("mid_weight", 0.0),
                )
                if not rows:
                    rows.append(_row("zero-shot", None, tuned, stage="before"))
                    runs.append(_named("zero-shot", tuned, stage="before"))
                rows.append(_row(name, tau, tuned, stage="after"))
                runs.append(_named(f"{name}, tau {tau:g}", tuned, stage="after"))
    return Demo(
        tuple(rows), Report(tuple(with_reference(runs, [row.name for row in rows], measure)))
    )


def table(rows: tuple[Row, ...]) -> str:
    """The rows as aligned text."""
    cells = [
        ["", "tau", "base", "new", "H", "tail", "delta_lcd", "centred", "delta_mid", "centred"]
    ]
    for row in rows:
        shares = [f"{value:.1f}" for value in (row.base, row.new, row.h, row.tail)]
        measures = [f"{value:.3f}" for value in (*row.delta_lcd, *row.delta_mid)]
        tau = "–" if row.tau is None else f"{row.tau:g}"
        cells.append([row.name, tau, *shares, *measures])
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    lines = []
    for line in cells:
        rest = [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        lines.append("  ".join([line[0].ljust(widths[0]), *rest]).rstrip())
    return "\n".join(lines)


def _on_base(tuned: Tuned, stage: str) -> Run:
    return next(
        run
        for run in tuned.report.runs
        if (run.record["stage"], run.record["split"]) == (stage, "base")
    )


def _named(name: str, tuned: Tuned, *, stage: str) -> Run:
    run = _on_base(tuned, stage)
    return replace(run, record={**run.record, "source": name})


def _row(name: str, tau: float | None, tuned: Tuned, *, stage: str) -> Row:
    found = tuned.record["accuracy" if stage == "after" else "before"]
    summary = _on_base(tuned, stage).record["summary"]
    lcd, mid = summary["delta_lcd"], summary["delta_mid"]
    base, new, h, tail = (100 * found[key] for key in ("base", "new", "h", "tail"))
    return Row(
        name,
        tau,
        base,
        new,
        h,
        tail,
        (lcd["raw"], lcd["centred"]),
        (mid["raw"], mid["centred"]),
    )
