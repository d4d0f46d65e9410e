"""The page: complete, self-contained, and deaf to whatever a name or a path may say."""

# What is None where a test expects a value fails the test by itself; plotly's and playwright's
# objects have attributes that a type checker cannot know.
# pyright: reportOptionalMemberAccess=false, reportAttributeAccessIssue=false
# pyright: reportArgumentType=false

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
import torch
from plotly.offline import get_plotlyjs

from ncscope.diagnosis.measure import Run, measure
from ncscope.diagnosis.summary import GLOSSARY
from ncscope.errors import DataError
from ncscope.features.bundle import Features
from ncscope.figures import page_pairs
from ncscope.figures.gallery import plots_of
from ncscope.figures.style import DIVERGING_DARK, DIVERGING_LIGHT
from ncscope.page.measures import best_runs
from ncscope.page.page import page, write_page
from ncscope.page.report import Report
from tests.made_features import named, noisy
from tests.shapes import unit_rows

NASTY = "<img src=x onerror=alert(1)>"


class Reader(HTMLParser):
    """What a browser would find: tags with their attributes, and the text of each section."""

    def __init__(self, source):
        super().__init__()
        self.tags, self.scripts, self.words = [], [], []
        self.inside = None
        self.feed(source)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):  # noqa: ARG002
        self.inside = None

    def handle_data(self, data):
        if self.inside == "script":
            self.scripts[-1] += data
        elif self.inside != "style":
            self.words.append(data)


def report_of(*features, **options):
    return Report(tuple(measure(one, bootstrap=0, **options) for one in features))


def renamed(features, names):
    return Features(
        image=features.image, label=features.label, text=features.text, classnames=names,
        logit_scale=features.logit_scale, provenance=features.provenance,
    )  # fmt: skip


def sourced(features, source, data="birds"):
    return replace(features, provenance={"source": source, "data": data})


def text_only(num_classes, width):
    rows = unit_rows(num_classes, width)
    return Features(image=None, label=None, text=rows, classnames=named(num_classes))


@pytest.fixture(scope="module")
def one_run():
    return page(report_of(noisy(6)).runs)


@pytest.fixture(scope="module")
def two_runs():
    return page(report_of(sourced(noisy(6), "out/a/1"), sourced(noisy(6, seed=1), "out/b/1")).runs)


def words_of(source):
    return re.sub(r"\s+", " ", " ".join(Reader(source).words))


def test_plotly_is_inside_once_however_many_figures(two_runs):
    assert two_runs.count("plotly.js v") == 1
    assert len([a for tag, a in Reader(two_runs).tags if "data-figure" in a]) > 8


def test_nothing_is_fetched_from_anywhere(one_run):
    for tag, attributes in Reader(one_run).tags:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base", "form")
        assert not {"src", "srcset", "data", "action", "style"} & set(attributes) - {"style"}
        assert not any(name.startswith("on") for name in attributes)
        assert attributes.get("href", "#").startswith("#")
    styles = one_run[one_run.index("<style>") : one_run.index("</style>")]
    assert "url(" not in styles
    assert "@import" not in styles


def test_the_policy_allows_these_scripts_and_no_other(one_run):
    reader = Reader(one_run)
    policy = next(a["content"] for _, a in reader.tags if "http-equiv" in a)
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-inline" not in policy.split("style-src")[0]
    data, links, pictures, plotly, *own = reader.scripts
    assert plotly == get_plotlyjs()
    hashes = [hashlib.sha256(script.encode()).digest() for script in (plotly, *own)]
    digests = [base64.b64encode(found).decode() for found in hashes]
    assert re.findall(r"sha256-([^']+)", policy) == digests
    assert json.loads(data)
    assert json.loads(pictures)["pictures"] == []
    assert json.loads(links)["runs"] == ["noisy"]
    assert "<" not in data + links + pictures


def test_every_figure_that_is_placed_has_its_data(one_run):
    reader = Reader(one_run)
    placed = [a["data-figure"] for _, a in reader.tags if "data-figure" in a]
    figures = json.loads(reader.scripts[0])
    assert sorted(placed) == sorted(figures)
    kinds = {trace["type"] for figure in figures.values() for trace in figure["data"]}
    assert kinds == {"scatter3d", "heatmap", "scatter", "bar"}


def test_names_sources_and_provenance_are_never_markup():
    names = (NASTY, "</script><script>alert(2)</script>", "<!--", '" onclick="alert(3)', "a", "b")
    features = renamed(noisy(6), names)
    evil = {"source": f"runs/{NASTY}", "data": "<b>data</b>", "x<i>": {"k": ["</td>", NASTY]}}
    source = page(report_of(replace(features, provenance=evil)).runs)
    reader = Reader(source)
    assert len(reader.scripts) == 9
    assert not [tag for tag, _ in reader.tags if tag == "img"]
    assert not [a for _, a in reader.tags if any(name.startswith("on") for name in a)]
    for name in (*names, "<b>data</b>", "</td>"):
        assert name in " ".join(reader.words)
    drawn = json.loads(reader.scripts[0]).values()
    labels = json.dumps([{"data": f["data"], "layout": f["layout"]} for f in drawn])
    assert NASTY not in labels
    assert "&lt;img src=x" in labels


