"""The figures of a report, one by one: `ncscope.plots.simplex(features, classes=[0, 3, 5, 7])`.

Each function returns a `plotly.graph_objects.Figure`, and `save_figure` writes one as HTML, PNG,
SVG or PDF; `ncscope.figures.projection` says what the simplex view shows.
"""

from ncscope.figures.export import save_figure
from ncscope.figures.figures import (
    angle_histogram,
    class_changes,
    cosine_heatmap,
    gradient_bars,
    group_accuracy,
    measure_scatter,
    modality_gap,
    per_class_bars,
    sensitivity_surface,
    simplex,
    simplex_motion,
    simplex_runs,
    training_curves,
)
from ncscope.figures.projection import Basis, fit_basis

__all__ = [
    "Basis",
    "angle_histogram",
    "class_changes",
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
