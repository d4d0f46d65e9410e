"""A run's log and trajectory: read as data, drawn on fixed axes, refused in a line."""

# plotly's objects have attributes that a type checker cannot know.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false

import json
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from safetensors.torch import save_file
from torch.testing import assert_close

from ncscope.diagnosis.measure import measure
from ncscope.diagnosis.training import read_log, read_training, read_trajectory, series, thinned
from ncscope.errors import DataError, ShapeError
from ncscope.features.bundle import write_features
from ncscope.figures.figures import simplex_motion, training_curves
from ncscope.figures.gallery import plots_of
from ncscope.figures.points import points_at
from ncscope.figures.training import MOST_FRAMES, fixed_basis
from ncscope.page.analyze import analyze
from ncscope.page.page import page
from ncscope.page.report import Report
from tests.made_features import noisy
from tests.run_folders import write_run

NASTY = "<img src=x onerror=alert(1)>"


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "run")


def test_a_log_is_read_by_event_in_order_of_its_steps(run):
    log = read_log(run)
    assert [row["step"] for row in log.evaluations] == [0, 1, 2, 3, 4]
    assert series(log.evaluations, "base", "delta_lcd", "centred")[1] == [1, 0.75, 0.5, 0.25, 0]
    assert log.notes == ()


def test_a_step_that_was_run_again_counts_once_with_its_last_values(run):
    with (run / "log.jsonl").open("a") as file:
        file.write(json.dumps({"event": "step", "step": 2, "loss": 9.0}) + "\n")
    assert series(read_log(run).steps, "loss")[1][2] == 9.0
    assert len(read_log(run).steps) == 5


def test_a_last_line_that_is_broken_off_is_a_note(run):
    with (run / "log.jsonl").open("a") as file:
        file.write('{"event": "step", "st')
    assert "broken off" in read_log(run).notes[0]


@pytest.mark.parametrize(
    "line",
    ["nonsense", "[1]", '{"event": "step"}', '{"event": "eval", "step": true}', "[" * 100_000],
)
def test_a_broken_line_is_refused_by_its_number(run, line):
    path = run / "log.jsonl"
    path.write_text(line + "\n" + path.read_text())
    with pytest.raises(DataError, match="line 1 is no JSON object"):
        read_log(run)


def test_a_folder_without_a_log_and_an_empty_log_are_refused(tmp_path):
    with pytest.raises(DataError, match="no training log can be read"):
        read_log(tmp_path)
    (tmp_path / "log.jsonl").write_text('{"event": "begin"}\n')
    with pytest.raises(DataError, match="no `step` or `eval` events"):
        read_log(tmp_path)


def test_values_that_are_no_numbers_have_no_point():
    rows = tuple({"step": k, "loss": v} for k, v in enumerate([1.0, None, "2", True, 3]))
    assert series(rows, "loss") == ([0.0, 4.0], [1.0, 3.0])
    assert series(rows, "loss", "deeper") == ([], [])


def test_curves_have_a_panel_a_measure_and_a_legend_entry_a_name(run):
    figure = training_curves(run)
    panels = [head.text for head in figure.layout.annotations]
    assert panels[:3] == ["loss", "accuracy", "Δ LCD"]
    named = [trace.name for trace in figure.data if trace.showlegend]
    assert sorted(named) == sorted(set(named))
    assert {"base", "new", "loss: all"} <= set(named)
    domains = sorted(axis.domain for axis in figure.select_yaxes())
    assert all(low[1] < high[0] for low, high in pairwise(domains))
    assert domains[0][0] == 0


def test_curves_of_a_form_switch_together(run):
    figure = training_curves(run)
    marked = [trace for trace in figure.data if trace.meta]
    assert {trace.meta for trace in marked} == {"raw", "centred"}
    assert all(trace.visible == (trace.meta == "centred") for trace in marked)


def test_a_log_of_losses_alone_is_drawn_and_one_of_nothing_is_refused(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"event": "step", "step": 1, "loss": 2.0}\n')
    assert len(training_curves(tmp_path).data) == 1
    (tmp_path / "log.jsonl").write_text('{"event": "step", "step": 1, "lr": 2.0}\n')
    with pytest.raises(DataError, match="neither losses nor measures"):
        training_curves(tmp_path)


