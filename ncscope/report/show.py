"""Showing a report where the user is: inside a notebook, or in a browser."""

import sys
import tempfile
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

from ncscope.report.page import page

if TYPE_CHECKING:
    from ncscope.report.measure import Report


def show_page(report: "Report") -> None:
    """Display the page in a notebook's output; elsewhere write it to a file and open a browser."""
    if "IPython" in sys.modules:
        from IPython import get_ipython  # pyright: ignore[reportMissingImports]
        from IPython.display import HTML, display  # pyright: ignore[reportMissingImports]

        if get_ipython() is not None:
            display(HTML(_framed(page(report))))
            return
    with tempfile.NamedTemporaryFile("w", suffix=".html", delete=False, encoding="utf-8") as file:
        file.write(page(report))
    webbrowser.open(Path(file.name).as_uri())


def _framed(body: str) -> str:
    """The page in a frame of its own, so that its styles do not leak into the notebook."""
    quoted = body.replace("&", "&amp;").replace('"', "&quot;")
    return f'<iframe srcdoc="{quoted}" style="width:100%;height:80vh;border:0"></iframe>'
