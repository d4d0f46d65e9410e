"""The columns of the per-class table, for readers: title, meaning, and which way is better."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Column:
    """One column. `share` marks values in [0, 1] that read as percentages."""

    title: str
    meaning: str
    better: Literal["lower", "higher"] | None = None
    share: bool = False


COLUMNS: dict[str, Column] = {
    "train_count": Column("train images", "images of the class in training"),
    "count": Column("images", "images analysed"),
    "accuracy": Column("accuracy", "share of its images nearest its text", "higher", True),
    "ncc_accuracy": Column(
        "NCC accuracy", "share of its images nearest its own class mean", "higher", True
    ),
    "nc4": Column("NC4", "share of its images that text and class means decide alike",
                  "higher", True),
    "cosine": Column("cosine", "text against the class mean, raw", "higher"),
    "cosine_centred": Column("cosine, centred", "text against the class mean, centred", "higher"),
    "sample_cosine": Column("image cosine", "text against its images, mean", "higher"),
    "variance": Column("variance", "mean squared distance of its images from their mean", "lower"),
    "nc1": Column("NC1", "the class's own NC1; the mean over classes is the run's", "lower"),
    "mean_norm": Column("mean norm", "length of the class mean; 1: all its images alike",
                        "higher"),
    "nearest": Column("nearest class", "class whose text is nearest to this one's"),
    "nearest_cosine": Column("nearest cosine", "text against the nearest class's text", "lower"),
}  # fmt: skip

# of head, medium and tail: title, and whether it is a share
GROUP_ROWS = {
    "classes": ("classes", False), "count_min": ("fewest images", False),
    "count_max": ("most images", False), "accuracy": ("accuracy", True),
    "ncc_accuracy": ("NCC accuracy", True), "nc4": ("NC4", True),
    "delta_lcd_raw": ("Δ LCD, raw", False), "delta_lcd_centred": ("Δ LCD, centred", False),
    "delta_mid_raw": ("Δ MID, raw", False), "delta_mid_centred": ("Δ MID, centred", False),
    "variance": ("variance", False), "nc1": ("NC1", False),
}  # fmt: skip
