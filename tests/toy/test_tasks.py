import pytest

from ncscope.data.classes import select_classes
from ncscope.errors import DataError
from ncscope.toy.images import toy_images
from ncscope.toy.tasks import TASKS, find_task, granularity, task_lines
from ncscope.toy.world import FACTORS, unseen_colour, unseen_texture


def test_there_is_a_suite_with_a_large_source():
    assert len(TASKS) >= 7
    assert len(TASKS["source"].classes) >= 60
    assert all(len(task.classes) >= 12 for task in TASKS.values())


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_classes_have_different_names_and_different_scenes(task):
    assert len(set(task.classnames)) == len(task.classes)
    fixed = [tuple(sorted(factors.items())) for factors in task.classes.values()]
    assert len(set(fixed)) == len(fixed)


@pytest.mark.parametrize("task", TASKS.values(), ids=TASKS)
def test_classes_fix_known_values_and_the_template_has_one_place(task):
    assert task.template.count("{}") == 1
    for factors in task.classes.values():
        for factor, value in factors.items():
            assert 0 <= value < len(FACTORS[factor])


@pytest.mark.parametrize("name", ["colshape", "texshape"])
def test_the_pairs_of_the_novel_tasks_were_never_seen(name):
    for factors in TASKS[name].classes.values():
        if "colour" in factors:
            assert unseen_colour(factors["colour"], factors["shape"])  # type: ignore[arg-type]
        else:
            assert unseen_texture(factors["texture"], factors["shape"])  # type: ignore[arg-type]


def test_the_pairs_of_the_source_were_seen():
    for factors in TASKS["source"].classes.values():
        assert not unseen_colour(factors["colour"], factors["shape"])  # type: ignore[arg-type]


def test_class_order_is_shuffled_and_fixed():
    assert TASKS["colours"].classnames != FACTORS["colour"]
    assert TASKS["colours"].classnames[:3] == ("purple", "brown", "black")


def test_names_describe_their_classes():
    assert "three stars" in TASKS["counts"].classes
    assert "one fish" in TASKS["counts"].classes
    assert "heart on the left" in TASKS["places"].classes
    assert "red striped fish" in TASKS["fish"].classes


@pytest.mark.parametrize(
    ("name", "found"),
    [("shapes", (TASKS["shapes"], None)), ("toy:fish@night", (TASKS["fish"], "night"))],
)
def test_a_task_is_found_by_name_and_domain(name, found):
    assert find_task(name) == found


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("toy:animals", "no toy task `animals`; there are shapes, colours"),
        ("shapes@oil", "no toy domain `oil`; there are photo, cartoon, sketch, night"),
        ("shapes@", "no toy domain ``"),
    ],
)
def test_an_unknown_task_or_domain_is_refused_with_the_known_ones(name, message):
    with pytest.raises(DataError, match=message):
        find_task(name)


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
