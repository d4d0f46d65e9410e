"""Text from files kept as text, numbers for readers, and the short names of runs.

No class name, path or setting is ever read as markup. Readers that interpret it have a function
each: the terminal, the spreadsheet, the browser (HTML), plotly (its labels take <b>, <a href>, …),
the HTML parser inside a <script> (`</script>`, `<!--`), Markdown and LaTeX.
"""

import csv
import html
import io
import json
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

NOTHING = "—"
_LINES = "\t\n"
# Those that command a terminal, break a line, or turn the text after them round
_CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufff9-\ufffb]"
)
_LONE = re.compile("[\ud800-\udfff]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?( ± \d+\.?\d*)?|-")
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")
_MARKDOWN = re.compile(r"([\\`*_\[\]<>|#$~&])")
_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "%": r"\%",
    "#": r"\#", "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "|": r"$|$", "<": r"$<$", ">": r"$>$", "−": "$-$", "–": "--", "—": "---", "…": r"\dots{}",
    "×": r"$\times$", "Δ": r"$\Delta$", "√": r"$\surd$", "∞": r"$\infty$", "\u202f": r"\,",
    "·": r"$\cdot$", "±": r"$\pm$", "ρ": r"$\rho$", "τ": r"$\tau$", "λ": r"$\lambda$",
    "σ": r"$\sigma$", "≤": r"$\leq$", "≥": r"$\geq$",
}  # fmt: skip
_RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-", strict=True))
_SIGNS = re.compile("|".join(re.escape(sign) for sign in _LATEX))
_LONGEST_NAME = 36


def clean(text: object) -> str:
    """The text on one line: line breaks and control characters as spaces, and valid Unicode."""
    return _CONTROL.sub(" ", _LONE.sub("\ufffd", str(text)))


def is_text(words: str) -> bool:
    """Whether it can be written in UTF-8; a folder's name in another encoding cannot."""
    return _LONE.search(words) is None


def visible(text: object, *, lines: bool = False) -> str:
    """Text for a terminal: control characters and halves of surrogate pairs as their codes.

    `lines` keeps line ends and tabs.
    """

    def code(found: re.Match[str]) -> str:
        sign = found[0]
        return sign if lines and sign in _LINES else sign.encode("unicode_escape").decode("ascii")

    return _LONE.sub(code, _CONTROL.sub(code, str(text)))


def in_csv(rows: Iterable[Sequence[object]]) -> str:
    """Rows for a spreadsheet, where no text is a formula: such a one gets an apostrophe before it.

    Numbers are written in full, None as nothing; text that is a number stays one.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerows([_inert(cell) for cell in row] for row in rows)
    return stream.getvalue()


def _inert(cell: object) -> object:
    if cell is None or isinstance(cell, int | float):
        return cell
    words = "\n".join(clean(line) for line in str(cell).split("\n"))
    is_formula = words.lstrip().startswith(_FORMULA) and not _NUMBER.fullmatch(words)
    return f"'{words}" if is_formula else words


def short(text: object, limit: int | None) -> str:
    """The text, or its first characters and an ellipsis, `limit` characters in all."""
    words = clean(text)
    return words if limit is None or len(words) <= limit else words[: limit - 1].rstrip() + "…"


def in_html(text: object) -> str:
    """Text for HTML, between tags or inside a quoted attribute."""
    return html.escape(clean(text), quote=True)


def in_plot(text: object, limit: int | None = None) -> str:
    """Text for a plotly label, title, tick or hover card, at most `limit` characters of it.

    Plotly splits its labels at tags first and resolves entities after, so that an escaped `<`
    shows as itself and opens nothing. `%` is safe as long as the text is data: it must never be
    put into a `hovertemplate`.
    """
    return html.escape(short(text, limit), quote=False)


def in_script(value: Any) -> str:
    """JSON for a <script> element; NaN and infinities become null."""
    words = json.dumps(_finite(value), ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    # `</script>` and `<!--` both start with "<"; ASCII output has no U+2028 left.
    return words.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {clean(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value


def in_markdown(text: str) -> str:
    """Text that Markdown shows as it stands, also in a cell of a table."""
    return _MARKDOWN.sub(r"\\\1", clean(text))


def in_latex(text: str) -> str:
    """Text that LaTeX prints as it stands; signs and raised digits by its own commands."""
    words = _SIGNS.sub(lambda found: _LATEX[found[0]], clean(text))
    raised = f"[{''.join(_RAISED)}]+"
    return re.sub(raised, lambda m: f"$^{{{''.join(_RAISED[c] for c in m[0])}}}$", words)


def number(value: object, digits: int = 3) -> str:
    """A number for a reader: a typographic minus, thin spaces in thousands, a dash for none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or math.isnan(value):
        return NOTHING
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if isinstance(value, int):
        return f"{value:,}".replace(",", "\u202f").replace("-", "−")
    if value != 0 and not 10**-digits <= abs(value) < 1e5:
        mantissa, exponent = f"{value:.2e}".split("e")
        power = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
        return f"{mantissa} · 10{power}".replace("-", "−")
    places = digits if abs(value) < 10 else max(0, digits - 2)
    return f"{value:.{places}f}".replace("-", "−")


