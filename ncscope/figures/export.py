"""Figures as files: HTML that opens offline, or PNG, SVG and PDF for papers and slides."""

import base64
import copy
import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageChops

from ncscope.diagnosis.measure import Run
from ncscope.errors import DataError
from ncscope.figures.figures import Figure
from ncscope.figures.gallery import plots_of
from ncscope.text import clean
from ncscope.writing import replacing

_KINDS = ("png", "svg", "pdf")
_PIXELS = re.compile(rb"data:image/png;base64,[A-Za-z0-9+/=]+")
_PAPER, _INK = "#ffffff", "#1d2126"
# Width and height by the kind of a plot
_SIZES = {"scene": (900, 760), "square": (760, 720), "curves": (900, 1150), "wide": (960, 520)}


def save_figure(
    figure: Figure, path: str | Path, *, width: int = 900, height: int = 640, scale: float = 2
) -> Path:
    """Write a figure on a white ground by the suffix of `path`: .html, .png, .svg or .pdf.

    HTML holds plotly's script, stays interactive and opens offline. Images need the extra `images`
    (kaleido) and a Chrome or Chromium; what is drawn in three dimensions is pixels in all of them,
    and of several scenes side by side PDF has plotly's holes in the later ones.

    Args:
        width, height: of an image, in pixels before `scale`, which multiplies a PNG's.

    Raises:
        DataError: another suffix, kaleido or its browser missing, or a file that cannot be written.
    """
    path = Path(path)
    kind = path.suffix.lower().lstrip(".")
    if kind != "html" and kind not in _KINDS:
        raise DataError(f"{path}: figures are written as .html, .png, .svg or .pdf")
    content = _on_white(figure, still=kind != "html")
    if kind == "html":
        made = content.to_html(include_plotlyjs=True, full_html=True).encode()
    else:
        made = _image(content, kind, width=width, height=height, scale=scale)
    with replacing(path) as temporary:
        temporary.write_bytes(made)
    return path


def save_figures(
    runs: Sequence[Run], folder: str | Path, *, kind: str = "png",
    progress: Callable[[str], object] | None = None,
) -> list[Path]:  # fmt: skip
    """Every figure of these runs' page as an image: `simplex-1-RUN.png`, …; takes seconds each.

    Raises:
        DataError: as for `save_figure`.
    """
    check_kinds([kind])
    written = []
    for section, plots in plots_of(runs).items():
        for place, plot in enumerate(plots, start=1):
            path = Path(folder) / f"{section}-{place}-{_slug(plot.run)}.{kind}"
            if progress is not None:
                progress(path.name)
            plot.figure.update_traces(showscale=True, selector={"type": "heatmap"})
            width, height = _SIZES[plot.kind.split()[0]]
            written.append(save_figure(plot.figure, path, width=width, height=height))
    return written


def check_kinds(kinds: Sequence[str]) -> None:
    """Refuse kinds of images that there are not.

    Raises:
        DataError: another kind.
    """
    for kind in kinds:
        if kind not in _KINDS:
            raise DataError(f"images are written as {', '.join(_KINDS)}; got {kind!r}")


def _on_white(figure: Figure, *, still: bool) -> Figure:
    """A copy with dark ink on a white ground; without buttons and sliders where it is `still`."""
    content = copy.deepcopy(figure)
    content.update_layout(paper_bgcolor=_PAPER, font_color=_INK)
    if still:
        content.layout.updatemenus = ()
        content.layout.sliders = ()
        content.frames = ()
    return content


def _image(figure: Figure, kind: str, *, width: int, height: int, scale: float) -> bytes:
    scenes = sorted({_scene(trace) for trace in _traces(figure) if "scene" in trace})
    several = kind in _TOGETHER and scenes[1:]
    alone = [_alone(figure, scene) for scene in scenes] if several else [figure]
    try:
        images = [
            content.to_image(format=kind, width=width, height=height, scale=scale)
            for content in alone
        ]
    except Exception as error:  # of plotly, kaleido and its browser: no common base
        raise DataError(_reason(error)) from None
    return _TOGETHER[kind](images) if images[1:] else images[0]


def _alone(figure: Figure, scene: str) -> Figure:
    """A copy with nothing in other scenes: plotly draws holes into all but the first of several."""
    content = copy.deepcopy(figure)
    for trace in _traces(content):
        if "scene" in trace and _scene(trace) != scene:
            trace.update(x=[None], y=[None], z=[None])
    return content


def _traces(figure: Any) -> Sequence[Any]:
    return figure.data


def _scene(trace: Any) -> str:
    return trace.scene or "scene"


def _darkest(images: Sequence[bytes]) -> bytes:
    """PNGs on white, laid over one another."""
    pixels, *others = (Image.open(io.BytesIO(image)).convert("RGB") for image in images)
    for other in others:
        pixels = ImageChops.darker(pixels, other)
    target = io.BytesIO()
    pixels.save(target, format="png")
    return target.getvalue()


def _fullest(images: Sequence[bytes]) -> bytes:
    """SVGs of one figure in one, with the fullest of the pixels that each has in a place."""
    pixels = zip(*(_PIXELS.findall(image) for image in images), strict=True)
    fullest = (max(same, key=_filled) for same in pixels)
    return _PIXELS.sub(lambda _: next(fullest), images[0])


def _filled(pixels: bytes) -> int:
    """How many of a PNG's pixels are not wholly transparent."""
    with Image.open(io.BytesIO(base64.b64decode(pixels.rpartition(b",")[2]))) as image:
        return sum(image.convert("RGBA").getchannel("A").histogram()[1:])


_TOGETHER = {"png": _darkest, "svg": _fullest}  # a figure's images of one scene each, in one


def _reason(error: Exception) -> str:
    """One line for what keeps an image from being made."""
    words = clean(error)
    if isinstance(error, ImportError | ValueError) and "kaleido" in words.lower():
        return 'images need kaleido, which is not installed: pip install "ncscope[images]"'
    if "chrome" in f"{type(error).__name__} {words}".lower():
        return (
            "images need a Chrome or Chromium, and none was found: install one (apt install "
            "chromium), or write .html"
        )
    return f"the image could not be made ({type(error).__name__}: {words[:200]})"


def _slug(name: str) -> str:
    """A run's name as part of a file's name."""
    return re.sub(r"[^A-Za-z0-9.@-]+", "-", name).strip("-.") or "run"
