"""What a replicate of the images has in the measures that no image is looked at again for.

K classes, P of them with images, D embedding width.
"""

import torch
from torch import Tensor

import ncscope.metrics as metrics
from ncscope.diagnosis.resampling import Replicate
from ncscope.metrics.geometry import moments_distance, second_moment
from ncscope.metrics.pairs import is_crowded
from ncscope.metrics.rows import class_rows

FORMS = (("raw", False), ("centred", True))
NAMES = (
    "cdnv", "etf_distance/image/raw", "etf_distance/image/centred", "delta_mid/cosine/raw",
    "delta_mid/cosine/centred", "etf_distance/cross/raw", "etf_distance/cross/centred",
    "nc3/centred", "modality_gap", "accuracy/top1", "accuracy/class_mean", "accuracy/ece",
)  # fmt: skip


class Redrawn:
    """Numbers of replicates, by flat name, of the classes with images.

    Args:
        text: (P, D), as measured; None leaves out what needs it. Its part is made once.
    """

    def __init__(self, text: Tensor | None) -> None:
        self.text = text
        self._texts: dict[str, tuple[Tensor, Tensor]] = {}
        if text is not None and is_crowded(text):
            for form, centred in FORMS:
                rows = class_rows("text", text, centred=centred)
                self._texts[form] = rows, second_moment(rows)

    def numbers(self, replicate: Replicate) -> dict[str, Tensor]:
        """All that its moments and its hits tell."""
        moments = replicate.moments
        means = moments.means[moments.present]
        found = {"cdnv": metrics.cdnv(moments)} | self._frames(means)
        if self.text is not None:
            for form, centred in FORMS:
                value = metrics.delta_mid(means, self.text, centred=centred)
                found[f"delta_mid/cosine/{form}"] = value
            found["nc3/centred"] = metrics.self_duality(means, self.text, centred=True)
            found["modality_gap"] = metrics.modality_gap(means, self.text)
        if replicate.correct is not None:
            counts = moments.counts[moments.present].to(replicate.correct)
            found["accuracy/top1"] = (counts @ replicate.correct) / counts.sum()
            found["accuracy/class_mean"] = replicate.correct.mean()
        if replicate.bins is not None:
            found["accuracy/ece"] = metrics.binned_ece(replicate.bins)
        return found

    def _frames(self, means: Tensor) -> dict[str, Tensor]:
        """`etf_distance` and `cross_etf_distance`; of many classes by one (D, D) product."""
        found: dict[str, Tensor] = {}
        raw = moment = None
        for form, centred in FORMS:
            if not is_crowded(means):
                found[f"etf_distance/image/{form}"] = metrics.etf_distance(means, centred=centred)
                if self.text is not None:
                    found[f"etf_distance/cross/{form}"] = metrics.cross_etf_distance(
                        image_means=means, text=self.text, center="both" if centred else "none"
                    )
                continue
            rows = class_rows("means", means, centred=centred)
            if raw is None or moment is None:
                raw, moment = rows, second_moment(rows)
            else:
                moment = _centred(moment, raw, rows)
            found[f"etf_distance/image/{form}"] = moments_distance(moment, moment, rows, rows)
            if self.text is not None:
                text, other = self._texts[form]
                found[f"etf_distance/cross/{form}"] = moments_distance(other, moment, text, rows)
        return found


def _centred(moment: Tensor, raw: Tensor, rows: Tensor) -> Tensor:
    """The second moment of centred (P, D) rows from that of the raw ones; zero where they are."""
    total = raw.sum(dim=0).to(moment)
    return (moment - torch.outer(total, total) / len(raw)) * bool(rows.any())
