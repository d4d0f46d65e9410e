"""Neural-collapse diagnosis and correction for prompt-tuned CLIP models.

    features = ncscope.extract("zero-shot", data="path/to/images", backbone="ViT-B-16", ...)
    report = ncscope.analyze(features)
    report.summary["delta_lcd"]["raw"]
    report.show()

Nothing heavy is imported until one of these names is used.
"""

import importlib
from typing import TYPE_CHECKING

from ncscope.errors import (
    BackboneError,
    CheckpointError,
    DataError,
    NcscopeError,
    ShapeError,
)
from ncscope.writing import __version__

if TYPE_CHECKING:
    from ncscope import metrics, plots
    from ncscope.comparison.compare import Comparison, compare
    from ncscope.diagnosis.interventions import Interventions, intervene
    from ncscope.diagnosis.measure import measure
    from ncscope.diagnosis.streaming import CollapseMetrics
    from ncscope.features.bundle import Features, read_features, write_features
    from ncscope.features.extract import extract
    from ncscope.grids.sweep import sweep
    from ncscope.page.analyze import analyze
    from ncscope.page.folder import analyze_folder
    from ncscope.page.report import Report
    from ncscope.tuning.npt import NPTLoss
    from ncscope.tuning.tune import Tuned, tune

_HOMES = {
    "CollapseMetrics": "ncscope.diagnosis.streaming",
    "Comparison": "ncscope.comparison.compare",
    "NPTLoss": "ncscope.tuning.npt",
    "Features": "ncscope.features.bundle",
    "Interventions": "ncscope.diagnosis.interventions",
    "Report": "ncscope.page.report",
    "Tuned": "ncscope.tuning.tune",
    "analyze": "ncscope.page.analyze",
    "analyze_folder": "ncscope.page.folder",
    "compare": "ncscope.comparison.compare",
    "extract": "ncscope.features.extract",
    "intervene": "ncscope.diagnosis.interventions",
    "measure": "ncscope.diagnosis.measure",
    "read_features": "ncscope.features.bundle",
    "sweep": "ncscope.grids.sweep",
    "tune": "ncscope.tuning.tune",
    "write_features": "ncscope.features.bundle",
}
_MODULES = ("metrics", "plots")

__all__ = [
    "BackboneError",
    "CheckpointError",
    "CollapseMetrics",
    "Comparison",
    "DataError",
    "Features",
    "Interventions",
    "NPTLoss",
    "NcscopeError",
    "Report",
    "ShapeError",
    "Tuned",
    "__version__",
    "analyze",
    "analyze_folder",
    "compare",
    "extract",
    "intervene",
    "measure",
    "metrics",
    "plots",
    "read_features",
    "sweep",
    "tune",
    "write_features",
]


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return importlib.import_module(f"ncscope.{name}")
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'ncscope' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
