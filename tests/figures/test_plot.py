"""The page's JSON of each figure is what plotly's own objects would write, and is made without."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from ncscope.diagnosis.measure import measure
from ncscope.figures.gallery import plots_of
from ncscope.figures.plot import plain
from tests.made_features import noisy


@pytest.fixture(scope="module")
def plots():
    runs = [measure(noisy(seed=seed), bootstrap=0) for seed in (0, 1)]
    runs = [
        replace(run, record={**run.record, "source": f"run {place}"})
        for place, run in enumerate(runs)
    ]
    return [plot for section in plots_of(runs).values() for plot in section]


def test_each_figure_is_that_of_graph_objects(plots):
    assert len(plots) > 10
    for plot in plots:
        theirs = json.loads(plot.figure.to_json())
        assert plot.json["data"] == theirs["data"], plot.title
        theirs["layout"]["meta"] = {
            n: v for n, v in theirs["layout"]["meta"].items() if n not in ("caption", "title")
        }
        for name, part in plot.json["layout"].items():
            if name != "margin":  # the page's own
                assert part == theirs["layout"][name], (plot.title, name)


def test_no_graph_object_is_made_until_one_is_asked_for(monkeypatch):
    import plotly.graph_objects as go

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("a graph object")

    monkeypatch.setattr(go, "Figure", refused)
    run = measure(noisy(seed=2), bootstrap=0)
    [first, *_] = plots_of([run])["simplex"]
    assert first.json["data"]
    with pytest.raises(AssertionError, match="a graph object"):
        _ = first.figure


def test_arrays_are_packed_as_plotly_reads_them_and_what_is_not_a_number_is_null():
    packed = plain({"z": np.array([[1, 2], [3, 4]], dtype=np.float32), "x": (1, torch.inf)})
    assert packed["z"]["shape"] == "2, 2"
    assert packed["z"]["dtype"] == "f4"
    assert packed["x"] == [1, None]
    assert plain(np.array(["a"], dtype=object)) == ["a"]
    assert plain(np.float64(0.5)) == 0.5
    assert json.dumps(packed)
