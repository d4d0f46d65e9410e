"""The tables of recipes: the doc is what the recipes are, and the help stars those in force."""

from pathlib import Path

from ncscope.tuning.published import PUBLISHED_RECIPES
from ncscope.tuning.recipe import AUTHORS, IN_FORCE
from ncscope.tuning.recipe_table import document, help_table

ROOT = Path(__file__).parents[2]


def test_the_doc_holds_the_table_that_is_made_of_the_recipes():
    assert document() in (ROOT / "docs/recipes.md").read_text(encoding="utf-8")


def test_every_recipe_names_a_repository_and_a_file_or_says_that_there_is_none():
    for name, found in PUBLISHED_RECIPES.items():
        repository, _, files = found.source.partition(": ")
        assert found.source.startswith("none") or "/" in repository, name
        assert files.count("/") or repository == "none", name
        assert f"`{name}`: {found.source}" in document()


def test_the_help_stars_one_recipe_a_method_and_brackets_what_changes():
    rows = {line.split()[0]: line.split()[1:] for line in help_table().splitlines()[1:]}
    starred = {name.rstrip("*") for name in rows if name.endswith("*")}
    assert starred == set(IN_FORCE["authors"].values())
    assert len(starred) == len(AUTHORS)
    assert rows["coop-b2n*"][2] == "[200]"
    assert rows["coop-cross"][2] == "50"
    assert rows["taskres-fewshot*"][0] == "[0.002]"
