import pytest

from ncscope.data.classes import select_classes
from ncscope.toy.images import toy_images
from ncscope.toy.tasks import TASKS, granularity, task_lines


@pytest.mark.parametrize(("task", "line"), [*zip(TASKS.values(), task_lines()[1:-1], strict=True)])
def test_a_line_says_classes_halves_granularity_and_template(task, line):
    assert line.startswith(f"toy:{task.name} ")
    for said in (str(len(task.classes)), granularity(task), task.template, task.classnames[0]):
        assert said in line


def test_the_halves_are_those_that_split_takes():
    images = toy_images("places", per_class=1)
    base, new = (len(select_classes(images, split).classnames) for split in ("base", "new"))
    assert f"{base} + {new}" in next(line for line in task_lines() if "toy:places" in line)


def test_the_last_line_names_the_other_domains():
    assert task_lines()[-1].endswith("toy:NAME@cartoon, @sketch, @night are others.")


@pytest.mark.parametrize(
    ("task", "said"),
    [("shapes", "shape"), ("counts", "count + shape"), ("fish", "colour + texture, one shape")],
)
def test_granularity_is_the_factors_in_which_classes_differ(task, said):
    assert granularity(TASKS[task]) == said
