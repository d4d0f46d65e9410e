"""Small pictures of the images that a page draws, so that a point can be looked at."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from PIL import Image

from ncscope.errors import DataError
from ncscope.features.bundle import Features
from ncscope.text import number

SIDE = 72  # pixels of the longer side
_BUDGET = 2_000_000  # bytes of pictures in a page, over all runs
_MOST = 1500  # pictures in a page: each costs reading an image
_QUALITY = 60  # of the JPEGs


@dataclass
class Thumbnails:
    """JPEGs in base64, and for each run which picture belongs to which row of its images."""

    pictures: list[str] = field(default_factory=list)
    rows: list[dict[int, int]] = field(default_factory=list)
    wanted: int = 0

    def note(self) -> str | None:
        """How many of the drawn images have a picture, in a sentence; None where none has."""
        have = sum(len(rows) for rows in self.rows)
        if not have:
            return None
        size = f"{sum(map(len, self.pictures)) / 1e6:.1f} MB of small JPEGs"
        if have == self.wanted:
            return f"Pointing at an image shows it ({size})."
        share = f"{number(have)} of the {number(self.wanted)} drawn, chosen at random"
        return f"Pointing at an image shows it: {share} ({size})."


def drawn_rows(figure: Mapping[str, Any]) -> list[int]:
    """The rows of the images in a figure's JSON: the second number of each point's `customdata`."""
    rows = {row for trace in figure["data"] for _, row in trace.get("customdata") or () if row >= 0}
    return sorted(rows)


def thumbnails_of(
    runs: Sequence[Features], drawn: Sequence[Sequence[int]], *, budget: int = _BUDGET,
    most: int = _MOST, seed: int = 0,
) -> Thumbnails:  # fmt: skip
    """Pictures of the drawn rows of each run that has them at hand, as far as the budget goes.

    Rows are taken in turn from every run, in an order drawn by `seed`, so that no class and no run
    is favoured. An image that two runs share is read and kept once. Unreadable files are passed
    over: their features were made, and a picture is only a help.
    """
    made = Thumbnails(rows=[{} for _ in runs])
    orders = [_shuffled(r, seed) if f.preview else [] for f, r in zip(runs, drawn, strict=True)]
    made.wanted = sum(map(len, orders))
    known: dict[tuple[Any, int], int] = {}
    spent = 0
    for place, row in _in_turn(orders):
        key = (_content(runs[place], place), row)
        if key not in known:
            if len(made.pictures) >= most or spent >= budget:
                continue
            picture = _picture(runs[place], row)
            if picture is None or spent + len(picture) > budget:
                continue
            known[key] = len(made.pictures)
            made.pictures.append(picture)
            spent += len(picture)
        made.rows[place][row] = known[key]
    return made


def _shuffled(rows: Sequence[int], seed: int) -> list[int]:
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    return [rows[index] for index in order.tolist()]


def _in_turn(orders: Sequence[Sequence[int]]) -> list[tuple[int, int]]:
    longest = max(map(len, orders), default=0)
    return [
        (place, order[step])
        for step in range(longest)
        for place, order in enumerate(orders)
        if step < len(order)
    ]


def _content(features: Features, place: int) -> Any:
    """What two runs on the same images share."""
    content = features.provenance.get("content")
    digest = content.get("images") if isinstance(content, dict) else None
    return place if digest is None else digest


def _picture(features: Features, row: int) -> str | None:
    assert features.preview is not None
    try:
        return jpeg(features.preview(row))
    except (DataError, OSError):
        return None


def jpeg(image: Image.Image) -> str:
    """An image as a small JPEG in base64, without any of the file's metadata."""
    small = image.convert("RGB")
    small.thumbnail((SIDE, SIDE))
    bare = Image.frombytes("RGB", small.size, small.tobytes())
    stream = io.BytesIO()
    bare.save(stream, "JPEG", quality=_QUALITY, optimize=True)
    return base64.b64encode(stream.getvalue()).decode("ascii")
