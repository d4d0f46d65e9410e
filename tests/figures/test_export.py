"""Figures and tables as files: every format, on a white ground, with text kept as text."""

# plotly's objects have attributes that a type checker cannot know.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false
# pyright: reportOptionalMemberAccess=false, reportOptionalOperand=false

import base64
import csv
import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest
from PIL import Image

from ncscope import plots
from ncscope.diagnosis.measure import measure
from ncscope.diagnosis.tables import as_latex, as_markdown, written_as
from ncscope.errors import DataError
from ncscope.figures import export
from ncscope.figures.export import save_figure
from ncscope.page.report import Report
from ncscope.text import in_csv
from tests.made_features import noisy
from tests.run_folders import write_run

ROOT = Path(__file__).parents[2]
NASTY = "<img src=x onerror=alert(1)>"
BROWSERS = ("chromium", "chromium-browser", "chrome", "google-chrome")
needs_browser = pytest.mark.skipif(
    not any(map(shutil.which, BROWSERS)), reason="no chromium found to draw images with"
)
MAGIC = {"png": b"\x89PNG", "svg": b"<svg", "pdf": b"%PDF"}


@pytest.fixture
def figure():
    return plots.angle_histogram({"text": noisy(4).text @ noisy(4).text.T / 400}, 4)


@needs_browser
@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_a_figure_becomes_an_image(tmp_path, figure, kind):
    path = save_figure(figure, tmp_path / "new" / f"angles.{kind}", width=300, height=200, scale=1)
    assert path.read_bytes().startswith(MAGIC[kind])
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.slow
@needs_browser
@pytest.mark.parametrize("kind", ["png", "svg"])
def test_a_picture_has_every_scene_as_a_whole(tmp_path, kind):
    """Two scenes of which plotly draws the second with holes: here as where it is the only one."""
    book = json.loads((ROOT / "notebooks" / "1_diagnose_a_checkpoint.ipynb").read_text())
    mime = "application/vnd.plotly.v1+json"
    outputs = [out for cell in book["cells"] for out in cell.get("outputs", [])]
    kept = next(out["data"][mime] for out in outputs if mime in out.get("data", {}))
    figure = go.Figure({part: kept[part] for part in ("data", "layout")})
    assert {trace.scene for trace in figure.data} == {"scene", "scene2"}
    ink = [drawn(figure, tmp_path / f"drawn.{kind}")]
    for trace in figure.data:
        if trace.scene == "scene":
            trace.update(x=[None], y=[None], z=[None])
    ink.append(drawn(figure, tmp_path / f"drawn.{kind}"))
    assert ink[0][1] == ink[1][1] > 2000
    assert ink[0][0] > 2000 > ink[1][0]


def drawn(figure, path):
    """Coloured pixels of the left scene and of the right one."""
    save_figure(figure, path, width=860, height=560, scale=1)
    if path.suffix == ".svg":
        found = re.findall("data:image/png;base64,([A-Za-z0-9+/=]+)", path.read_text())
        return [coloured(base64.b64decode(pixels)).sum() for pixels in found]
    columns = coloured(path.read_bytes())[150:520].sum(axis=0)
    return columns[:430].sum(), columns[430:].sum()


def coloured(png):
    with Image.open(io.BytesIO(png)) as image:
        pixels = np.asarray(image.convert("RGBA")).astype(int)
    return (np.ptp(pixels[:, :, :3], axis=2) > 40) & (pixels[:, :, 3] > 128)


def test_html_is_whole_interactive_and_fetches_nothing(tmp_path):
    features = noisy(4)
    named = type(features)(
        image=features.image, label=features.label, text=features.text,
        classnames=(NASTY, "b", "c", "d"),
    )  # fmt: skip
    words = save_figure(plots.simplex(named), tmp_path / "simplex.html").read_text()
    assert "plotly.js v" in words
    assert "<script src=" not in words
    assert NASTY not in words
    assert "updatemenus" in words


def test_the_figure_itself_is_left_as_it_was(tmp_path, figure):
    before = figure.to_json()
    save_figure(figure, tmp_path / "a.html")
    assert figure.to_json() == before


