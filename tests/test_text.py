"""Whatever a name holds, it stays text: in HTML, in plotly's labels and inside a script."""

import json
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ncscope.text import in_html, in_plot, in_script, number, percent, short

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
