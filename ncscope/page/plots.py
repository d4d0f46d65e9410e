"""The figures of a page: their places as HTML, and their data for the script that draws them."""

from collections.abc import Mapping, Sequence
from typing import Any

from ncscope.figures.plot import Plot
from ncscope.text import in_html

Sections = Mapping[str, Sequence[Plot]]


def figures_html(plots: Sequence[Plot], section: str, *, runs: int, chosen: int) -> str:
    """Places for a section's figures; those of runs that are not chosen, and of other tabs, hidden.

    Without a script nothing is drawn; the tables then say everything.
    """
    cells = []
    first = next((plot.tab for plot in plots if plot.tab is not None), None)
    for place, plot in enumerate(plots):
        named = runs > 1 and plot.run
        run = f'<span class="run name">{in_html(plot.run)}</span>' if named else ""
        caption = " ".join(_words(form, words) for form, words in plot.caption)
        label = in_html(f"{plot.title}. {' '.join(words for _, words in plot.caption)}")
        hides = (plot.chosen and plot.place != chosen) or plot.tab not in (None, first)
        of = f' data-run="{plot.place}"' if plot.chosen else ""
        tab = f' data-tab="{in_html(plot.tab)}"' if plot.tab is not None else ""
        pixels = plot.json["layout"].get("meta", {}).get("pixels")
        tall = f' style="height:{int(pixels)}px"' if pixels else ""
        cells.append(
            f'<figure class="{plot.kind}"{of}{tab}{" hidden" if hides else ""}><figcaption>'
            f'<h3>{run}{in_html(plot.title)}</h3>{_GET}<p class="note">{caption}</p></figcaption>'
            f'<div class="plot" data-figure="{section}-{place}" role="img" aria-label="{label}"'
            f"{tall}></div>{_slider(plot)}</figure>"
        )
    three = section == "simplex" and runs >= 3 and runs != 4  # four: two by two
    kind = "plots three" if three else "plots"
    return f'<div class="{kind}">{"".join(cells)}</div>' if cells else ""


_GET = (
    '<span class="get"><button type="button" data-as="svg">SVG</button>'
    '<button type="button" data-as="png">PNG</button></span>'
)


def figure_data(
    sections: Sections, classnames: Sequence[Sequence[str]], where: Mapping[str, int]
) -> dict[str, dict[str, Any]]:
    """JSON of all figures by their place on the page, with what links their parts to classes.

    `rows` has for each row, bar or line of a figure the classes it stands for, as places in the
    page's list of classes `where`; scenes have `run` and `names`, by the run's own indices.
    """
    found = {}
    for section, plots in sections.items():
        for place, plot in enumerate(plots):
            content = found[f"{section}-{place}"] = dict(plot.json)
            own: Sequence[str] = () if plot.place is None else classnames[plot.place]
            rows = content["layout"].get("meta", {}).pop("rows", None)
            if rows is not None:
                content["rows"] = [_places(row, own, where) for row in rows]
            if section == "simplex" and plot.place is not None:
                custom = [trace.get("customdata") or () for trace in content["data"]]
                drawn = sorted({int(index) for points in custom for index, _ in points})
                content |= {"run": plot.place, "names": {k: own[k] for k in drawn}}
    return found


def _places(row: Any, own: Sequence[Any], where: Mapping[str, int]) -> list[int]:
    """Of a class's name, or of indices into a run's own classes."""
    if isinstance(row, str):
        return [where[row]] if row in where else []
    return [where[own[index]] for index in row]


def _slider(plot: Plot) -> str:
    """The slider of a figure with frames, and what the step shown is and shows."""
    count = len(plot.json.get("frames", []))
    if not count:
        return ""
    said = in_html(plot.json["layout"]["meta"]["steps"][0])
    return (
        f'<div class="steps"><button type="button" class="play" aria-label="Play">▶</button>'
        f'<input type="range" min="0" max="{count - 1}" value="0" aria-label="Evaluation" '
        f'aria-valuetext="{said}"></div><p class="note said" aria-live="polite">{said}</p>'
    )


def _words(form: str | None, words: str) -> str:
    """A sentence, shown only while its form is."""
    return in_html(words) if form is None else f'<span class="only-{form}">{in_html(words)}</span>'
