"""The outlines of the 27 shapes, as tables of signed distance.

Coordinates are those of the shape: radius about 1, x to the right, y up. Distances are negative
inside, in units of that radius.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from ncscope.toy.world import SHAPES

BANK = 128  # samples a side of a table
REACH = 1.3  # a table covers -REACH..REACH

_Point = tuple[float, float]


@cache
def distance_bank() -> np.ndarray:
    """Signed distances, (27, BANK, BANK) float32 in the order of `SHAPES`; the first row is top."""
    axis = (np.arange(BANK) + 0.5) / BANK * 2 * REACH - REACH
    plane = _Plane(*np.meshgrid(axis, -axis))
    shapes = _figures(plane) | _rounded(plane) | _buildings(plane) | _things(plane)
    return np.stack([shapes[name] for name in SHAPES]).astype(np.float32)


@dataclass(frozen=True, eq=False)
class _Plane:
    """Points of the plane, and distances from them."""

    x: np.ndarray
    y: np.ndarray

    def disc(self, cx: float, cy: float, radius: float) -> np.ndarray:
        return np.hypot(self.x - cx, self.y - cy) - radius

    def box(self, cx: float, cy: float, width: float, height: float) -> np.ndarray:
        w, h = width / 2, height / 2
        return self.polygon((cx - w, cy - h), (cx + w, cy - h), (cx + w, cy + h), (cx - w, cy + h))

    def polygon(self, *points: _Point) -> np.ndarray:
        """The nearest edge, with the sign of the even-odd rule."""
        nearest = np.full(self.x.shape, np.inf)
        inside = np.zeros(self.x.shape, dtype=bool)
        for (ax, ay), (bx, by) in zip(points, points[1:] + points[:1], strict=True):
            ex, ey = bx - ax, by - ay
            px, py = self.x - ax, self.y - ay
            along = np.clip((px * ex + py * ey) / (ex**2 + ey**2), 0, 1)
            nearest = np.minimum(nearest, np.hypot(px - along * ex, py - along * ey))
            if ey != 0:
                crossing = (self.y < ay) != (self.y < by)
                inside ^= crossing & (px < py * ex / ey)
        return np.where(inside, -nearest, nearest)


def _figures(plane: _Plane) -> dict[str, np.ndarray]:
    polygon, box = plane.polygon, plane.box
    return {
        "square": box(0, 0, 1.6, 1.6),
        "triangle": polygon((0, 1), (0.98, -0.72), (-0.98, -0.72)),
        "star": polygon(*_star(5, 1.08, 0.42)),
        "cross": _union(box(0, 0, 1.9, 0.66), box(0, 0, 0.66, 1.9)),
        "diamond": polygon((0, 1.08), (0.66, 0), (0, -1.08), (-0.66, 0)),
        "pentagon": polygon(*_star(5, 1.0, 0.809)),
        "hexagon": polygon(*[(-q, p) for p, q in _star(6, 1.0, 0.866)]),
        "arrow": polygon(
            (1.05, 0), (0.2, 0.8), (0.2, 0.32), (-1, 0.32), (-1, -0.32), (0.2, -0.32), (0.2, -0.8)
        ),
        "bolt": polygon(
            (0.25, 1.1), (-0.55, -0.12), (-0.05, -0.12), (-0.3, -1.1), (0.6, 0.25), (0.08, 0.25)
        ),
        "hourglass": _union(
            polygon((-0.75, 1), (0.75, 1), (0, -0.12)), polygon((-0.75, -1), (0.75, -1), (0, 0.12))
        ),
    }


def _rounded(plane: _Plane) -> dict[str, np.ndarray]:
    polygon, disc = plane.polygon, plane.disc
    radius, angle = np.hypot(plane.x, plane.y), np.arctan2(plane.x, plane.y)
    teeth = 0.85 + 0.16 * np.tanh(4 * np.cos(8 * angle))
    return {
        "circle": disc(0, 0, 0.92),
        "oval": polygon(*[(1.05 * p, 0.6 * q) for p, q in _star(16, 1.0, 1.0)]),
        "heart": polygon(*_heart()),
        "crescent": _without(disc(0, 0, 0.98), disc(0.46, 0.1, 0.78)),
        "ring": _without(disc(0, 0, 0.98), disc(0, 0, 0.52)),
        "drop": _union(
            disc(0, -0.35, 0.62), polygon((0, 1.1), (0.56, -0.1), (0, -0.3), (-0.56, -0.1))
        ),
        "flower": radius - 0.74 - 0.26 * np.cos(5 * angle),
        "gear": _without(radius - teeth, disc(0, 0, 0.3)),
        "leaf": _union(
            np.maximum(disc(0.55, 0.12, 1.0), disc(-0.55, 0.12, 1.0)),
            plane.box(0, -0.85, 0.13, 0.6),
        ),
        "cloud": _union(
            disc(-0.55, -0.12, 0.45),
            disc(0.6, -0.14, 0.42),
            disc(0.02, 0.18, 0.6),
            plane.box(0, -0.38, 1.2, 0.36),
        ),
    }


def _buildings(plane: _Plane) -> dict[str, np.ndarray]:
    polygon, box = plane.polygon, plane.box
    return {
        "house": _union(
            box(0, -0.4, 1.4, 1.1), polygon((-1, 0.1), (1, 0.1), (0, 1)), box(0.5, 0.62, 0.24, 0.6)
        ),
        "tree": _union(
            box(0, -0.8, 0.26, 0.55),
            polygon((-0.85, -0.6), (0.85, -0.6), (0, 0.45)),
            polygon((-0.6, 0.05), (0.6, 0.05), (0, 1.05)),
        ),
        "boat": _union(
            polygon((-1.05, -0.25), (1.05, -0.25), (0.65, -0.85), (-0.65, -0.85)),
            polygon((0.1, 1.05), (0.1, -0.05), (0.85, -0.05)),
            box(0, 0.2, 0.13, 1.6),
        ),
    }


def _things(plane: _Plane) -> dict[str, np.ndarray]:
    polygon, disc, box = plane.polygon, plane.disc, plane.box
    return {
        "fish": _union(
            np.maximum(disc(0.18, -0.62, 1.06), disc(0.18, 0.62, 1.06)),
            polygon((-0.5, 0), (-1.1, 0.62), (-1.1, -0.62)),
        ),
        "mushroom": _union(
            np.maximum(disc(0, -0.02, 0.95), box(0, 0.6, 2.4, 1.2)), box(0, -0.5, 0.5, 1.05)
        ),
        "cup": _union(
            polygon((-0.9, 0.8), (0.5, 0.8), (0.32, -0.85), (-0.72, -0.85)),
            _without(disc(0.5, 0.12, 0.52), disc(0.5, 0.12, 0.27)),
        ),
        "key": _union(
            _without(disc(-0.58, 0, 0.5), disc(-0.58, 0, 0.22)),
            box(0.45, 0, 1.25, 0.22),
            box(0.9, -0.2, 0.2, 0.42),
            box(0.5, -0.2, 0.2, 0.36),
        ),
    }


def _union(*parts: np.ndarray) -> np.ndarray:
    return np.minimum.reduce(parts)


def _without(whole: np.ndarray, hole: np.ndarray) -> np.ndarray:
    return np.maximum(whole, -hole)


def _star(arms: int, outer: float, inner: float) -> list[_Point]:
    """A star, or with inner = outer cos(pi/arms) a regular polygon, first point up."""
    turns = np.arange(2 * arms) * np.pi / arms
    radii = np.where(np.arange(2 * arms) % 2 == 0, outer, inner)
    return list(
        zip((radii * np.sin(turns)).tolist(), (radii * np.cos(turns)).tolist(), strict=True)
    )


def _heart() -> list[_Point]:
    turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    x = np.sin(turn) ** 3
    y = (13 * np.cos(turn) - 5 * np.cos(2 * turn) - 2 * np.cos(3 * turn) - np.cos(4 * turn)) / 16
    return list(zip(x.tolist(), (y + 0.1).tolist(), strict=True))
