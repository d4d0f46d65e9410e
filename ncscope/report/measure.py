"""Features to a report: every measure, raw and centred, with bounds, classes and provenance.

N samples, K classes, D embedding width.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ncscope import __version__, metrics
from ncscope.errors import ShapeError
from ncscope.features.bundle import Features
from ncscope.report import tables
from ncscope.report.classes import class_rows, groups
from ncscope.report.intervals import intervals
from ncscope.report.per_image import with_per_image_text
from ncscope.report.prepare import Prepared, prepare
from ncscope.report.sides import (
    UNIFORMITY_SAMPLES,
    ImageSide,
    image_side,
    sample_uniformity,
    text_numbers,
)
from ncscope.report.summary import bounds, summarise


@dataclass(frozen=True, eq=False)
class Run:
    """One source on one data set: its features and its entry in metrics.json."""

    features: Features
    record: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Report:
    """Measured runs, side by side."""

    runs: tuple[Run, ...]

    @property
    def summary(self) -> dict[str, Any]:
        """The first run's headline numbers: `report.summary["delta_lcd"]["raw"]`."""
        return self.runs[0].record["summary"]

    @property
    def records(self) -> list[dict[str, Any]]:
        """The runs as metrics.json has them."""
        return [run.record for run in self.runs]

    def table(self) -> str:
        """The headline numbers as aligned text, a column a run."""
        return tables.text_table(self.records)

    def save(self, folder: str | Path, *, html: bool = True) -> list[Path]:
        """Write metrics.json, metrics.csv and report.html; each appears only when complete."""
        from ncscope.report.page import write_page  # plotly is slow to import

        folder = Path(folder)
        tables.make_folder(folder)
        written = [
            tables.write_json(self.records, folder / "metrics.json"),
            tables.write_csv(self.records, folder / "metrics.csv"),
        ]
        if html:
            write_page(self, folder / "report.html")
            written.append(folder / "report.html")
        return written

    def show(self) -> None:
        """Show the page in a notebook, or open it in a browser elsewhere."""
        from ncscope.report.show import show_page

        show_page(self)


def measure(
    features: Features,
    *,
    normalise: bool = True,
    train_counts: Sequence[int] | None = None,
    bootstrap: int | None = None,
    seed: int = 0,
) -> Run:
    """Every measure of one run's features.

    Args:
        normalise: l2-normalise text and image rows first, the convention; False for classifiers
            whose lengths mean something.
        train_counts: training images of each class, (K,), for head, medium and tail.
        bootstrap: replicates for the intervals; None chooses 200 where that is affordable, 0 none.
        seed: of the bootstrap.

    Raises:
        ShapeError: fewer than two classes, or the counts do not fit.
    """
    prepared = prepare(features, normalise=normalise)
    counts = _train_counts(train_counts, len(prepared.classnames))
    side = _image_side(prepared)
    numbers = {} if prepared.text is None else text_numbers(prepared.text, prepared.frozen)
    if side is not None:
        numbers |= side.numbers
        assert prepared.image is not None
        assert prepared.label is not None
        numbers["uniformity/samples"] = sample_uniformity(prepared.image, prepared.label)
    flat = {name: float(value) for name, value in numbers.items()}
    summary, absences = summarise(flat, prepared)
    resampled, note = intervals(prepared, side, replicates=bootstrap, seed=seed)
    grouped, grouped_by = groups(prepared, side, counts)
    size, width = len(prepared.classnames), features.width
    present = size if side is None else len(side.present)
    limits = bounds(size, present, width)
    record = {
        "source": features.provenance.get("source"),
        "data": features.provenance.get("data"),
        "classes": size,
        "samples": 0 if prepared.label is None else len(prepared.label),
        "dim": width,
        "summary": summary,
        "bounds": limits,
        "groups": grouped,
        "per_class": class_rows(prepared, side, counts),
        "intervals": resampled,
        "measures": {n: v if math.isfinite(v) else None for n, v in sorted(flat.items())},
        "conventions": _conventions(prepared, side, grouped_by),
        "warnings": [
            *features.warnings,
            *prepared.notes,
            *_cautions(prepared, side, limits),
            *([note] if note else []),
            *absences,
            *_no_number(flat),
        ],
        "provenance": {**features.provenance, "ncscope": __version__, "torch": torch.__version__},
    }
    return Run(features, record)