def test_every_measure_is_shown_with_its_ideal(one_run):
    words = words_of(one_run)
    for entry in GLOSSARY.values():
        assert entry.title in words
        assert entry.meaning in words


def test_values_stand_as_they_are_in_the_record():
    report = report_of(noisy(6))
    words = words_of(page(report.runs))
    for form in ("raw", "centred"):
        assert f"{report.summary['delta_lcd'][form]:.3f}" in words
    assert f"{report.summary['accuracy']['top1']:.3f}" in words


def test_what_is_undefined_is_a_dash_with_the_reason():
    source = page(report_of(text_only(6, 9)).runs)
    assert 'aria-label="undefined: there are no image features"' in source
    assert "— undefined: there are no image features." in words_of(source)
    assert "no images" in words_of(source)


def test_the_floor_stands_beside_distances_where_no_simplex_exists():
    words = words_of(page(report_of(text_only(30, 9)).runs))
    assert "floor 0.9" in words
    assert "no simplex exists" in words


def test_intervals_are_shown_where_there_are_some():
    report = Report((measure(noisy(6), bootstrap=10),))
    words = words_of(page(report.runs))
    span = report.records[0]["intervals"]["values"]["nc1/default"]
    assert f"{span['low']:.3f} – {span['high']:.3f}" in words
    assert "95 % bootstrap intervals (10 replicates)" in words


def test_the_fewer_replicates_of_some_measures_are_said(monkeypatch):
    monkeypatch.setattr("ncscope.diagnosis.intervals._works", lambda _: (1.0, 10.0))
    monkeypatch.setattr("ncscope.diagnosis.intervals.LARGEST_WORK", 600.0 + 2 * 72 * 8 * 6)
    features = noisy(6, 8, each=12)
    assert features.image is not None
    assert features.image.shape == (72, 8)
    words = words_of(page(Report((measure(features),)).runs))
    assert "95 % bootstrap intervals (60 to 200 replicates)" in words


def test_runs_stand_side_by_side_with_the_best_marked(two_runs):
    words = words_of(two_runs)
    assert "2 runs on birds" in words
    assert "second − first" in words
    assert 'aria-label="best"' in two_runs
    assert "below them the difference from" not in words  # no reference was measured beside them


def marked(values, path="nc1", spans=None):
    spans = [None] * len(values) if spans is None else spans
    records = [
        {
            "summary": {"nc1": value, "nc4": value},
            "intervals": {"values": {} if span is None else {"nc1/default": span}},
        }
        for value, span in zip(values, spans, strict=True)
    ]
    entry = GLOSSARY[path]
    return {
        k: v.removesuffix("</span> ")[-1] for k, v in best_runs(records, path, entry.better).items()
    }


def test_the_best_run_is_the_one_on_the_better_side():
    assert marked([3.0, 1.0, None, 2.0]) == {1: "●"}
    assert marked([0.3, 0.9, 0.5], path="nc4") == {1: "●"}
    assert marked([1.0, 1.0, 2.0]) == {0: "●", 1: "●"}
    assert marked([1.0, 1.0]) == marked([1.0, None]) == {}


def test_the_best_run_is_marked_hollow_where_its_interval_meets_another():
    apart = [{"low": 0.9, "high": 1.1}, {"low": 1.8, "high": 2.2}]
    touching = [{"low": 0.5, "high": 1.9}, {"low": 1.8, "high": 2.2}]
    assert marked([1.0, 2.0], spans=apart) == {0: "●"}
    assert marked([1.0, 2.0], spans=touching) == {0: "○"}


def test_the_mark_is_hollow_where_intervals_overlap():
    close = sourced(noisy(6, noise=1.5), "a"), sourced(noisy(6, noise=1.5, seed=1), "b")
    report = Report(tuple(measure(one, bootstrap=20) for one in close))
    source = page(report.runs)
    assert "best; intervals overlap" in source


def test_runs_of_different_classes_are_not_ranked():
    source = page(report_of(sourced(noisy(6), "a"), sourced(noisy(5), "b")).runs)
    assert 'class="best"' not in source
    assert "differ in their number of classes: no best is marked" in words_of(source)


def test_tables_sort_by_full_numbers_and_carry_every_class(one_run):
    tags = Reader(one_run).tags
    assert len([a for tag, a in tags if a.get("aria-sort") == "none"]) >= 10
    assert len([a for tag, a in tags if "data-v" in a]) >= 6 * 8
    for name in named(6):
        assert name in words_of(one_run)


