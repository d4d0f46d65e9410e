"""Parts 1 (d) and 3 of docs/real-study.md: what training does, and which measure goes with it.

    python benchmarks/real_runs.py table FOLDER ...           # of real-train, real-train-adapters
    python benchmarks/real_runs.py between ROOT FOLDER ...    # ROOT of benchmarks/real_tasks.py

`table` prints base / new / H and their differences to the same method's cross-entropy, run by run,
with 95 % of a bootstrap of tasks. `between` prints ρ over the runs of one task at tau 0.06, each
column standardised within its task, the tasks drawn anew. `ncscope compare` has both in full.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from real_observe import MEASURES, table

from ncscope import metrics
from ncscope.comparison.correlation import Estimate, correlate
from ncscope.comparison.paired import paired
from ncscope.comparison.read import find_files, read_outcomes
from ncscope.diagnosis.outcome import Outcome
from ncscope.metrics import harmonic_mean

TAUS = (1.0, 0.25, 0.06)
BETWEEN = {  # in the order of the table
    name: MEASURES[name]
    for name in (
        "Δ LCD, raw", "Δ LCD, centred", "ETF distance, text, centred", "effective rank, text",
        "Δ MID, raw", "Δ MID, centred", "modality gap", "NC3",
    )
}  # fmt: skip
LOSSES = {"logit-adjusted": "logit adjustment", "balanced-softmax": "balanced softmax"}


def outcomes(folders: Sequence[str]) -> list[Outcome]:
    """Every run's outcome on the task that it was trained on."""
    return [one for one in read_outcomes(find_files(folders)) if one.trained_on is not None]


def method(one: Outcome) -> str:
    return one.name.partition("+")[0]


def term(one: Outcome) -> str:
    """What was added to cross-entropy, or took its place."""
    said = one.settings
    if said.get("regulariser") == "cpt":
        return "CPT's losses"
    found = []
    for key, name in (("lcd", "Δ LCD"), ("mid", "Δ MID")):
        weight = said.get(f"{key}_weight")
        if isinstance(weight, float) and weight:
            found.append(f"{name} {said.get(f'{key}_form')} {weight:g}")
    words = " + ".join(found).replace("_", " ")
    if found:
        return f"{words}, centred" if said.get("centred") else words
    return LOSSES.get(str(said.get("loss")), "cross-entropy")


def scores(one: Outcome) -> dict[str, float]:
    known = {name: one.accuracy[name] for name in ("base", "new") if name in one.accuracy}
    if len(known) == 2:
        known["H"] = harmonic_mean(known["base"], known["new"])
    return known


def training(folders: Sequence[str]) -> None:
    """Rows of methods and terms; H decides where there is one, else base."""
    runs: dict[tuple[str, str, float], dict[tuple[str, int], dict[str, float]]] = {}
    for one in outcomes(folders):
        key = method(one), term(one), float(one.tau or 0)
        runs.setdefault(key, {})[one.data, one.seed or 0] = scores(one)
    for name in dict.fromkeys(key[0] for key in runs):
        rows = []
        for words in dict.fromkeys(key[1] for key in runs if key[0] == name):
            row = [words]
            for tau in TAUS:
                found, plain = (
                    runs.get((name, kind, tau), {}) for kind in (words, "cross-entropy")
                )
                row += [mean_of(found), "" if words == "cross-entropy" else change(found, plain)]
            rows.append(row)
        own = [scored for key, held in runs.items() if key[0] == name for scored in held.values()]
        parts = "base / new / H, ΔH" if "H" in own[0] else "base"
        heads = [word for tau in TAUS for word in (f"tau {tau:g}", "Δ")]
        table(f"{name}: {parts}", ["", *heads], sorted(rows, key=lambda r: r[0] != "cross-entropy"))


def mean_of(found: dict[tuple[str, int], dict[str, float]]) -> str:
    if not found:
        return ""
    names = next(iter(found.values()))
    shown = " / ".join(f"{100 * np.mean([one[n] for one in found.values()]):.1f}" for n in names)
    return shown if len(found) == 30 else f"{shown} (n = {len(found)})"


def change(
    found: dict[tuple[str, int], dict[str, float]], plain: dict[tuple[str, int], dict[str, float]]
) -> str:
    """The mean difference of pairs of one task and seed, bold where its interval leaves out 0."""
    both = sorted(found.keys() & plain.keys())
    if not both:
        return ""
    last = list(found[both[0]])[-1]
    differences = [100 * (found[pair][last] - plain[pair][last]) for pair in both]
    said = paired(differences, [pair[0] for pair in both])
    assert said.mean is not None
    if said.low is None or said.high is None:
        return shown(said.mean, 0.0, 0.0, 1)
    return shown(said.mean, said.low, said.high, 1)


def shown(value: float, low: float, high: float, digits: int) -> str:
    sure = "**" if low > 0 or high < 0 else ""
    words = f"{sure}{value:+.{digits}f}{sure} [{low:+.{digits}f}, {high:+.{digits}f}]"
    return words.replace("-", "−")


def between(root: Path, folders: Sequence[str]) -> None:
    """Runs of text-side methods on one task; images that measure are test images, or training's."""
    runs = [one for one in outcomes(folders) if one.tau == 0.06 and "clip" not in method(one)]
    runs = [one for one in runs if "tip" not in method(one)]
    rows = []
    for name, (key, image) in BETWEEN.items():
        row = [name]
        for split, target in (("base", "base"), ("base", "new"), ("new", "new")):
            values = [one.measures.get(split, {}).get(key) for one in runs]
            row.append(rho(runs, values, target))
        of_others = [of_training(one, root, name) for one in runs] if image else []
        rows.append([*row, rho(runs, of_others, "base") if image else ""])
    table(
        f"ρ between {len(runs)} runs of {len({one.data for one in runs})} tasks, tau 0.06",
        ["measure", "base, with base", "base, with new", "new, with new",
         "base by training images, with base"],
        rows,
    )  # fmt: skip


def rho(runs: Sequence[Outcome], values: Sequence[float | None], target: str) -> str:
    accuracy = [one.accuracy.get(target) for one in runs]
    found = zip(values, accuracy, [one.data for one in runs], strict=True)
    kept = [(v, a, d) for v, a, d in found if v is not None and a is not None]
    if not kept:
        return ""
    said: Estimate = correlate(*zip(*kept, strict=True)).pooled_spearman
    if said.value is None or said.low is None or said.high is None:
        return "–"
    return shown(said.value, said.low, said.high, 2)


def of_training(one: Outcome, root: Path, name: str) -> float | None:
    """A measure of a run's text and its task's draw of four images, none of which is tested on."""
    stored = Path(one.file).parent / "features-base.npz"
    task = np.load(root / Path(one.data).parent.name / Path(one.data).name)
    text = torch.nn.functional.normalize(torch.from_numpy(np.load(stored)["text"]).double(), dim=-1)
    kept = task["label_train"] < len(text)
    image = torch.nn.functional.normalize(
        torch.from_numpy(task["image_train"][kept]).double(), dim=-1
    )
    label = torch.from_numpy(task["label_train"][kept])
    means = torch.stack([image[label == k].mean(dim=0) for k in range(len(text))])
    if name == "modality gap":
        return float(metrics.modality_gap(text, means))
    if name == "NC3":
        return float(metrics.self_duality(text, means, centred=True))
    return float(metrics.delta_mid(text, means, centred=name.endswith("centred")))


if __name__ == "__main__":
    if sys.argv[1] == "table":
        training(sys.argv[2:])
    else:
        between(Path(sys.argv[2]), sys.argv[3:])