def _image_side(prepared: Prepared) -> ImageSide | None:
    image, label = prepared.image, prepared.label
    if image is None or label is None:
        return None
    side = image_side(
        image,
        label,
        len(prepared.classnames),
        text=prepared.text if prepared.per_image is None else None,
        logit_scale=prepared.logit_scale,
        normalise=prepared.normalise,
    )
    if prepared.per_image is None or prepared.text is None:
        return side
    return with_per_image_text(
        side,
        image,
        label,
        prepared.per_image,
        text=prepared.text,
        logit_scale=prepared.logit_scale,
        normalise=prepared.normalise,
    )


def _train_counts(counts: Sequence[int] | None, size: int) -> torch.Tensor | None:
    if counts is None:
        return None
    if len(counts) != size:
        raise ShapeError(f"`train_counts` has {len(counts)} entries; expected K = {size}")
    return torch.as_tensor(counts, dtype=torch.int64)


def _conventions(prepared: Prepared, side: ImageSide | None, grouped_by: str) -> dict[str, Any]:
    """The conventions in force, in words and numbers."""
    found: dict[str, Any] = {
        "normalised_on_entry": prepared.normalise,
        "came_normalised": prepared.normalised,
        "averages": "class-balanced: every class counts once; population moments (ddof 0)",
        "class_means": "of normalised rows, not re-normalised",
        "centred": "minus the class-balanced mean of the same modality",
        "delta_lcd": "form cosine, power 1; own definition, after Definition 2 of arXiv:2306.15955",
        "delta_mid": "form cosine; own definition, after Definition 3 of arXiv:2306.15955",
        "nc1": "tr(Sigma_W Sigma_B^+) / K",
        "nc2": "centred vectors",
        "nc3": "self-duality of centred text and class means, not squared",
        "nc4": "over the classes with images",
        "effective_rank": "centred vectors",
        "ece": "15 equal-width bins, at the model's logit scale",
        "text_reduction": "none" if prepared.per_image is None else "mean over images",
        "groups": grouped_by,
    }
    if side is not None:
        counts, white = side.moments.counts[side.present], side.samples.white
        found |= {
            "samples_per_class": {"min": int(counts.min()), "max": int(counts.max())},
            "classes_with_images": len(side.present),
            "uniformity": f"samples: at most {UNIFORMITY_SAMPLES}, even over classes, seed 0",
            "nc1_inverse": {
                "rank": white.rank,
                "full_rank": white.full_rank,
                "rtol": white.rtol,
                "condition": white.condition,
            },
        }
    return found


def _cautions(prepared: Prepared, side: ImageSide | None, limits: dict[str, Any]) -> list[str]:
    size = len(prepared.classnames)
    found = []
    if size == 2:
        found.append(
            "K = 2: centred vectors are opposite by construction, so centred delta_lcd, "
            "etf_distance, equinorm and equiangular are 0 whatever the features are"
        )
    if not limits["simplex_etf_exists"]:
        floor = limits["etf_distance"]["text"]["floor"]
        found.append(
            f"K = {size} > D + 1: no simplex ETF exists; etf_distance cannot fall below "
            f"{floor:.3f} (bounds)"
        )
    found += [] if prepared.text is None else _twins(prepared.text, prepared.classnames)
    if side is not None:
        white = side.samples.white
        if white.rank < white.full_rank:
            found.append(
                f"the class means span {white.rank} of {white.full_rank} directions "
                f"(rtol {white.rtol:.0e}): classes coincide or depend on one another; NC1 ignores "
                f"the missing directions"
            )
    return found


def _no_number(flat: dict[str, float]) -> list[str]:
    """One line for the flat measures that are infinite, one for those that are undefined."""
    infinite = [name for name, value in flat.items() if math.isinf(value)]
    undefined = [name for name, value in flat.items() if math.isnan(value)]
    found = [f"measures that are infinite: {', '.join(sorted(infinite))}"] if infinite else []
    if undefined:
        found.append(
            f"measures undefined on these features (equal vectors, or one image a class): "
            f"{', '.join(sorted(undefined))}"
        )
    return found


def _twins(text: torch.Tensor, names: tuple[str, ...]) -> list[str]:
    """Classes whose text features point the same way: no image can be told between them."""
    cosines = metrics.pairwise_cosines(text).triu(diagonal=1)
    pairs = (cosines > 1 - 1e-6).nonzero().tolist()
    if not pairs:
        return []
    shown = "; ".join(f"{names[a]} and {names[b]}" for a, b in pairs[:3])
    more = "; …" if len(pairs) > 3 else ""
    return [f"{len(pairs)} pairs of classes have the same text feature: {shown}{more}"]