def test_head_medium_and_tail_are_shown_where_there_are_groups():
    words = words_of(page(report_of(noisy(6), train_counts=[50, 40, 20, 10, 5, 2]).runs))
    assert "head medium tail" in words
    assert "thirds of the classes by training images" in words


def test_warnings_conventions_and_provenance_are_visible():
    features = replace(noisy(6, counts=[1, 9, 9, 9, 9, 9]), provenance={"source": "s", "seed": 7})
    report = report_of(features)
    words = words_of(page(report.runs))
    for warning in report.records[0]["warnings"]:
        assert warning in words
    assert "class-balanced: every class counts once" in words
    assert "seed 7" in words


def test_a_thousand_classes_make_a_page_of_sane_size():
    source = page(report_of(text_only(1000, 64)).runs)
    size = len(source.encode())
    assert size < 7e6
    stated = re.search(r"this page, ([\d.]+) MB", words_of(source))
    assert stated is not None
    assert float(stated[1]) == pytest.approx(size / 1e6, abs=0.06)


def test_seven_runs_stay_below_the_limit():
    report = report_of(*(sourced(noisy(60, each=20, seed=k), f"run{k}") for k in range(7)))
    assert len(page(report.runs).encode()) < 12e6


def test_the_page_is_the_same_for_the_same_report():
    report = report_of(noisy(4))
    assert page(report.runs) == page(report.runs)


def test_the_colour_bar_of_the_style_has_the_colours_of_the_maps(one_run):
    for stops in (DIVERGING_LIGHT, DIVERGING_DARK):
        assert f"--scale: {', '.join(colour for _, colour in stops)};" in one_run


def test_the_page_appears_whole_or_not_at_all(tmp_path, one_run):
    report = report_of(noisy(6))
    write_page(report.runs, tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == one_run
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    with pytest.raises(DataError, match="cannot be written"):
        write_page(report.runs, tmp_path / "report.html" / "of-a-file.html")


def test_a_run_without_a_source_and_equal_sources_get_names():
    plain = replace(noisy(4), provenance={})
    words = words_of(page(report_of(plain, plain).runs))
    assert "features (1)" in words
    assert "features (2)" in words


def test_the_record_alone_decides_the_numbers():
    run = measure(noisy(4), bootstrap=0)
    summary = {**run.record["summary"], "modality_gap": 1.2345}
    changed = Run(run.features, {**run.record, "summary": summary})
    assert "1.234" in words_of(page(Report((changed,)).runs))


@pytest.mark.parametrize("counts", [[3, 0, 3, 3], [2, 2, 0, 0]])
def test_classes_without_images_leave_the_page_whole(counts):
    source = page(report_of(noisy(4, counts=counts)).runs)
    assert json.loads(Reader(source).scripts[0])


def test_half_of_the_sides_is_enough():
    features = noisy(5)
    alone = Features(
        image=features.image, label=features.label, text=None, classnames=features.classnames
    )
    assert "there are no text features" in words_of(page(report_of(alone).runs))
    per_image = features.text.expand(len(features.image), -1, -1).clone()
    varied = replace(features, text=per_image + torch.rand(len(features.image), 1, 1))
    assert "mean over images" in words_of(page(report_of(varied).runs))


def test_a_page_of_a_thousand_classes_stays_small():
    source = page(report_of(noisy(1000, 32, each=5)).runs)
    assert len(source.encode()) < 8e6


def test_bars_show_accuracy_match_and_frequency_where_it_differs():
    counted = noisy(5, counts=[9, 7, 5, 4, 3])
    groups = "Head, medium and tail"
    trained = {"train_counts": [9, 7, 5, 4, 3]}
    titles = [plot.title for plot in plots_of(report_of(counted, **trained).runs)["classes"]]
    assert titles == [groups, "Accuracy", "Cosine, centred", "Train images"]
    unknown = [plot.title for plot in plots_of(report_of(counted).runs)["classes"]]
    assert unknown == ["Accuracy", "Cosine, centred", "Images"]
    alike = [plot.title for plot in plots_of(report_of(noisy(5)).runs)["classes"]]
    assert alike == ["Accuracy", "Cosine, centred"]
    many = plots_of(report_of(counted, counted, counted, **trained).runs)["classes"]
    assert [plot.title for plot in many] == [
        "Each class beside the reference",
        groups,
        *["Accuracy"] * 3,
    ]


def test_pairs_of_too_many_classes_are_not_drawn(monkeypatch):
    monkeypatch.setattr(page_pairs, "MOST_PAIRED", 4)
    drawn = plots_of(report_of(noisy(5)).runs)
    assert drawn["cosines"] == []
    assert "Distribution over pairs" not in [plot.title for plot in drawn["angles"]]
