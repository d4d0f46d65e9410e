"""What `--help` promises: groups in one order, a line an option, examples that would run."""

import re
import shlex

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from ncscope_cli import help as layout
from ncscope_cli.main import app

GROUP = get_command(app)
WIDE = {"COLUMNS": "100", "TERMINAL_WIDTH": "100"}


def helped(*words, flag="-h"):
    result = CliRunner().invoke(app, [*words, flag], env=WIDE)
    assert result.exit_code == 0, result.output
    return result.stdout


def verb_of(name):
    return GROUP.get_command(None, name)  # pyright: ignore[reportAttributeAccessIssue]


def test_the_summaries_are_all_there_and_whole():
    words = " ".join(helped().split())
    for name, summary in layout.VERBS.items():
        assert f"{name} {summary}" in words


def test_an_unknown_verb_is_wrong_usage():
    assert CliRunner().invoke(app, ["analyse"]).exit_code == 2


@pytest.mark.parametrize("verb", layout.VERBS)
class TestOf:
    """The help of one verb."""

    def test_h_is_help(self, verb):
        assert helped(verb) == helped(verb, flag="--help")

    def test_options_stand_in_groups_in_one_order_those_of_single_methods_last(self, verb):
        known = [layout.SOURCE, layout.DATA, layout.BACKBONE, layout.TRAINING, layout.TERMS,
                 layout.MEASURES, layout.RUNNING, layout.OUTPUT, layout.METHOD]  # fmt: skip
        found = re.findall(r"^(\w.*):$", helped(verb), re.MULTILINE)
        assert found == [title for title in known if title in found]
        assert "Options" not in found

    def test_every_option_says_what_it_is_in_a_line_or_two(self, verb):
        for parameter in verb_of(verb).params:
            words = getattr(parameter, "help", None)
            assert words, parameter.name
            assert words.endswith(".") or "://" in words or words.endswith("..."), parameter.name
            assert len(words) <= 130 or parameter.name == "method", parameter.name

    def test_every_option_is_in_the_help_without_the_parser_s_words(self, verb):
        shown = helped(verb)
        for parameter in verb_of(verb).params:
            if parameter.param_type_name == "option":
                assert re.search(rf"(^|[ ,/]){parameter.opts[0]}\b", shown, re.MULTILINE)
        assert not re.search(r"<(int|str|float|Path|list)\b|x>=|<=x", shown)

    def test_its_examples_name_options_that_it_has(self, verb):
        examples = re.findall(rf"^  ncscope ({verb}.*)$", verb_of(verb).epilog, re.MULTILINE)
        assert examples
        known = {option for parameter in verb_of(verb).params for option in parameter.opts}
        for line in examples:
            assert {w for w in shlex.split(line)[1:] if w.startswith("--")} <= known


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("ncscope ana", "analyze"),
        ("ncscope analyze --split b", "base"),
        ("ncscope tune --loss bal", "balanced\nbalanced-softmax"),
    ],
)
def test_a_shell_completes_verbs_and_what_options_take(line, offered):
    asked = {"_NCSCOPE_COMPLETE": "complete_bash", "COMP_WORDS": line}
    asked["COMP_CWORD"] = str(len(line.split()) - 1)
    result = CliRunner().invoke(app, [], prog_name="ncscope", env=asked)
    assert result.stdout.strip() == offered
