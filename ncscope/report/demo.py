"""The demo: zero-shot of the embedded toy CLIP on several toy tasks, offline.

Until `tune` exists this is the diagnosis half of the main job. It is a toy, and says so.
"""

from collections.abc import Callable

from ncscope.features.extract import extract
from ncscope.report.measure import Report, measure

TASKS = ("shapes", "shapes@sketch", "colours", "textures", "colshape", "fish")


def demo_report(
    *, progress: Callable[[str], object] | None = None, bootstrap: int | None = 50
) -> Report:
    """Extract and measure the demo's tasks; `progress` gets the name of each as it is begun."""
    runs = []
    for task in TASKS:
        if progress is not None:
            progress(f"toy:{task}")
        features = extract("zero-shot", data=f"toy:{task}", cache="off", workers=0)
        runs.append(measure(features, bootstrap=bootstrap))
    return Report(tuple(runs))
