"""The notebooks run from top to bottom, headless, and are kept with what they show."""

import base64
import json
import re
import shutil
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
pytest.importorskip("nbclient", reason="nbclient is not installed")

from notebooks.store import PLOTLY, PNG, code_cells, digest, executed  # noqa: E402

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
    monkeypatch.setenv("PLOTLY_RENDERER", "")  # put back as it was: executed() sets it
    return tmp_path


@pytest.fixture
def book(path):
    return nbformat.read(path, as_version=4)


def outputs_of(book):
    return [output for cell in code_cells(book) for output in cell.outputs]


def test_there_are_four_notebooks():
    assert len(NOTEBOOKS) == 4


@pytest.mark.slow
@quiet
@every_notebook
def test_a_notebook_runs_from_top_to_bottom(path, book, workplace):
    if "coco500" in path.read_text() and not (workplace / "coco500_pairs.npz").exists():
        pytest.skip("the real CLIP features are not here")
    for cell in book.cells:
        cell.source = re.sub(r"^EPOCHS = \d+$", "EPOCHS = 10", cell.source, flags=re.MULTILINE)
    outputs = outputs_of(executed(book, workplace))
    assert [output for output in outputs if PLOTLY in output.get("data", {})]
    assert not [out for out in outputs if out.get("name") == "stderr" and "Error" in out["text"]]


@every_notebook
def test_a_notebook_is_kept_with_the_outputs_of_its_code_as_it_is(book):
    cells = code_cells(book)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert book.metadata["code"] == digest(book), "run notebooks/store.py"
    assert all(cell.outputs for cell in cells if cell.source.startswith("ncscope.plots"))
    assert not [out for out in outputs_of(book) if out.output_type == "error"]
    assert not [out for out in outputs_of(book) if out.get("name") == "stderr"]


@every_notebook
def test_each_figure_is_kept_interactive_and_as_a_picture(book):
    figures = [out.data for out in outputs_of(book) if PLOTLY in out.get("data", {})]
    assert len(figures) == sum(
        "\nncscope.plots." in f"\n{cell.source}" for cell in code_cells(book)
    )
    for data in figures:
        assert data[PLOTLY]["data"]
        assert base64.b64decode(data[PNG]).startswith(b"\x89PNG")
        assert "text/html" not in data  # plotly's script: megabytes


@every_notebook
def test_a_notebook_is_small_and_of_no_machine(path, book):
    assert path.stat().st_size < 500_000
    said = json.dumps(
        [{**out, "data": {**out.get("data", {}), PNG: ""}} for out in outputs_of(book)]
    )
    assert not re.search(r"/(home|root|tmp|work|usr|Users|content)/|[A-Z]:\\\\", said)
    assert book.metadata["language_info"] == {"name": "python"}


@every_notebook
def test_a_notebook_calls_and_defines_next_to_nothing(book):
    code = "\n".join(cell.source for cell in code_cells(book)[1:])
    assert len([line for line in code.splitlines() if line.strip()]) < 60
    assert len(re.findall(r"^class ", code, re.MULTILINE)) <= 1


@every_notebook
def test_the_first_cell_installs_only_what_is_missing(book, tmp_path, monkeypatch):
    """From a wheel beside the notebook, or a clone in or beside which it lies."""
    first = code_cells(book)[0].source
    assert first == code_cells(nbformat.read(NOTEBOOKS[0], as_version=4))[0].source
    body = first.replace('%pip install --quiet "{found[0]}"', "asked.append(found[0])")
    assert body != first
    asked = []
    exec(body, {"asked": asked})
    assert asked == []
    (tmp_path / "beside").mkdir()
    monkeypatch.chdir(tmp_path / "beside")
    monkeypatch.setattr("importlib.util.find_spec", {}.get)
    with pytest.raises(ImportError, match="Upload a wheel"):
        exec(body, {"asked": asked})
    (tmp_path / "ncscope").mkdir()
    (tmp_path / "ncscope" / "__init__.py").touch()
    exec(body, {"asked": asked})
    Path("ncscope-0.2.0-py3-none-any.whl").touch()
    exec(body, {"asked": asked})
    assert asked == [Path(".."), Path("ncscope-0.2.0-py3-none-any.whl")]
