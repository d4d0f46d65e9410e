"""The figures of a report, one by one: `ncscope.plots.simplex(features, classes=[0, 3, 5, 7])`.

Each function returns a `plotly.graph_objects.Figure`; the geometry behind the simplex view is in
`ncscope.report.projection`.
"""

from ncscope.report.figures import (
    angle_histogram,
    cosine_heatmap,
    per_class_bars,
    simplex,
    simplex_motion,
    training_curves,
)
from ncscope.report.projection import Basis, fit_basis

__all__ = [
    "Basis",
    "angle_histogram",
    "cosine_heatmap",
    "fit_basis",
    "per_class_bars",
    "simplex",
    "simplex_motion",
    "training_curves",
]
