"""One order and one colour a class for all runs of a page, by the classes' names.

K classes.
"""

from collections.abc import Mapping, Sequence

from ncscope.diagnosis.notes import MOST_PAIRED
from ncscope.figures.points import Points, cluster_order, spread_classes
from ncscope.figures.projection import EXACT
from ncscope.figures.scene import drawn_classes
from ncscope.metrics.rows import pairwise_cosines


def common_ranks(points: Sequence[Points], first: int = 0) -> dict[str, int]:
    """The place of every class name that some run has: alike classes of the first run side by side.

    Classes that the first run has not follow in the others' order. More than `MOST_PAIRED` classes
    stay as they are listed.
    """
    lead = points[first]
    order = range(len(lead.names))
    if len(lead.names) <= MOST_PAIRED:
        order = cluster_order(pairwise_cosines(lead.vectors, centred=True))
    names = [lead.names[index] for index in order]
    names += [name for one in points for name in one.names]
    return {name: rank for rank, name in enumerate(dict.fromkeys(names))}


def in_ranks(points: Points, ranks: Mapping[str, int]) -> list[int]:
    """Indices of a run's K classes in the common order."""
    return sorted(range(len(points.names)), key=lambda index: ranks[points.names[index]])


def shades(points: Points, drawn: Sequence[int], ranks: Mapping[str, int]) -> list[float]:
    """A place in [0, 1] on the colour scale for each class drawn, one and the same in all runs."""
    last = max(1, len(ranks) - 1)
    return [ranks[points.names[index]] / last for index in drawn]


def few_of_all(points: Sequence[Points], first: int = 0) -> list[list[int]]:
    """Up to four drawable classes of each run, the same names in the same order in all of them.

    They are evenly spaced through the first run's list. Where fewer than two are common to all
    runs, each run has its own.
    """
    drawable = [drawn_classes(one, "all") for one in points]
    where = [{one.names[index]: index for index in own}
             for one, own in zip(points, drawable, strict=True)]  # fmt: skip
    common = [name for name in where[first] if all(name in own for own in where)]
    if len(common) < 2:
        return [[own[at] for at in spread_classes(len(own), EXACT)] for own in drawable]
    chosen = [common[at] for at in spread_classes(len(common), EXACT)]
    return [[own[name] for name in chosen] for own in where]
