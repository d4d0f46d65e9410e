"""The headline measures: what each means, its range, direction and ideal, and its place in the
summary of metrics.json, with bounds and the reasons for what is absent.

K classes, D embedding width. Keys are the paths of `summary` in metrics.json.

K classes, D embedding width.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import ncscope.metrics as metrics
from ncscope.diagnosis.prepare import Prepared

_PAPER = "arXiv:2306.15955"
_ZHU = "Zhu et al. 2021"
_PAPYAN = "Papyan, Han & Donoho 2020"
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
_OF_SAMPLES = ("nc1/default", "nc4")  # and the accuracies: of single images, not of class means


@dataclass(frozen=True)
class Entry:
    """One measure for a reader. `better` says which way collapse, or quality, lies."""

    title: str
    meaning: str
    low: str
    high: str
    better: Literal["lower", "higher"] | None
    ideal: str
    source: str


GLOSSARY: dict[str, Entry] = {
    "etf_distance.text": Entry(
        "ETF distance, text",
        "distance of the text features' Gram matrix from a simplex ETF's; grows with K",
        "0", "√2 (centred: √(2 − 2/√(K−1)))", "lower", "0", f"{_ZHU}, NC2 with W := text",
    ),
    "etf_distance.image": Entry(
        "ETF distance, image",
        "the same for the image class means; grows with K",
        "0", "√2 (centred: √(2 − 2/√(K−1)))", "lower", "0", f"{_ZHU}, NC2",
    ),
    "etf_distance.cross": Entry(
        "ETF distance, text × image",
        "whether text and image means form the same ETF, matched class by class; grows with K",
        "0", "2 (unrelated: about √2)", "lower", "0", f"{_ZHU}, NC3 with W := text",
    ),
    "delta_lcd": Entry(
        "Δ LCD",
        "language-modality collapse: mean distance of text cosines from −1/(K−1)",
        "0", "K/(K−1)", "lower", "0", f"own definition, after Definition 2 of {_PAPER}",
    ),
    "delta_mid": Entry(
        "Δ MID",
        "multi-modality isomorphism: mean of 1 − cos(text, own image mean); raw is mostly gap",
        "0", "2", "lower", "0", f"own definition, after Definition 3 of {_PAPER}",
    ),
    "modality_gap": Entry(
        "Modality gap",
        "distance between the centres of text features and image class means",
        "0", "2", "lower", "0", "Liang et al. 2022, class-balanced",
    ),
    "nc1": Entry(
        "NC1",
        "within-class scatter measured in units of the class means' scatter: tr(Σ_W Σ_B⁺)/K",
        "0", "∞", "lower", "0", _PAPYAN,
    ),
    "cdnv": Entry(
        "CDNV",
        "within-class variance over squared distance of class means, mean over pairs",
        "0", "∞", "lower", "0", "Galanti et al. 2021",
    ),
    "nc2.equinorm.text": Entry(
        "NC2 equinorm, text",
        "coefficient of variation of the centred text features' lengths",
        "0", "√(K−1)", "lower", "0", _PAPYAN,
    ),
    "nc2.equinorm.image": Entry(
        "NC2 equinorm, image",
        "coefficient of variation of the centred class means' lengths",
        "0", "√(K−1)", "lower", "0", _PAPYAN,
    ),
    "nc2.equiangular.text": Entry(
        "NC2 equiangular, text",
        "standard deviation of the cosines between centred text features",
        "0", "1", "lower", "0", _PAPYAN,
    ),
    "nc2.equiangular.image": Entry(
        "NC2 equiangular, image",
        "standard deviation of the cosines between centred class means",
        "0", "1", "lower", "0", _PAPYAN,
    ),
    "nc3": Entry(
        "NC3 self-duality",
        "distance between text features and image means, each scaled to norm one, centred",
        "0", "2", "lower", "0", f"{_PAPYAN} (not squared), text as the classifier",
    ),
    "nc4": Entry(
        "NC4 agreement",
        "share of images that text and the nearest class mean decide alike",
        "0", "1", "higher", "1", _PAPYAN,
    ),
    "effective_rank.text": Entry(
        "Effective rank, text",
        "exp of the spectral entropy of the centred text features",
        "1", "min(K−1, D)", "higher", "K−1", "Roy & Vetterli 2007",
    ),
    "effective_rank.image": Entry(
        "Effective rank, image",
        "exp of the spectral entropy of the centred class means",
        "1", "min(K−1, D)", "higher", "K−1", "Roy & Vetterli 2007",
    ),
    "accuracy.top1": Entry(
        "Accuracy, top-1", "share of images whose nearest text is their class's",
        "0", "1", "higher", "1", "",
    ),
    "accuracy.class_mean": Entry(
        "Accuracy, class mean", "mean over classes of their accuracy",
        "0", "1", "higher", "1", "",
    ),
    "accuracy.ece": Entry(
        "ECE", "expected calibration error at the model's own logit scale, 15 bins",
        "0", "1", "lower", "0", "Guo et al. 2017",
    ),
}  # fmt: skip


def markdown_table() -> str:
    """The glossary as a Markdown table, as docs/measures.md carries it."""
    lines = [
        "| measure | in `summary` | what it is | range | ideal | collapse lies | source |",
        "|---|---|---|---|---|---|---|",
    ]
    for path, entry in GLOSSARY.items():
        cells = [
            entry.title,
            f"`{path}`",
            entry.meaning,
            f"{entry.low} … {entry.high}",
            entry.ideal,
            entry.better or "–",
            entry.source or "–",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


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
    if "means" in prepared.absent and "image" in sides and not name.startswith("accuracy/"):
        return prepared.absent["means"]
    if "samples" in prepared.absent and (name.startswith("accuracy/") or name in _OF_SAMPLES):
        return prepared.absent["samples"]
    if name == "accuracy/ece":
        return "there is no logit scale"
    if name in ("nc1/default", "cdnv") and prepared.most_images < 2:
        return "too few classes have two images or more"
    if value is not None and math.isinf(value):
        return "it is infinite: the means of two classes coincide"
    return "the vectors it needs are all equal"


def scalars(summary: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """What is defined in a summary, flat for a training log: `delta_lcd/raw` and so on."""
    found: dict[str, float] = {}
    for name, value in summary.items():
        if isinstance(value, dict):
            found |= scalars(value, f"{prefix}{name}/")
        elif value is not None:
            found[f"{prefix}{name}"] = value
    return found


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
