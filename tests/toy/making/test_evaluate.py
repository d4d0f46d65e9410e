import pytest
import torch

from ncscope.toy.making.evaluate import measure_row, suite, table
from ncscope.toy.tasks import TASKS


def test_perfectly_collapsed_features_give_the_closed_form():
    text = torch.eye(4, dtype=torch.float64)
    labels = torch.arange(4).repeat_interleave(3)
    row = measure_row("frames", text, text[labels], labels)
    assert (row.classes, row.chance) == (4, 25.0)
    assert (row.zero_shot, row.base, row.new) == (100.0, 100.0, 100.0)
    assert (row.gap, row.delta_mid, row.delta_mid_centred) == (0.0, 0.0, 0.0)
    assert row.delta_lcd == pytest.approx(1 / 3, abs=1e-4)
    assert row.delta_lcd_centred == pytest.approx(0, abs=1e-4)


def test_base_and_new_are_decided_within_their_half():
    text = torch.eye(4, dtype=torch.float64)
    labels = torch.tensor([0, 1, 2, 3])
    # every image looks most like a class of the other half, and second most like its own
    image = torch.nn.functional.normalize(text + 2 * text.roll(2, dims=0))
    row = measure_row("swapped", text, image, labels)
    assert (row.zero_shot, row.base, row.new) == (0.0, 100.0, 100.0)


def test_an_odd_number_of_classes_has_one_more_base_class():
    text = torch.eye(5, dtype=torch.float64)
    labels = torch.arange(5)
    image = text.clone()
    image[2] = text[3]  # a base image that looks like a new class; nothing says which base class
    row = measure_row("odd", text, image + 0.1 * text[0], labels)
    assert row.base == pytest.approx(200 / 3, abs=1e-3)
    assert row.new == 100.0


def test_the_suite_holds_every_task_and_asked_for_the_domains():
    assert suite() == list(TASKS)
    assert suite(domains=True)[len(TASKS) :] == [
        f"{task}@{style}"
        for task in ("shapes", "source")
        for style in ("cartoon", "sketch", "night")
    ]


def test_the_table_has_a_line_a_task():
    text = torch.eye(4, dtype=torch.float64)
    row = measure_row("frames", text, text, torch.arange(4))
    lines = table([row, row]).splitlines()
    assert len(lines) == 4
    assert lines[2].startswith("| frames | 4 | 25.0 | 100.0 | 100.0 / 100.0 |")
