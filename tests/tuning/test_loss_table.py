"""The docs' table of measure and loss is made here; `python -m` of this file prints it."""

from pathlib import Path

import torch

from ncscope.tuning.npt import NPTLoss
from tests.tuning import rows
from tests.tuning.rows import CASES, COUNTS, Case
from tests.tuning.test_same_measure import REPORTED, measured, stepped

PAGE = Path(__file__).parents[2] / "docs" / "own-trainer.md"
START, END = "<!-- the table is made by tests/tuning -->", "<!-- end of the table -->"
FUNCTIONS = {
    ("lcd", "cosine"): "delta_lcd(power=2)",
    ("lcd", "frobenius"): 'delta_lcd(form="frobenius")',
    ("lcd", "anchored"): "anchored",
    ("lcd", "dispersion"): "−dispersion",
    ("lcd", "orthogonal"): "orthogonality",
    ("mid", "push_pull"): "push_pull",
    ("mid", "push_pull_linear"): 'push_pull(pull="linear")',
    ("mid", "align"): "delta_mid_batch",
    ("mid", "dot_regression"): "dot_regression",
    ("mid", "frobenius"): 'delta_mid(form="frobenius")',
    ("mid", "log"): "log_collapse",
    ("mid", "anchored"): "dot_regression, of the nearest ETF",
}


def table() -> str:
    """Both values of every form, of the same features, as Markdown."""
    sides = [f"{side}, {what}" for side in COUNTS for what in ("measure", "loss")]
    head = ["", "form", "rows", "in `ncscope.metrics`", "in `measures`", *sides]
    lines = [head, ["---"] * len(head)]
    for case in CASES:
        if case.by_image or case.counts != "balanced":
            continue
        name, sign = REPORTED.get((case.term, case.form), ("–", 1))
        name += ("centred" if case.centred else "raw") if name.endswith("/") else ""
        values = []
        for counts in COUNTS:
            one = Case(case.term, case.form, case.centred, counts)
            values += [f"{float(measured(one)[0]):.9f}", f"{in_ones_own_loop(one):.9f}"]
        lines.append(
            [
                "L_LC" if case.term == "lcd" else "L_MI",
                f"`{case.form}`",
                "centred" if case.centred else "raw",
                f"`{FUNCTIONS[case.term, case.form]}`",
                name if name == "–" else f"{'−' * (sign < 0)}`{name}`",
                *values,
            ]
        )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def in_ones_own_loop(case: Case) -> float:
    """The public loss of all images in a first step of training."""
    image, text = rows.tables(case.counts)
    weights = {f"{case.term}_weight": 1.0, f"{case.term}_form": case.form}
    return float(NPTLoss(centred=case.centred, **weights)(image, rows.labels_of(case.counts), text))


def test_the_table_in_the_docs_is_what_the_measures_and_the_losses_are():
    _, _, rest = PAGE.read_text().partition(START)
    assert rest.partition(END)[0].strip() == table()


def test_half_of_the_numbers_are_the_other_half():
    cells = [line.strip("| ").split(" | ") for line in table().splitlines()[2:]]
    assert len(cells) == 12 + 7  # forms, and those that are centred too
    assert all(line[5] == line[6] and line[7] == line[8] for line in cells)
    assert len({line[5] for line in cells}) == len(cells)  # no two are one


def test_a_step_of_training_has_the_numbers_of_the_table():
    for case in CASES:
        if not case.by_image:
            torch.testing.assert_close(
                float(stepped(case)[0]), in_ones_own_loop(case), rtol=0, atol=1e-12
            )


if __name__ == "__main__":
    print(table())
