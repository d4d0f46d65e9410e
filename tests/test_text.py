"""Whatever a name holds, it stays text: in HTML, in plotly's labels and inside a script."""

import csv
import io
import json
import math
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ncscope.text import in_csv, in_html, in_plot, in_script, number, percent, short, visible

BIDI = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
NASTY = "<img src=x onerror=alert(1)>&amp;\"'</script><!--\u2028\u2029\x00\n\ud800"


def test_no_markup_survives_in_html():
    found = in_html(NASTY)
    assert not set(found) & set("<>\"'")
    assert found.encode("utf-8")  # lone surrogates would not be


def test_plotly_sees_no_tag_and_decodes_to_the_name():
    found = in_plot("<b>bold</b> & <a href='x'>link</a>")
    assert "<" not in found
    assert found == "&lt;b&gt;bold&lt;/b&gt; &amp; &lt;a href='x'&gt;link&lt;/a&gt;"


@given(st.text())
@example("</script><!--\u2028&")
def test_a_script_holds_any_text_and_gives_it_back(text):
    found = in_script({"name": text})
    assert "<" not in found
    assert found.isascii()
    assert json.loads(found) == {"name": text}


def test_infinities_become_null_in_a_script():
    assert json.loads(in_script([math.nan, math.inf, 1.5])) == [None, None, 1.5]


def test_names_are_cut_with_an_ellipsis_before_they_are_escaped():
    assert short("abcdefgh", 5) == "abcd…"
    assert in_plot("<<<<<<<<", 3) == "&lt;&lt;…"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.12345, "0.123"), (-0.5, "−0.500"), (27.34, "27.3"), (512.4, "512.4"),
        (1e-9, "1.00 · 10⁻⁹"), (0.0, "0.000"), (50000, "50\u202f000"), (math.inf, "∞"),
        (-math.inf, "−∞"), (math.nan, "—"), (None, "—"), ("7", "—"),
    ],
)  # fmt: skip
def test_numbers_read_well(value, words):
    assert number(value) == words


@pytest.mark.parametrize(
    ("share", "words"),
    [(0.864, "86.4"), (1.0, "100"), (0.0, "0"), (0.9997, "100"), (1e-5, "<\u202f0.1")],
)
def test_shares_read_as_percentages(share, words):
    assert percent(share) == f"{words}\u202f%"


def test_no_share_is_a_dash():
    assert percent(None) == percent(math.nan) == "—"


COMMANDS = "\x1b[2J\x1b]0;title\x07 \x9b31m \u202egnp.exe\u2066 \ud83d\r\x00\x7f"


def test_a_terminal_is_shown_control_characters_as_codes_and_loses_nothing():
    found = visible("cat\n\t" + COMMANDS)
    assert found.isprintable()
    assert found.encode("utf-8").decode("unicode_escape") == "cat\n\t" + COMMANDS
    assert visible("a\tb\nc\r", lines=True) == "a\tb\nc\\r"
    assert visible("café 猫 δ − 👩‍🚒") == "café 猫 δ − 👩‍🚒"


@given(st.text())
def test_no_text_commands_a_terminal(text):
    for sign in visible(text, lines=True):
        assert sign in "\t\n" or unicodedata.category(sign) not in ("Cc", "Cs", "Zl", "Zp")
        assert unicodedata.bidirectional(sign) not in BIDI


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", "\r=", " =", "＝", "-1+", "=-1"])
def test_a_spreadsheet_takes_no_text_for_a_formula(start):
    (cell,) = next(csv.reader(io.StringIO(in_csv([[f"{start}HYPERLINK(1)"]]))))
    assert cell[0] == "'"
    assert cell.isprintable()


def test_a_spreadsheet_gets_numbers_as_numbers_and_other_text_as_it_is():
    row = [1, -0.5, None, True, "-0.1234", "+1.23 ± 0.31", "-", "1e-05", 'a "b", c\nd', "é\x1b[0m"]
    (found,) = csv.reader(io.StringIO(in_csv([row])))
    assert found == [
        "1", "-0.5", "", "True", "-0.1234", "+1.23 ± 0.31", "-", "1e-05", 'a "b", c\nd', "é [0m",
    ]  # fmt: skip
