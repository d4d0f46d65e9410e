"""Text from files kept as text: no class name, path or setting is ever read as markup.

Three readers interpret markup: the browser (HTML), plotly (its labels take <b>, <a href>, …), and
the HTML parser inside a <script> (`</script>`, `<!--`). Each has its function here.
"""

import html
import json
import math
import re
from typing import Any

NOTHING = "—"
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_LONE = re.compile("[\ud800-\udfff]")


def clean(text: object) -> str:
    """The text on one line: line breaks and control characters as spaces, and valid Unicode."""
    return _CONTROL.sub(" ", _LONE.sub("\ufffd", str(text)))


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


def short(text: object, limit: int | None) -> str:
    """The text, or its first characters and an ellipsis, `limit` characters in all."""
    words = clean(text)
    return words if limit is None or len(words) <= limit else words[: limit - 1].rstrip() + "…"


def in_script(value: Any) -> str:
    """JSON for a <script> element; NaN and infinities become null."""
    words = json.dumps(_finite(value), ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    # `</script>` and `<!--` both start with "<"; ASCII output has no U+2028 left.
    return words.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


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


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {clean(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