def test_a_motion_keeps_its_frames_in_html_and_loses_the_slider_in_an_image(tmp_path):
    moving = plots.simplex_motion(write_run(tmp_path / "run"))
    assert "addFrames" in save_figure(moving, tmp_path / "m.html").read_text()
    still = export._on_white(moving, still=True)
    assert len(still.layout.sliders) == len(still.frames) == 0


def test_other_suffixes_are_refused(tmp_path, figure):
    with pytest.raises(DataError, match=r"written as \.html, \.png, \.svg or \.pdf"):
        save_figure(figure, tmp_path / "a.gif")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("Image export requires the kaleido package"), "pip install"),
        (ImportError("No module named kaleido"), "pip install"),
        (type("ChromeNotFoundError", (RuntimeError,), {})("no browser"), "install one"),
        (RuntimeError("something\nelse"), r"could not be made \(RuntimeError: something else"),
    ],
)
def test_what_is_missing_is_said_in_a_line(tmp_path, figure, monkeypatch, error, message):
    def fail(*_args, **_options):
        raise error

    monkeypatch.setattr("plotly.graph_objects.Figure.to_image", fail)
    with pytest.raises(DataError, match=message):
        save_figure(figure, tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def report():
    return Report((measure(noisy(5, counts=[40, 20, 9, 5, 2]), bootstrap=0,
                           train_counts=[40, 20, 9, 5, 2]),
                   measure(noisy(5, seed=1), bootstrap=0)))  # fmt: skip


def test_every_table_is_there_in_every_format(report):
    for form in ("csv", "md", "tex"):
        assert set(report.tables(form)) == {"summary", "classes-1", "classes-2", "groups-1"}


def test_csv_tables_hold_the_numbers_of_the_record(report):
    head, *rows = csv.reader(io.StringIO(report.tables("csv")["summary"]))
    assert len(head) == 5
    found = next(row for row in rows if row[0] == "Δ LCD, centred")
    for cell, record in zip(found[1:3], report.records, strict=True):
        assert float(cell) == pytest.approx(record["summary"]["delta_lcd"]["centred"], abs=1e-4)


def test_saving_writes_the_tables_asked_for(report, tmp_path):
    written = report.save(tmp_path, html=False, tables_as=["md", "tex"])
    assert tmp_path / "tables" / "summary.tex" in written
    assert (tmp_path / "tables" / "classes-2.md").read_text().startswith("| class |")


@pytest.mark.parametrize("option", ["tables_as", "images_as"])
def test_an_unknown_format_is_refused_before_anything_is_written(report, tmp_path, option):
    with pytest.raises(DataError, match="got 'doc'"):
        report.save(tmp_path / "new", **{option: ["doc"]})
    assert not (tmp_path / "new").exists()


@needs_browser
@pytest.mark.slow
def test_every_figure_of_a_report_becomes_an_image(tmp_path):
    one = Report((measure(noisy(3, each=4), bootstrap=0),))
    names = {path.name for path in export.save_figures(one.runs, tmp_path, kind="png")}
    assert {"simplex-1-noisy.png", "cosines-3-noisy.png", "classes-1-noisy.png"} <= names
    assert {path.name for path in tmp_path.iterdir()} == names


def test_cells_are_text_in_markdown():
    made = as_markdown([["a|b", "x"], [NASTY, "*1*\n2"]])
    assert made.splitlines()[0] == r"| a\|b | x |"
    assert r"\<img src=x onerror=alert(1)\>" in made
    assert r"\*1\* 2" in made


def test_cells_are_text_in_latex():
    made = as_latex([["%", "x"], ["[50_000]", r"\input{a} 10⁻³ √2"]])
    assert r"\% & x \\" in made
    assert r"{}[50\_000] & \textbackslash{}input\{a\} 10$^{-3}$ $\surd$2 \\" in made
    assert made.count(r"\toprule") == 1


def test_csv_quotes_what_must_be_quoted():
    assert list(csv.reader(io.StringIO(in_csv([["a,b", 'c"d'], ["1", "2\n3"]])))) == [
        ["a,b", 'c"d'],
        ["1", "2\n3"],
    ]


def test_an_unknown_table_format_is_refused():
    with pytest.raises(DataError, match="csv, md, tex; got 'xls'"):
        written_as([["a"]], "xls")
