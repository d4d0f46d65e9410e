"""What the renderer looks up and does to a picture: patterns, backgrounds, and the four styles.

Patterns and backgrounds are periodic tables. A texture table says how much of an object's second
colour shows at a point; TILE samples span TILE / FINE pixels, so that a stripe is as wide on a
small object as on a large one. A background table is a picture of TILE x TILE pixels, of which a
scene shows a window.

Styles are the domains. Each takes the ground and the body of a batch of scenes, how much the body
covers, and the distance from its outline in pixels, and gives pictures (N, P, P, 3) in about 0..1.
N scenes, P pixels a side.
"""

from functools import cache

import numpy as np
import torch
from torch import Tensor

from ncscope.toy.world import BACKGROUNDS, TEXTURES, Scenes, stream

TILE = 96
FINE = 6  # texture samples a pixel
VARIANTS = 6  # pictures of each background
_PALETTE = {
    "cloth": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "grass": ((0.16, 0.38, 0.10), (0.45, 0.70, 0.25)),
    "sand": ((0.74, 0.62, 0.40), (0.94, 0.85, 0.63)),
    "water": ((0.10, 0.34, 0.58), (0.50, 0.76, 0.88)),
    "snow": ((0.78, 0.84, 0.92), (0.99, 0.99, 1.00)),
    "brick": ((0.62, 0.25, 0.18), (0.82, 0.78, 0.72)),
    "wood": ((0.38, 0.22, 0.10), (0.66, 0.44, 0.24)),
    "sky": ((0.36, 0.60, 0.92), (0.96, 0.97, 1.00)),
    "stone": ((0.34, 0.34, 0.36), (0.66, 0.65, 0.63)),
    "lava": ((0.14, 0.04, 0.04), (1.00, 0.50, 0.08)),
    "forest": ((0.04, 0.14, 0.06), (0.20, 0.38, 0.16)),
    "tiles": ((0.86, 0.90, 0.90), (0.48, 0.58, 0.64)),
}


@cache
def texture_bank() -> np.ndarray:
    """Share of the second colour in 0..1, (12, TILE, TILE) float32 in the order of `TEXTURES`.

    `hollow`, `faded` and `ridged` depend on the object's outline: their tables are zero and
    `ncscope.toy.paint` computes them.
    """
    axis = np.arange(TILE) / TILE
    x, y = np.meshgrid(axis, axis)
    wave = 2 * np.pi
    spread = np.hypot((3 * x) % 1 - 0.5, (3 * y) % 1 - 0.5)
    row = np.floor(4 * y)
    scale = np.hypot((3 * x + 0.5 * (row % 2)) % 1 - 0.5, ((4 * y) % 1) * 0.75)
    tables = {
        "striped": np.sin(3 * wave * y),
        "dotted": (0.3 - spread) * 6,
        "checkered": np.sin(2 * wave * x) * np.sin(2 * wave * y) * 3,
        "wavy": np.sin(3 * wave * (y + 0.1 * np.sin(2 * wave * x))),
        "speckled": _speckles(x, y),
        "grid": (np.maximum(np.cos(3 * wave * x), np.cos(3 * wave * y)) - 0.75) * 3,
        "crossed": (
            np.maximum(np.cos(wave * (2 * x + 2 * y)), np.cos(wave * (2 * x - 2 * y))) - 0.75
        )
        * 3,
        "scaly": (0.12 - np.abs(scale - 0.5)) * 8,
    }
    bank = np.zeros((len(TEXTURES), TILE, TILE), dtype=np.float32)
    for name, table in tables.items():
        bank[TEXTURES.index(name)] = 1 / (1 + np.exp(-6 * table))
    return bank


