"""What each measure of a report means: one line, range, direction and ideal, for people and pages.

K classes, D embedding width. Keys are the paths of `summary` in metrics.json.
"""

from dataclasses import dataclass
from typing import Literal


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


_PAPER = "arXiv:2306.15955"
_ZHU = "Zhu et al. 2021"
_PAPYAN = "Papyan, Han & Donoho 2020"

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
    """The glossary as a Markdown table, as the README carries it."""
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
