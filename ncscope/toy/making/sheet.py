"""Contact sheets for docs/toy.md: `python -m ncscope.toy.making.sheet --out docs/img`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ncscope.toy.images import toy_images
from ncscope.toy.paint import PIXELS, render
from ncscope.toy.tasks import TASKS
from ncscope.toy.world import FACTORS, SHAPES, STYLES, draw_scenes, stream

_ZOOM = 2
_CELL = (PIXELS * _ZOOM + 8, PIXELS * _ZOOM + 19)  # width and height, with room for a caption
_MARGIN = 96  # at the left, for the name of a row

Cell = tuple[str, np.ndarray]  # caption and picture


def scenes_sheet() -> Image.Image:
    """Values of the factors, and sixteen scenes in the four styles."""
    plain = {"texture": 0, "background": 0, "style": 0}
    heart, fish, house, boat = (SHAPES.index(n) for n in ("heart", "fish", "house", "boat"))
    yellow = FACTORS["colour"].index("yellow")
    red_heart = plain | {"shape": heart, "colour": 0}
    rows = [
        ("shape", _row("shape", plain | {"size": 2, "colour": yellow}, range(14))),
        ("", _row("shape", plain | {"size": 2, "colour": yellow}, range(14, len(SHAPES)))),
        ("colour", _row("colour", plain | {"size": 2, "shape": house})),
        ("texture", _row("texture", {"size": 2, "shape": fish, "colour": yellow, "style": 0})),
        ("background", _row("background", {"size": 1, "shape": boat, "texture": 0, "style": 0})),
        (
            "count, place,\nsize",
            _row("count", red_heart)
            + _row("place", red_heart | {"size": 0})
            + _row("size", red_heart | {"place": 0}),
        ),
    ]
    drawn = draw_scenes(stream("world", "sheet", "styles"), 16)
    for style, name in enumerate(STYLES):
        drawn.factors["style"][:] = style
        rows.append((name, [("", picture) for picture in render(drawn).numpy()]))
    return _sheet(rows)


def tasks_sheet() -> Image.Image:
    """Four base and four new classes of every task, through the camera of the task."""
    rows: list[tuple[str, list[Cell]]] = []
    for task in TASKS.values():
        images = toy_images(task.name, per_class=1, space="tuning")
        half = (len(images) + 1) // 2
        shown = [*range(4), *range(half, half + 4)]
        cells = [(images.classnames[i], np.asarray(images.load(i))) for i in shown]
        rows.append((f"{task.name}\n{len(images)} classes\n\n4 base,\n4 new", cells))
    return _sheet(rows, wide=1.45)


def _row(factor: str, fixed: dict[str, int], values: Sequence[int] | None = None) -> list[Cell]:
    """One scene a value of a factor."""
    cells = []
    for value in values or range(len(FACTORS[factor])):
        generator = stream("world", "sheet", factor, value)
        scene = draw_scenes(generator, 1, fixed=fixed | {factor: value})
        cells.append((FACTORS[factor][value], render(scene)[0].numpy()))
    return cells


def _sheet(rows: list[tuple[str, list[Cell]]], *, wide: float = 1.0) -> Image.Image:
    """Rows of captioned pictures with a name at the left, in 256 colours."""
    width, height = int(_CELL[0] * wide), _CELL[1]
    most = max(len(cells) for _, cells in rows)
    sheet = Image.new("RGB", (_MARGIN + most * width, len(rows) * height + 6), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)
    for row, (name, cells) in enumerate(rows):
        top = row * height + 6
        draw.text((6, top + 4), name, fill="black", font=font)
        for column, (caption, picture) in enumerate(cells):
            left = _MARGIN + column * width
            size = (PIXELS * _ZOOM, PIXELS * _ZOOM)
            tile = Image.fromarray(picture).resize(size, Image.Resampling.NEAREST)
            sheet.paste(tile, (left, top))
            draw.text((left, top + size[1] + 1), caption, fill="black", font=font)
    return sheet.quantize(256, dither=Image.Dither.NONE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    scenes_sheet().save(out / "toy-scenes.png", optimize=True)
    tasks_sheet().save(out / "toy-tasks.png", optimize=True)


if __name__ == "__main__":
    main()
