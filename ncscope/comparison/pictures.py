"""How accuracy depends on both weights of NPT's terms, as a coloured grid (Figure 5)."""

from collections.abc import Sequence

from ncscope.comparison.averages import complete_data, over_data
from ncscope.comparison.points import Point, at_tau, base_to_new_points, taus
from ncscope.comparison.rows import Labelled, setting_words
from ncscope.figures import palette
from ncscope.text import in_html

_COLUMNS = {"base": "base", "new": "new", "h": "H of averages"}
_APART = ("lcd_weight", "mid_weight", "regulariser")
Weights = tuple[float, float]


def weights_html(rows: Sequence[Labelled]) -> str:
    """A grid a method, tau and accuracy; empty where no method has such a grid."""
    figures = []
    for tau in taus(rows):
        grids: dict[tuple[object, ...], list[Labelled]] = {}
        for row in at_tau(rows, tau):
            grids.setdefault((_method(row), *_others(row)), []).append(row)
        for (name, *_), here in grids.items():
            found = _runs(here)
            if _is_grid(list(found.values())):
                when = "" if tau is None else f", tau = {tau:g}"
                points = base_to_new_points(row for row in here if row.label in found)
                title = f"{name}{_told(here[0], rows)}{when}"
                figures += [_grid(points, found, column, title) for column in _COLUMNS]
    if not any(figures):
        return ""
    return (
        "<h2>Sensitivity to the weights</h2><p>Per cent, means over the data sets that every "
        "pair of weights was run on; weights in their order, not to scale. A frame is the highest "
        "mean: of many, the highest is high by chance, too.</p>"
        f'<div class="pairs">{"".join(figures)}</div>'
    )


def _is_grid(pairs: Sequence[Weights]) -> bool:
    """Two values or more of each weight, and more pairs than a line or a diagonal has."""
    sizes = [len({pair[k] for pair in pairs}) for k in (0, 1)]
    return min(sizes, default=0) > 1 and len(pairs) > max(sizes)


def _method(row: Labelled) -> str:
    """Runs with and without the terms are one method here."""
    return row.outcome.name.removesuffix("+npt")


def _others(row: Labelled) -> tuple[str, ...]:
    """The other settings: rows that differ in one are of two grids. `regulariser` is none at 0."""
    return tuple(str(value) for key, value in row.outcome.settings.items() if key not in _APART)


def _told(row: Labelled, rows: Sequence[Labelled]) -> str:
    """The other settings in which rows of its method differ."""
    mine = [one.outcome.settings for one in rows if _method(one) == _method(row)]
    found = [
        setting_words(key, value)
        for key, value in row.outcome.settings.items()
        if key not in _APART and any(str(s.get(key)) != str(value) for s in mine)
    ]
    return f" ({', '.join(found)})" if found else ""


def _runs(rows: Sequence[Labelled]) -> dict[str, Weights]:
    """Weights by row."""
    found: dict[str, Weights] = {}
    for row in rows:
        settings = row.outcome.settings
        first, second = settings.get("lcd_weight"), settings.get("mid_weight")
        if isinstance(first, float) and isinstance(second, float):
            found.setdefault(row.label, (first, second))
    return found


def _grid(points: Sequence[Point], found: dict[str, Weights], column: str, title: str) -> str:
    whole = complete_data(points, tuple(_COLUMNS))
    means: dict[Weights, float] = {}
    for label, weights in found.items():
        mean = over_data([p for p in points if p.label == label], whole, column)
        if mean is not None:
            means[weights] = mean.value
    if not means:
        return ""
    across, up = (sorted({weights[k] for weights in means}) for k in (0, 1))
    heads = "".join(f'<th scope="col">{value:g}</th>' for value in across)
    body = "".join(
        f'<tr><th scope="row">{second:g}</th>'
        + "".join(_cell(means, (first, second)) for first in across)
        + "</tr>"
        for second in reversed(up)
    )
    said = f"{title}: {_COLUMNS[column]}, {len(whole)} data sets"
    return (
        f'<figure><figcaption>{in_html(said)}</figcaption><div class="wide"><table class="heat">'
        f'<thead><tr><th scope="col">w2 \\ w1</th>{heads}</tr></thead><tbody>{body}</tbody>'
        "</table></div></figure>"
    )


def _cell(means: dict[Weights, float], weights: Weights) -> str:
    value = means.get(weights)
    if value is None:
        return "<td>–</td>"
    low, high = min(means.values()), max(means.values())
    share = 0.5 if high - low < 1e-9 else (value - low) / (high - low)
    ground = _colour(share)
    ink = max(("#000000", "#ffffff"), key=lambda colour: palette.contrast(colour, ground))
    best = ' class="best"' if value == high and high > low else ""
    return f'<td{best} style="background:{ground};color:{ink}">{100 * value:.2f}</td>'


def _colour(share: float) -> str:
    """A colour of `palette.MANY` between its stops."""
    for (low, first), (high, second) in zip(palette.MANY, palette.MANY[1:], strict=False):
        if share <= high:
            part = (share - low) / (high - low)
            pairs = ((int(first[i : i + 2], 16), int(second[i : i + 2], 16)) for i in (1, 3, 5))
            return "#" + "".join(f"{round(a + part * (b - a)):02x}" for a, b in pairs)
    return palette.MANY[-1][1]
