"""How each data set is marked in a picture: by a colour, and by another shape once they repeat."""

from collections.abc import Iterable
from dataclasses import dataclass

from ncscope.figures import palette
from ncscope.text import in_html

_SHAPES = {
    "circle": "M-3.4 0a3.4 3.4 0 1 0 6.8 0a3.4 3.4 0 1 0 -6.8 0Z",
    "diamond": "M0 -4.6L4.6 0L0 4.6L-4.6 0Z",
    "square": "M-3.1 -3.1H3.1V3.1H-3.1Z",
    "cross": "M-1.3 -4H1.3V-1.3H4V1.3H1.3V4H-1.3V1.3H-4V-1.3H-1.3Z",
}


@dataclass(frozen=True)
class Mark:
    """A colour and the name of a shape."""

    colour: str
    shape: str

    def svg(self, x: float, y: float, said: str = "") -> str:
        """The mark at a place of a picture; `said` is shown under the pointer."""
        title = f"<title>{in_html(said)}</title>" if said else ""
        return (
            f'<path d="{_SHAPES[self.shape]}" transform="translate({x:.1f} {y:.1f})" '
            f'fill="{self.colour}" fill-opacity=".8">{title}</path>'
        )


def marks_of(names: Iterable[str]) -> dict[str, Mark]:
    """A mark for each name, all different up to 32 of them."""
    return {
        name: Mark(palette.class_colour(place), palette.class_symbol(place))
        for place, name in enumerate(names)
    }