def test_other_terms_of_the_loss_have_curves_by_their_own_name(tmp_path):
    line = {"event": "step", "step": 1, "steps": 9, "lr": 0.1, "ce": 2.0, "tetf": 0.3}
    (tmp_path / "log.jsonl").write_text(json.dumps(line) + "\n")
    named = [trace.name for trace in training_curves(tmp_path).data]
    assert named == ["loss: cross-entropy", "loss: tetf"]


def test_names_in_a_log_stay_text(tmp_path):
    figure = training_curves(write_run(tmp_path, split=NASTY))
    assert not any("<img" in (trace.name or "") for trace in figure.data)


def test_the_motion_ends_on_the_ideal_simplex(run):
    figure = simplex_motion(run)
    frame = figure.frames[-1]
    names = [(trace.meta, trace.name, trace.mode) for trace in figure.data]
    ideal = names.index(("centred", "ideal simplex", "lines"))
    corners = {
        tuple(round(c, 5) for c in corner)
        for corner in zip(*(frame.data[ideal][axis] for axis in "xyz"), strict=True)
        if corner[0] is not None
    }
    arrows = [k for k, name in enumerate(names) if name[0] == "centred" and "markers" in name[2]
              and len(frame.data[k].x) == 2]  # fmt: skip
    tips = {tuple(round(frame.data[k][axis][1], 5) for axis in "xyz") for k in arrows}
    assert len(tips) == 4
    assert tips == corners


@pytest.mark.parametrize("axes", ["last", "all"])
def test_the_axes_keep_lengths_and_angles_in_their_span(run, axes):
    trajectory = read_trajectory(run)
    points = [points_at(trajectory, place) for place in range(5)]
    columns = fixed_basis(points, [0, 1, 2, 3], axes=axes).centred
    assert_close(columns.T @ columns, torch.eye(3).double())


def test_other_axes_are_refused(run):
    with pytest.raises(ShapeError, match='`axes` must be "last" or "all"'):
        simplex_motion(run, axes="first")


def test_no_axes_show_more_of_all_steps_than_those_fitted_to_all(run):
    trajectory = read_trajectory(run)
    points = [points_at(trajectory, place) for place in range(5)]
    rows = torch.cat([p.text - p.text.mean(dim=0) for p in points])  # pyright: ignore
    kept = (rows @ fixed_basis(points, [0, 1, 2, 3], axes="all").centred).square().sum()
    best = torch.linalg.svdvals(rows)[:3].square().sum()
    assert float(kept) == pytest.approx(float(best))


def test_every_step_says_what_its_picture_shows(run):
    figure = simplex_motion(run)
    words = figure.layout.meta["steps"]
    assert len(words) == len(figure.frames) == 5
    assert words[-1].startswith("step 40: centred shows 100\u202f% of the text")
    assert words[0] in figure.frames[0].layout.annotations[0].text


def test_frames_move_points_only_and_fit_the_traces(run):
    figure = simplex_motion(run, classes="all")
    for frame in figure.frames:
        assert len(frame.data) == len(figure.data)
        assert list(frame.traces) == list(range(len(figure.data)))


def test_many_classes_and_many_steps_stay_light(tmp_path):
    figure = simplex_motion(write_run(tmp_path, steps=100, num_classes=20, width=24), classes="all")
    assert len(figure.frames) == MOST_FRAMES
    assert "60 of 100 evaluations" in " ".join(w for _, w in figure.layout.meta["caption"])


def test_thinning_keeps_the_first_and_the_last_step(tmp_path):
    trajectory = read_trajectory(write_run(tmp_path, steps=9))
    assert thinned(trajectory, 3).steps == (0, 40, 80)
    assert thinned(trajectory, 9) is trajectory


