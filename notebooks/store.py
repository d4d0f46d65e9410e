"""Run notebooks from top to bottom and keep their outputs: `python notebooks/store.py [NUMBER ...]`

A figure is kept twice: as plotly's data, interactive where a viewer can draw it, and as a PNG, for
where notebooks are only viewed. plotly's script is not kept. The second notebook reads two files of
features: give their folder as FEATURES in the environment. PNGs need kaleido and a Chromium.
"""

import base64
import hashlib
import io
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import plotly.graph_objects as go
from PIL import Image

from ncscope.plots import save_figure

FOLDER = Path(__file__).parent
PLOTLY, PNG = "application/vnd.plotly.v1+json", "image/png"
_COLOURS = 128  # of a PNG: a third of the bytes, and no difference to the eye


def code_cells(book: Any) -> list[Any]:
    """A notebook's cells of code."""
    return [cell for cell in book.cells if cell.cell_type == "code"]


def digest(book: Any) -> str:
    """Of the code: outputs kept with another one are of another notebook."""
    code = "\0".join(cell.source for cell in code_cells(book))
    return hashlib.sha256(code.encode()).hexdigest()[:16]


def executed(book: Any, folder: Path) -> Any:
    """The notebook, run in `folder` by a kernel of its own, with figures as plotly's data alone."""
    os.environ["PLOTLY_RENDERER"] = "plotly_mimetype"  # the kernel's, which inherits it
    metadata = book.metadata.copy()
    nbclient.NotebookClient(
        book, timeout=300, kernel_name="python3", record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    ).execute()  # fmt: skip
    book.metadata = metadata  # without this machine's Python
    return book


def with_stills(book: Any) -> Any:
    """The notebook with a PNG beside each figure, and with the digest of its code."""
    for cell in code_cells(book):
        for output in cell.outputs:
            if PLOTLY in output.get("data", {}):
                output.data[PNG] = _png(output.data[PLOTLY])
    book.metadata["code"] = digest(book)
    return book


def _png(figure: dict[str, Any]) -> str:
    content = go.Figure({part: figure[part] for part in ("data", "layout")})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "figure.png"
        height = figure["layout"].get("height", 560)
        save_figure(content, path, width=860, height=height, scale=1)
        with Image.open(path) as image:
            small = image.convert("RGB").quantize(_COLOURS)
    target = io.BytesIO()
    small.save(target, format="png", optimize=True)
    return base64.b64encode(target.getvalue()).decode()


def _written(book: Any) -> str:
    """The file's text, with each figure's data on one line."""
    lines = {}
    for cell in code_cells(book):
        for output in cell.outputs:
            if PLOTLY in output.get("data", {}):
                mark = f"figure {len(lines)} {digest(book)}"
                lines[mark] = json.dumps(output.data[PLOTLY], separators=(",", ":"))
                output.data[PLOTLY] = mark
    text = nbformat.writes(book)
    for mark, line in lines.items():
        text = text.replace(f'"{mark}"', line)
    return text + "\n"


def main() -> None:
    """Run and keep those whose numbers are given, or all."""
    for path in sorted(FOLDER.glob("*.ipynb")):
        if sys.argv[1:] and path.name[0] not in sys.argv[1:]:
            continue
        with tempfile.TemporaryDirectory() as folder:
            for features in Path(os.environ.get("FEATURES", FOLDER)).glob("coco500_pairs*.npz"):
                shutil.copy(features, folder)
            book = with_stills(executed(nbformat.read(path, as_version=4), Path(folder)))
        path.write_text(_written(book), encoding="utf-8")
        print(f"{path.name}: {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
