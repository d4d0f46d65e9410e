import csv
import io
import re

import pytest

from ncscope.comparison.association import Scatter
from ncscope.comparison.html import as_html
from ncscope.comparison.scatter import Mark, marks_of, scatter_svg
from ncscope.comparison.table import (
    Cell,
    Table,
    as_csv,
    as_latex,
    as_markdown,
    as_text,
    number,
    percent,
    probability,
    span,
    words,
)
from ncscope.text import in_latex

TABLE = Table(
    "Average",
    ("", "base", "new"),
    (("coop", (percent(0.8269, 0.0031), percent(None))),
     ("maple", (Cell("84.00", 0.84, best=True), percent(0.7514)))),
    ("Missing: coop on d.",),
)  # fmt: skip
EVIL = "<script>alert(1)</script> | & $x_1$ % \\input{/etc/passwd} **b** `c`\n=cmd()"


def test_text_is_aligned_and_marks_the_best():
    assert as_text([TABLE], ["Legend."]) == (
        "Average\n"
        "               base     new\n"
        "coop   82.69 ± 0.31       –\n"
        "maple         84.00*  75.14\n"
        "  Missing: coop on d.\n"
        "\n"
        "  * best in its column.\n"
        "  Legend."
    )


def test_wide_characters_take_two_columns():
    table = Table("T", ("", "a"), (("模型", (words("1"),)), ("é", (words("2"),))))
    lines = as_text([table]).splitlines()
    assert lines[2] == "模型  1"
    assert lines[3] == "é     2"


def test_markdown_has_the_best_in_bold():
    assert as_markdown([TABLE]).splitlines() == [
        "### Average",
        "",
        "|  | base | new |",
        "| --- | ---: | ---: |",
        "| coop | 82.69 ± 0.31 | – |",
        "| maple | **84.00** | 75.14 |",
        "",
        "Missing: coop on d.  ",
    ]


def test_latex_has_the_best_in_bold_and_signs_as_commands():
    found = as_latex([TABLE], ["Legend."])
    assert r"coop & 82.69 $\pm$ 0.31 & -- \\" in found
    assert r"maple & \textbf{84.00} & 75.14 \\" in found
    assert r"\caption{Average. Missing: coop on d.}" in found
    assert found.endswith("% Legend.\n")
    assert r"\begin{tabular}{lrr}" in found


def test_a_wide_latex_table_is_made_to_fit_and_a_star_is_no_command():
    found = as_latex([Table("T", ("", "a"), (("*mine", (words("τ"),)),))])
    assert r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%" in found
    assert r"{}*mine & $\tau$ \\" in found
    assert found.count("{") == found.count("}")


def test_csv_keeps_full_numbers_as_shares():
    rows = list(csv.DictReader(io.StringIO(as_csv([TABLE]))))
    assert [row["row"] for row in rows] == ["coop", "coop", "maple", "maple"]
    assert (rows[0]["value"], rows[0]["deviation"], rows[0]["shown"]) == (
        "0.8269", "0.0031", "82.69 ± 0.31",
    )  # fmt: skip
    assert (rows[1]["value"], rows[2]["best"]) == ("", "1")
    spans = Table("T", ("", "95 %"), (("a", (span(-0.1, 0.2, (number(-0.1), number(0.2))),)),))
    (row,) = csv.DictReader(io.StringIO(as_csv([spans])))
    assert (row["low"], row["high"], row["shown"]) == ("-0.1", "0.2", "[−0.100, 0.200]")


def evil():
    return Table(EVIL, ("", EVIL), ((EVIL, (words(EVIL),)),), (EVIL,))


def test_names_are_text_in_html():
    page = as_html([], [evil()], [], [EVIL])
    assert page.count("<script") == 2  # the tables as data, and the page's own
    assert "<script>alert" not in page
    assert "default-src 'none'; script-src 'sha256-" in page
    assert page.count("&lt;script&gt;") == 6


def test_names_are_text_in_latex():
    found = as_latex([evil()], [EVIL])
    body = "\n".join(line for line in found.splitlines() if not line.startswith("%"))
    assert r"\input" not in body
    assert r"\textbackslash{}input\{/etc/passwd\}" in body
    assert r"\$x\_1\$ \%" in body
    assert all(line.startswith("% <script>") for line in found.splitlines()[-1:])


def test_a_bracket_at_the_start_of_a_row_is_no_argument_of_the_line_before():
    table = Table("T", ("", "a"), (("[x]", (words("1"),)),))
    assert r"{}[x] & 1 \\" in as_latex([table])


def test_latex_escapes_every_sign_it_gives_a_meaning():
    assert in_latex(r"\{}$&%#_~^") == (
        r"\textbackslash{}\{\}\$\&\%\#\_\textasciitilde{}\textasciicircum{}"
    )


def test_names_are_text_in_markdown():
    found = as_markdown([evil()])
    assert "<script" not in re.sub(r"\\<", "", found)
    assert len(found.splitlines()) == 7  # no line break came through
    assert r"\*\*b\*\* \`c\`" in found


def test_a_spreadsheet_takes_no_name_for_a_formula():
    table = Table("=1+1", ("", "@a"), (("+x", (words("-cmd"),)),))
    (row,) = csv.DictReader(io.StringIO(as_csv([table])))
    assert [row[k] for k in ("table", "row", "column", "shown")] == ["'=1+1", "'+x", "'@a", "'-cmd"]


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "–"), (0.0, "< 0.0001"), (0.00123, "0.00123"), (0.049, "0.049"), (0.5, "0.50")],
)
def test_p_values_are_shown_with_three_digits(value, shown):
    assert probability(value).shown == shown


def test_differences_carry_their_sign():
    assert percent(0.0123, sign=True).shown == "+1.23"
    assert percent(-0.0123, sign=True).shown == "−1.23"


def scatter(values, accuracy, groups):
    return Scatter("m", "base", "h", values, accuracy, groups, ("<b>",) * len(values))


@pytest.mark.parametrize("z_scored", [False, True])
def test_the_plot_has_a_point_a_run_and_its_names_as_text(z_scored):
    found = scatter((1.0, 2.0, 3.0, 4.0, 6.0, 5.0), (0.1, 0.3, 0.2, 0.7, 0.5, 0.6), tuple("aaabbb"))
    marks = {"a": Mark("#111111", "circle"), "b": Mark("#222222", "square")}
    svg = scatter_svg(found, marks, across="<x>", up="H", z_scored=z_scored)
    assert svg.count("<title>") == 6
    assert svg.count("#111111") == svg.count("#222222") == (3 if z_scored else 4)
    assert "&lt;b&gt;, a: 1.000, 10.00 %" in svg
    assert "<x>" not in svg
    assert "nan" not in svg


def test_a_plot_without_spread_says_so():
    found = scatter((1.0, 1.0, 1.0), (0.1, 0.3, 0.2), ("a",) * 3)
    marks = marks_of("a")
    assert "none that differ" in scatter_svg(found, marks, across="x", up="y", z_scored=True)
    assert scatter_svg(found, marks, across="x", up="y", z_scored=False).count("<title>") == 3


def test_eleven_data_sets_are_marked_eleven_ways():
    drawn = {mark.svg(0, 0) for mark in marks_of("abcdefghijk").values()}
    assert len(drawn) == 11
