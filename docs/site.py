"""What `mkdocs build` does beside: the gallery's reports are made, none is kept in the repository.

Links that leave the docs (code, notebooks, CONTRIBUTING.md) are right on GitHub; on the site their
words stay, without a link.
"""

import re
import tempfile
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

FOLDER = Path(tempfile.mkdtemp(prefix="ncscope-gallery-"))


def on_files(files: Files, config: Any) -> Files:
    """Add the gallery's whole reports, each one file."""
    for name, report in _reports():
        report.save(FOLDER / name, thumbnails=False)
        source = FOLDER / name / "report.html"
        files.append(File.generated(config, f"gallery/{name}.html", abs_src_path=str(source)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Leave out links to what is no page."""
    return re.sub(r"\[([^\]]*)\]\(\.\./[^)]*\)", r"\1", markdown)


def _reports() -> Any:
    import ncscope

    toy: dict[str, Any] = {"data": "toy:colours", "cache": "off"}
    features = ncscope.extract("zero-shot", **toy)
    yield "zero-shot", ncscope.analyze(features, bootstrap=20)
    yield "moves", ncscope.analyze(features, bootstrap=20, intervene=True)
    other = ncscope.extract("zero-shot", **toy, template="a sketch of a {}.")
    yield "side-by-side", ncscope.analyze(features, other, bootstrap=20)