def percent(share: object) -> str:
    """A share in [0, 1] as a percentage, with a narrow space that no line breaks at."""
    if not isinstance(share, (int, float)) or not math.isfinite(share):
        return NOTHING
    amount = 100 * share
    if 0 < amount < 0.05:
        return "<\u202f0.1\u202f%"
    return f"{amount:.1f}\u202f%" if 0 < amount < 99.95 else f"{amount:.0f}\u202f%"


def run_names(records: Sequence[dict[str, Any]]) -> list[str]:
    """A short name a run: the part of its source's path that tells it from the others.

    With the data's name where one source was measured on several; numbered where nothing differs.
    """
    paths = [_parts(record.get("source")) for record in records]
    names = [path[-1] for path in paths]
    if len(set(names)) < len(set(paths)):
        names = ["/".join(part) or path[-1] for part, path in zip(_own(paths), paths, strict=True)]
    data = [_parts(record.get("data"))[-1] if record.get("data") else "" for record in records]
    names = [
        f"{name} on {where}" if where and names.count(name) > 1 and len(set(data)) > 1 else name
        for name, where in zip(names, data, strict=True)
    ]
    names = [short(name, _LONGEST_NAME) for name in names]
    return [
        name if names.count(name) == 1 else f"{name} ({names[: place + 1].count(name)})"
        for place, name in enumerate(names)
    ]


def _own(paths: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Paths without the parts that all begin with, and without those that all end with."""
    start = stop = 0
    least = min(len(path) for path in paths)
    while start < least and len({path[start] for path in paths}) == 1:
        start += 1
    while stop < least - start and len({path[-1 - stop] for path in paths}) == 1:
        stop += 1
    return [path[start : len(path) - stop] for path in paths]


def page_title(records: Sequence[dict[str, Any]]) -> str:
    """What was analysed, in a few words."""
    data = list(dict.fromkeys(_parts(r["data"])[-1] for r in records if r.get("data")))
    on = f" on {data[0]}" if len(data) == 1 else f" on {len(data)} data sets" if data else ""
    if len(records) == 1:
        return short(_parts(records[0].get("source"))[-1] + on, 90)
    return f"{len(records)} runs{short(on, 70)}"


def _parts(name: object) -> tuple[str, ...]:
    """The parts of a path, at least one."""
    words = clean(name).replace("\\", "/") if name is not None else ""
    return tuple(part for part in words.split("/") if part.strip()) or ("features",)


def sizes(record: dict[str, Any]) -> list[tuple[str, str]]:
    """The sizes of a run, as (letter's meaning, number)."""
    return [
        ("classes", number(record["classes"])),
        ("images", number(record["samples"]) if record["samples"] else "no"),
        ("dimensions", number(record["dim"])),
    ]


def same_classes(records: Sequence[dict[str, Any]]) -> bool:
    """Whether all runs have the same classes in the same order and the same width."""
    first = ([row["name"] for row in records[0]["per_class"]], records[0]["dim"])
    return all(([row["name"] for row in r["per_class"]], r["dim"]) == first for r in records[1:])
