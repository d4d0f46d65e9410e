"""The figures of a report, one by one: `ncscope.plots.simplex(features, classes=[0, 3, 5, 7])`.

Each function returns a `plotly.graph_objects.Figure`, and `save_figure` writes one as HTML, PNG,
SVG or PDF; the geometry behind the simplex view is in `ncscope.figures.projection`.
"""

from ncscope.figures.export import save_figure
from ncscope.figures.figures import (
    angle_histogram,
    cosine_heatmap,
    group_accuracy,
    modality_gap,
    per_class_bars,
    simplex,
    simplex_runs,
)
from ncscope.figures.projection import Basis, fit_basis
from ncscope.figures.run_figures import simplex_motion, training_curves
from ncscope.figures.study_figures import gradient_bars, measure_scatter, sensitivity_surface

__all__ = [
    "Basis",
    "angle_histogram",
    "cosine_heatmap",
    "fit_basis",
    "gradient_bars",
    "group_accuracy",
    "measure_scatter",
    "modality_gap",
    "per_class_bars",
    "save_figure",
    "sensitivity_surface",
    "simplex",
    "simplex_motion",
    "simplex_runs",
    "training_curves",
]
