"""The four styles of the toy world, which are its domains: photo, cartoon, sketch, night.

Each takes the ground and the body of a batch of scenes, how much the body covers, and the
distance from its outline in pixels, and gives pictures (N, P, P, 3) in about 0..1.
N scenes, P pixels a side.
"""

import torch
from torch import Tensor

from ncscope.toy.surfaces import TILE, noise_bank
from ncscope.toy.world import Scenes


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


def noise(scenes: Scenes, pixels: int) -> Tensor:
    """Standard normal noise, (N, P, P, 3): a window of a table, of each scene's own choice."""
    return torch.from_numpy(noise_bank()).view(-1, 3)[window(scenes, "noise", pixels)]


def window(scenes: Scenes, name: str, pixels: int) -> Tensor:
    """Flat indices (N, P, P) of a window that wraps around in a TILE x TILE table."""
    x, y = (_chance(scenes, f"{name}_{a}").view(-1, 1).mul(TILE).long() for a in "xy")
    along = torch.arange(pixels)
    row, column = (y + along) % TILE, (x + along) % TILE
    return row.unsqueeze(2) * TILE + column.unsqueeze(1)


def _chance(scenes: Scenes, name: str) -> Tensor:
    """One column of jitter, (N, 1, 1, 1) in [0, 1)."""
    return torch.from_numpy(scenes.chance(name)).view(-1, 1, 1, 1)