def test_a_class_without_images_at_some_step_has_no_mean(tmp_path):
    means = torch.ones(3, 4, 8)
    means[1, 2] = 0
    text = torch.randn(3, 4, 8, generator=torch.Generator().manual_seed(0))
    tensors = {"text": text, "image_mean": means, "step": torch.arange(3)}
    save_file(tensors, tmp_path / "trajectory.safetensors")
    trajectory = read_trajectory(tmp_path)
    assert points_at(trajectory, 0).counts.tolist() == [1, 1, 0, 1]
    assert len(simplex_motion(trajectory).frames) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": None}, "`text` must be floating"),
        ({"text": torch.zeros(3, 4)}, "`text` must be floating"),
        ({"text": torch.full((3, 4, 8), float("nan"))}, "NaN or infinity"),
        ({"text": torch.zeros(3, 4, 8)}, "zero rows"),
        ({"step": torch.arange(2)}, "`step` must be"),
        ({"image_mean": torch.zeros(3, 4, 7)}, "`image_mean` is"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path, change, message):
    tensors = {"text": torch.ones(3, 4, 8), "step": torch.arange(3)} | change
    path = tmp_path / "trajectory.safetensors"
    save_file({k: v for k, v in tensors.items() if v is not None}, path)
    with pytest.raises(DataError, match=message):
        read_trajectory(tmp_path)


@pytest.mark.parametrize("listed", ["[", '"abcd"', '["a"]', "[1, 2, 3, 4]", "[" * 100_000])
def test_class_names_that_do_not_fit_are_refused(tmp_path, listed):
    tensors = {"text": torch.ones(1, 4, 8), "step": torch.arange(1)}
    save_file(tensors, tmp_path / "trajectory.safetensors", {"classnames": listed})
    with pytest.raises(DataError, match="`classnames`"):
        read_trajectory(tmp_path)


def test_a_damaged_trajectory_is_refused(tmp_path):
    (tmp_path / "trajectory.safetensors").write_bytes(b"\x00" * 50)
    with pytest.raises(DataError, match="no trajectory can be read"):
        read_trajectory(tmp_path)
    with pytest.raises(DataError, match="no trajectory can be read"):
        read_trajectory(tmp_path / "absent")


def test_a_page_has_the_training_of_the_runs_that_have_one(run, tmp_path):
    write_features(noisy(4), tmp_path / "other.npz")
    write_features(noisy(4), run / "features.npz")
    report = analyze(run / "features.npz", tmp_path / "other.npz", bootstrap=0)
    assert [one.training is not None for one in report.runs] == [True, False]
    assert '<section id="training" >' in page(report.runs)
    assert '<section id="training" hidden>' in page(Report(report.runs[1:]).runs)


def test_a_damaged_log_is_a_warning_and_costs_no_report(run):
    write_features(noisy(4), run / "features.npz")
    (run / "log.jsonl").write_text("nonsense\nmore\n")
    report = analyze(run / "features.npz", bootstrap=0)
    assert any("line 1 is no JSON object" in words for words in report.records[0]["warnings"])
    assert "over the training" in page(report.runs)


def test_runs_on_a_page_move_at_one_scale(tmp_path):
    report = []
    for place, width in enumerate((8, 16)):
        folder = write_run(tmp_path / str(place), width=width, steps=2 + place)
        one = replace(measure(noisy(4, seed=place), bootstrap=0), training=read_training(folder))
        report.append(one)
    motions = [
        plot for plot in plots_of(Report(tuple(report)).runs)["training"] if plot.kind == "scene"
    ]
    ranges = [plot.json["layout"]["scene"]["xaxis"]["range"] for plot in motions]
    assert len(ranges) == 2
    assert ranges[0] == ranges[1]


@pytest.mark.parametrize(
    "step", ["1" + 400 * "0", "-1" + 400 * "0", "1e999", "NaN", "true", "null"]
)
def test_a_step_that_is_no_number_is_the_lines_fault(tmp_path, step):
    good = '{"event": "step", "epoch": 1, "step": 1, "loss": 1.0}'
    path = tmp_path / "log.jsonl"
    path.write_text(f'{{"event": "step", "step": {step}}}\n{good}\n')
    with pytest.raises(DataError, match=r"log\.jsonl: line 1 is no JSON object with"):
        read_log(path)
    path.write_text(f"{good}\n{good[:-4]}1{400 * '0'}}}\n")
    assert series(read_log(path).steps, "loss") == ([], [])
