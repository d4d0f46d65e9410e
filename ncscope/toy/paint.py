"""The renderer: scenes to pictures of 40 x 40 pixels, by table look-up.

N scenes of a batch, P = 40 pixels a side. Rendering goes in batches of CHUNK: one large batch
leaves the processor's cache and is up to half slower (`benchmarks/toy_render.py`).
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ncscope.toy.shapes import BANK, REACH, distance_bank
from ncscope.toy.surfaces import (
    FINE,
    TILE,
    VARIANTS,
    background_bank,
    cartoon,
    night,
    photo,
    sketch,
    texture_bank,
    window,
)
from ncscope.toy.world import COLOURS, TEXTURES, Scenes

PIXELS = 40
CHUNK = 128

Camera = Callable[[Tensor, Scenes], Tensor]

_LAYOUTS = (  # centres and radius of the objects, by their number, in half widths of the picture
    ([(0.0, 0.0)], 1.0),
    ([(-0.48, 0.0), (0.48, 0.0)], 0.42),
    ([(0.0, -0.46), (-0.48, 0.42), (0.48, 0.42)], 0.40),
    ([(-0.47, -0.47), (0.47, -0.47), (-0.47, 0.47), (0.47, 0.47)], 0.38),
    ([(-0.6, -0.6), (0.6, -0.6), (0.0, 0.0), (-0.6, 0.6), (0.6, 0.6)], 0.33),
    ([(-0.62, -0.45), (0.0, -0.45), (0.62, -0.45), (-0.62, 0.45), (0.0, 0.45), (0.62, 0.45)], 0.30),
)
_RADII = (0.44, 0.60, 0.82)  # of a single object, by its size
_PLACES = ((0.0, 0.0), (-0.45, 0.0), (0.45, 0.0), (0.0, -0.45), (0.0, 0.45))
_STYLES = (photo, cartoon, sketch, night)  # in the order of STYLES


def render(scenes: Scenes, *, camera: Camera | None = None) -> Tensor:
    """Paint N scenes.

    Args:
        camera: changes the pictures of a batch, (N, P, P, 3) in about 0..1, before they are
            rounded (`ncscope.toy.images`).

    Returns:
        (N, P, P, 3) uint8, RGB.
    """
    pictures = torch.empty(len(scenes), PIXELS, PIXELS, 3, dtype=torch.uint8)
    for start in range(0, len(scenes), CHUNK):
        batch = scenes.take(slice(start, start + CHUNK))
        painted = _paint(batch)
        if camera is not None:
            painted = camera(painted, batch)
        pictures[start : start + CHUNK] = (painted.clamp_(0, 1) * 255 + 0.5).to(torch.uint8)
    return pictures


def _paint(scenes: Scenes) -> Tensor:
    """One batch, (N, P, P, 3) float32."""
    distance, u, v = _objects(scenes)
    first, second = _colours(scenes)
    body = first + (second - first) * _pattern(scenes, distance, u, v).unsqueeze(-1)
    cover = torch.sigmoid(-3 * distance).unsqueeze(-1)
    if (hollow := _is(scenes, "texture", TEXTURES.index("hollow"))).any():
        cover[hollow] *= torch.sigmoid(3 * (distance[hollow] + 3.2)).unsqueeze(-1)
    ground = _ground(scenes)
    picture = torch.empty_like(ground)
    for style, paint_style in enumerate(_STYLES):
        if (chosen := _is(scenes, "style", style)).any():
            parts = (ground[chosen], body[chosen], cover[chosen], distance[chosen].unsqueeze(-1))
            picture[chosen] = paint_style(scenes.take(chosen.numpy()), *parts)
    return picture


def _objects(scenes: Scenes) -> tuple[Tensor, Tensor, Tensor]:
    """The nearest object at each pixel: distance in pixels, and where on the object, in pixels."""
    count = scenes.factors["count"]
    distance = torch.full((len(scenes), PIXELS, PIXELS), 1e3)
    u, v = torch.zeros_like(distance), torch.zeros_like(distance)
    centre, radius = _placement(scenes)
    stretch = 1 + 0.26 * (_chance(scenes, "aspect") - 0.5)
    for which in range(int(count.max()) + 1):
        has = torch.from_numpy(np.flatnonzero(count >= which))
        x, y, turn = (column.view(-1, 1, 1) for column in centre[has, which].T)
        here_u, here_v = _own_coordinates(x, y, turn, stretch[has].view(-1, 1, 1))
        size = radius[has].view(-1, 1, 1)
        found = _distance(_index(scenes, "shape")[has], here_u / size, here_v / size)
        found *= size * (PIXELS / 2)
        nearer = found < distance[has]
        distance[has] = torch.where(nearer, found, distance[has])
        u[has] = torch.where(nearer, here_u * (PIXELS / 2), u[has])
        v[has] = torch.where(nearer, here_v * (PIXELS / 2), v[has])
    return distance, u, v


def _own_coordinates(x: Tensor, y: Tensor, turn: Tensor, stretch: Tensor) -> tuple[Tensor, Tensor]:
    """Each pixel as seen from an object at x, y that is turned and stretched; half widths."""
    axis = (torch.arange(PIXELS) + 0.5) / PIXELS * 2 - 1
    dx, dy = axis.view(1, 1, -1) - x, axis.view(1, -1, 1) - y
    cos, sin = torch.cos(turn), torch.sin(turn)
    return (cos * dx + sin * dy) * stretch, (cos * dy - sin * dx) / stretch


def _distance(shape: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Signed distance at points (N, P, P) in units of the shape's radius, from the tables."""
    edge = REACH * (1 - 1 / BANK)
    inner_u, inner_v = u.clamp(-edge, edge), v.clamp(-edge, edge)
    beyond = (u - inner_u).abs_() + (v - inner_v).abs_()
    half = BANK / 2
    column = (inner_u * (half / REACH) + half).long()
    row = (inner_v * (half / REACH) + half).long()
    bank = torch.from_numpy(distance_bank()).flatten()
    return bank[shape.view(-1, 1, 1) * BANK**2 + row * BANK + column] + beyond


