"""The notebooks run from top to bottom, headless, and are kept without outputs."""

import json
import re
import shutil
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PAIRS = ROOT.parent / "shared" / "data" / "clip_features"
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
# the deprecations of jupyter's own machinery are not ours to mend
quiet = pytest.mark.filterwarnings("ignore:::jupyter_client|nbclient|zmq|traitlets|asyncio|tornado")


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder to write into, with the features that the second notebook reads, if we have them."""
    for name in ("coco500_pairs.npz", "coco500_pairs_random.npz"):
        if (PAIRS / name).exists():
            shutil.copy(PAIRS / name, tmp_path / name)
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}:{ROOT / 'cli'}")
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return tmp_path


def code_of(path):
    return "\n".join(
        "".join(cell["source"]) for cell in json.loads(path.read_text())["cells"]
        if cell["cell_type"] == "code"
    )  # fmt: skip


def test_there_are_four_notebooks():
    assert len(NOTEBOOKS) == 4


@pytest.mark.slow
@quiet
@every_notebook
def test_a_notebook_runs_from_top_to_bottom(path, workplace):
    if "coco500" in path.read_text() and not (workplace / "coco500_pairs.npz").exists():
        pytest.skip("the real CLIP features are not here")
    book = nbformat.read(path, as_version=4)
    for cell in book.cells:
        cell.source = re.sub(r"^EPOCHS = \d+$", "EPOCHS = 10", cell.source, flags=re.MULTILINE)
    nbclient.NotebookClient(
        book, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(workplace)}}
    ).execute()
    outputs = [out for cell in book.cells if cell.cell_type == "code" for out in cell.outputs]
    drawn = [out for out in outputs if "application/vnd.plotly.v1+json" in out.get("data", {})]
    assert drawn
    assert not [out for out in outputs if out.get("name") == "stderr" and "Error" in out["text"]]


@every_notebook
def test_a_notebook_is_kept_without_outputs(path):
    cells = json.loads(path.read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code)


@every_notebook
def test_a_notebook_calls_and_defines_next_to_nothing(path):
    lines = [line for line in code_of(path).splitlines() if line.strip()]
    assert len(lines) < 60
    assert len(re.findall(r"^class ", code_of(path), re.MULTILINE)) <= 1
