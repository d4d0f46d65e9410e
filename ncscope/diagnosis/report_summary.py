"""Flat numbers into the summary of metrics.json, with bounds and the reasons for what is absent.

K classes, D embedding width.
"""

import math
from typing import Any

import ncscope.metrics as metrics
from ncscope.diagnosis.prepare import Prepared

_TEXT, _IMAGE, _PAIR, _LABELS = ("text",), ("image",), ("text", "image"), ("image",)

# Path in `summary` -> (flat name, the sides it needs)
SUMMARY: dict[str, tuple[str, tuple[str, ...]]] = {
    "etf_distance.text.raw": ("etf_distance/text/raw", _TEXT),
    "etf_distance.text.centred": ("etf_distance/text/centred", _TEXT),
    "etf_distance.image.raw": ("etf_distance/image/raw", _IMAGE),
    "etf_distance.image.centred": ("etf_distance/image/centred", _IMAGE),
    "etf_distance.cross.raw": ("etf_distance/cross/raw", _PAIR),
    "etf_distance.cross.centred": ("etf_distance/cross/centred", _PAIR),
    "delta_lcd.raw": ("delta_lcd/cosine/raw", _TEXT),
    "delta_lcd.centred": ("delta_lcd/cosine/centred", _TEXT),
    "delta_mid.raw": ("delta_mid/cosine/raw", _PAIR),
    "delta_mid.centred": ("delta_mid/cosine/centred", _PAIR),
    "modality_gap": ("modality_gap", _PAIR),
    "nc1": ("nc1/default", _IMAGE),
    "cdnv": ("cdnv", _IMAGE),
    "nc2.equinorm.text": ("equinorm/text/centred", _TEXT),
    "nc2.equinorm.image": ("equinorm/image/centred", _IMAGE),
    "nc2.equiangular.text": ("equiangular/text/centred", _TEXT),
    "nc2.equiangular.image": ("equiangular/image/centred", _IMAGE),
    "nc3": ("nc3/centred", _PAIR),
    "nc4": ("nc4", _PAIR),
    "effective_rank.text": ("effective_rank/text/centred", _TEXT),
    "effective_rank.image": ("effective_rank/image/centred", _IMAGE),
    "accuracy.top1": ("accuracy/top1", _PAIR),
    "accuracy.class_mean": ("accuracy/class_mean", _PAIR),
    "accuracy.ece": ("accuracy/ece", _PAIR),
}


def summarise(numbers: dict[str, float], prepared: Prepared) -> tuple[dict[str, Any], list[str]]:
    """The nested summary, null where undefined, and one reason for each null."""
    summary: dict[str, Any] = {}
    reasons: dict[str, list[str]] = {}
    for path, (name, sides) in SUMMARY.items():
        value = numbers.get(name)
        if value is None or not math.isfinite(value):
            reasons.setdefault(_reason(name, value, sides, prepared), []).append(path)
            value = None
        _put(summary, path, value)
    return summary, [f"{', '.join(paths)}: undefined, {why}" for why, paths in reasons.items()]


def _reason(name: str, value: float | None, sides: tuple[str, ...], prepared: Prepared) -> str:
    missing = [prepared.absent[side] for side in sides if side in prepared.absent]
    if missing:
        return "; ".join(missing)
    if name == "accuracy/ece":
        return "there is no logit scale"
    if name in ("nc1/default", "cdnv") and (value is None or math.isnan(value)):
        return "too few classes have two images or more"
    if value is not None and math.isinf(value):
        return "it is infinite: the means of two classes coincide"
    return "the vectors it needs are all equal"


def _put(tree: dict[str, Any], path: str, value: float | None) -> None:
    *folders, leaf = path.split(".")
    for folder in folders:
        tree = tree.setdefault(folder, {})
    tree[leaf] = value


def bounds(num_classes: int, present: int, width: int) -> dict[str, Any]:
    """What can be reached with K classes (P with images, for image measures) in D dimensions."""
    exists = width >= num_classes - 1
    return {
        "simplex_etf_exists": exists,
        "etf_distance": {
            "text": _etf_bounds(num_classes, width),
            "image": _etf_bounds(present, width),
            "cross": {"floor": metrics.etf_distance_floor(present, width), "ceiling": 2.0},
        },
        "delta_lcd": {
            "floor": 0.0 if exists else None,
            "floor_p2": metrics.delta_lcd_floor(num_classes, width),
            "floor_rms": math.sqrt(metrics.delta_lcd_floor(num_classes, width)),
            "ceiling": metrics.delta_lcd_ceiling(num_classes),
        },
        "delta_mid": {"floor": 0.0, "ceiling": 2.0},
        "rms_cosine": {"floor": metrics.welch_bound(num_classes, width)},
        "max_cosine": {"floor": metrics.rankin_bound(num_classes, width)},
        "effective_rank": {"ceiling": min(num_classes - 1, width)},
    }


def _etf_bounds(count: int, width: int) -> dict[str, float]:
    return {
        "floor": metrics.etf_distance_floor(count, width),
        "ceiling_raw": metrics.etf_distance_ceiling(count),
        "ceiling_centred": metrics.etf_distance_ceiling(count, centred=True),
    }