def _placement(scenes: Scenes) -> tuple[Tensor, Tensor]:
    """Centre and rotation of each object, (N, 6, 3), and the radius, (N,), in half widths."""
    count, place, size = (_index(scenes, name) for name in ("count", "place", "size"))
    centre = torch.zeros(len(scenes), len(_LAYOUTS), 3)
    radii = torch.tensor([radius for _, radius in _LAYOUTS])[count]
    radii = torch.where(count == 0, torch.tensor(_RADII)[size], radii)
    for number, (centres, _) in enumerate(_LAYOUTS):
        centre[count == number, : number + 1, :2] = torch.tensor(centres)
    centre[..., :2] += torch.tensor(_PLACES)[place].unsqueeze(1)
    spread = torch.where(count == 0, 0.2, 0.12).view(-1, 1)
    for column, (name, width) in enumerate((("x", spread), ("y", spread), ("rotation", 0.76))):
        drawn = torch.stack([_chance(scenes, f"{name}{i}") for i in range(len(_LAYOUTS))], dim=1)
        centre[..., column] += (drawn - 0.5) * width
    return centre, radii * (0.9 + 0.2 * _chance(scenes, "radius"))


def _colours(scenes: Scenes) -> tuple[Tensor, Tensor]:
    """The two colours of an object, (N, 1, 1, 3) each: the second a lighter or darker first."""
    hue, saturation, value = torch.tensor(list(COLOURS.values()))[_index(scenes, "colour")].T
    hue = hue + 0.04 * (_chance(scenes, "hue") - 0.5)
    saturation = saturation + 0.20 * (_chance(scenes, "saturation") - 0.5)
    value = value + 0.16 * (_chance(scenes, "value") - 0.5)
    first = _rgb(hue, saturation.clamp(0, 1), value.clamp(0, 1))
    step = 0.42 + 0.16 * _chance(scenes, "second").view(-1, 1)
    dark = first.mean(dim=1, keepdim=True) < 0.5
    second = torch.where(dark, first + (1 - first) * step, first * (1 - step))
    return first.view(-1, 1, 1, 3), second.view(-1, 1, 1, 3)


def _rgb(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """HSV to RGB, (N,) each to (N, 3)."""
    wheel = (hue.unsqueeze(1) * 6 + torch.tensor([5.0, 3.0, 1.0])) % 6
    dip = torch.minimum(wheel, 4 - wheel).clamp(0, 1)
    return value.unsqueeze(1) * (1 - saturation.unsqueeze(1) * dip)


def _pattern(scenes: Scenes, distance: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Share of the second colour at each pixel, (N, P, P)."""
    texture = _index(scenes, "texture")
    phase_x, phase_y = (_chance(scenes, f"texture_{a}").view(-1, 1, 1) * TILE for a in "xy")
    column = (u * FINE + phase_x).long() % TILE
    row = (v * FINE + phase_y).long() % TILE
    bank = torch.from_numpy(texture_bank()).flatten()
    share = bank[texture.view(-1, 1, 1) * TILE**2 + row * TILE + column]
    faded = texture == TEXTURES.index("faded")
    share[faded] = torch.sigmoid(v[faded] * 0.35)
    ridged = texture == TEXTURES.index("ridged")
    share[ridged] = torch.sigmoid(6 * torch.sin(distance[ridged] * 1.6 + 1.2))
    return share


def _ground(scenes: Scenes) -> Tensor:
    """The window of a background table behind each scene, (N, P, P, 3)."""
    bank = torch.from_numpy(background_bank()).view(-1, 3)
    variant = (_chance(scenes, "tile") * VARIANTS).long()
    which = (_index(scenes, "background") * VARIANTS + variant).view(-1, 1, 1)
    return bank[which * TILE**2 + window(scenes, "tile", PIXELS)]


def _index(scenes: Scenes, name: str) -> Tensor:
    return torch.from_numpy(scenes.factors[name])


def _is(scenes: Scenes, name: str, value: int) -> Tensor:
    return torch.from_numpy(scenes.factors[name] == value)


def _chance(scenes: Scenes, name: str) -> Tensor:
    return torch.from_numpy(scenes.chance(name))