def _speckles(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Small discs at random places; distances wrap around."""
    nearest = np.full(x.shape, np.inf)
    for cx, cy in stream("world", "speckles").random((26, 2)):
        dx, dy = (x - cx + 0.5) % 1 - 0.5, (y - cy + 0.5) % 1 - 0.5
        nearest = np.minimum(nearest, np.hypot(dx, dy))
    return (0.065 - nearest) * 20


@cache
def background_bank() -> np.ndarray:
    """RGB in 0..1, (12, VARIANTS, TILE, TILE, 3) float32 in the order of `BACKGROUNDS`."""
    bank = np.zeros((len(BACKGROUNDS), VARIANTS, TILE, TILE, 3))
    for index, name in enumerate(BACKGROUNDS):
        for variant in range(VARIANTS):
            bank[index, variant] = _background(name, stream("world", name, variant))
    return np.clip(bank, 0, 1).astype(np.float32)


def _background(name: str, generator: np.random.Generator) -> np.ndarray:
    """One picture: a mixture of a dark and a light colour by a pattern in 0..1."""
    dark, light = (np.array(colour) for colour in _PALETTE[name])
    if name == "cloth":
        shade = generator.random(3) * 0.7 + 0.2
        return np.broadcast_to(shade, (TILE, TILE, 3))
    pattern = _pattern(name, generator)[..., None]
    tint = 1 + 0.12 * (generator.random(3) - 0.5)
    return (dark + (light - dark) * pattern) * tint


def _pattern(name: str, generator: np.random.Generator) -> np.ndarray:
    """The pattern of a background, (TILE, TILE) in about 0..1, periodic."""
    axis = np.arange(TILE)
    x, y = np.meshgrid(axis, axis)

    def noise(low: float, high: float, *, flat: float = 1.0) -> np.ndarray:
        return _band_noise(generator, low, high, flat=flat)

    if name == "brick":
        shift = (x + 8 * ((y // 8) % 2)) % 16
        return np.where((y % 8 < 1) | (shift < 1), 1.0, 0.12 * noise(4, 30))
    if name == "tiles":
        return np.where((x % 12 < 1) | (y % 12 < 1), 1.0, 0.1 * noise(1, 6))
    if name == "wood":
        plank = (x // 16) * 2.4
        rings = np.sin(2 * np.pi * (x / 6 + 0.5 * noise(1, 4, flat=0.15)) + plank)
        return 0.45 + 0.25 * rings - 0.4 * (x % 16 < 1) + 0.15 * (noise(8, 40, flat=0.1) - 0.5)
    if name == "water":
        return 0.5 + 0.4 * np.sin(2 * np.pi * (y / 8 + 0.6 * noise(1, 5))) * noise(1, 8, flat=3)
    if name == "grass":
        return noise(8, 44, flat=0.25)
    if name == "forest":
        return noise(5, 14) ** 2 * 1.6
    if name == "lava":
        return np.clip(1.2 - 6 * np.abs(noise(3, 7) - 0.5), 0, 1)
    if name == "stone":
        return np.round(noise(3, 10) * 4) / 4 * 0.8 + 0.2 * noise(20, 44)
    if name == "sky":
        return np.clip(2.2 * noise(1, 5, flat=2.0) - 0.9, 0, 1)
    return noise(1, 5) if name == "snow" else 0.4 * noise(2, 8) + 0.6 * noise(20, 47)


def _band_noise(
    generator: np.random.Generator, low: float, high: float, *, flat: float
) -> np.ndarray:
    """Noise of frequencies low..high cycles a tile, about 0..1; flat > 1 widens it sideways."""
    frequency = np.fft.fftfreq(TILE) * TILE
    fx, fy = np.meshgrid(frequency, frequency)
    radius = np.hypot(fx * flat**0.5, fy / flat**0.5)
    spectrum = np.fft.fft2(generator.standard_normal((TILE, TILE)))
    field = np.fft.ifft2(spectrum * ((radius >= low) & (radius <= high))).real
    return np.clip(0.5 + 0.22 * field / field.std(), 0, 1)


def photo(scenes: Scenes, ground: Tensor, body: Tensor, cover: Tensor, distance: Tensor) -> Tensor:
    """Textured ground, a soft shadow, shading towards the outline, light from one side, noise."""
    pixels = ground.shape[1]
    ground = ground * (1 - 0.35 * torch.sigmoid(-(distance - 1.5)))
    body = body * (0.82 + 0.18 * torch.sigmoid(-0.5 * (distance + 3)))
    picture = ground + (body - ground) * cover
    axis = torch.linspace(-1, 1, pixels)
    angle = _chance(scenes, "light_angle") * 6.2832
    ramp = torch.cos(angle) * axis.view(1, 1, -1, 1) + torch.sin(angle) * axis.view(1, -1, 1, 1)
    picture = picture * (1 + 0.22 * _chance(scenes, "light") * ramp)
    return picture.add_(noise(scenes, pixels), alpha=0.02)


def cartoon(
    scenes: Scenes, ground: Tensor, body: Tensor, cover: Tensor, distance: Tensor
) -> Tensor:
    """Nearly flat ground, strong colours and a black outline; the same for every scene."""
    del scenes
    mean = ground.mean(dim=(1, 2), keepdim=True)
    ground = (mean + 0.45 * (ground - mean) + 0.06).clamp(0, 1)
    picture = ground + (body - ground) * cover
    grey = picture.mean(dim=-1, keepdim=True)
    picture = grey + 1.25 * (picture - grey)
    return picture * (1 - torch.sigmoid(4 * (1.1 - distance.abs())))


def sketch(scenes: Scenes, ground: Tensor, body: Tensor, cover: Tensor, distance: Tensor) -> Tensor:
    """Paper with the ground in pencil, a coloured outline and a faint fill."""
    grey = ground.mean(dim=-1, keepdim=True)
    paper = torch.tensor([0.96, 0.95, 0.90])
    tinted = paper + 0.22 * (ground.mean(dim=(1, 2), keepdim=True) - paper)
    page = tinted + 0.55 * (grey - grey.mean(dim=(1, 2), keepdim=True))
    picture = page + (body - page) * cover * 0.34
    outline = torch.sigmoid(4 * (1.0 - distance.abs()))
    picture = picture + (body * 0.75 - picture) * outline
    return picture.add_(noise(scenes, ground.shape[1]), alpha=0.015)


def night(scenes: Scenes, ground: Tensor, body: Tensor, cover: Tensor, distance: Tensor) -> Tensor:
    """A photo in blue dusk, with much noise."""
    dusk = torch.tensor([0.42, 0.46, 0.60])
    day = photo(scenes, ground, body, cover, distance)
    return (day * dusk).add_(noise(scenes, ground.shape[1]), alpha=0.025)


def noise(scenes: Scenes, pixels: int, *, at: str = "noise") -> Tensor:
    """Standard normal noise, (N, P, P, 3): the window `at` each scene's own place in a table."""
    return torch.from_numpy(noise_bank()).view(-1, 3)[window(scenes, at, pixels)]


@cache
def noise_bank() -> np.ndarray:
    """Standard normal noise to cut windows from, (TILE, TILE, 3) float32."""
    return stream("world", "noise").standard_normal((TILE, TILE, 3)).astype(np.float32)


def window(scenes: Scenes, name: str, pixels: int) -> Tensor:
    """Flat indices (N, P, P) of a window that wraps around in a TILE x TILE table."""
    x, y = (_chance(scenes, f"{name}_{a}").view(-1, 1).mul(TILE).long() for a in "xy")
    along = torch.arange(pixels)
    row, column = (y + along) % TILE, (x + along) % TILE
    return row.unsqueeze(2) * TILE + column.unsqueeze(1)


def _chance(scenes: Scenes, name: str) -> Tensor:
    """One column of jitter, (N, 1, 1, 1) in [0, 1)."""
    return torch.from_numpy(scenes.chance(name)).view(-1, 1, 1, 1)
