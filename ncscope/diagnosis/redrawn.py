"""What a replicate of the images has in the measures that no image is looked at again for.

K classes, P of them with images, D embedding width.
"""

from torch import Tensor

import ncscope.metrics as metrics
from ncscope.diagnosis.resampling import Replicate
from ncscope.diagnosis.sides import FORMS
from ncscope.metrics.pairs import is_crowded
from ncscope.metrics.rows import accumulator_dtype
from ncscope.metrics.second import Held, kept, second_moment

NAMES = (
    "cdnv", "etf_distance/image/raw", "etf_distance/image/centred", "delta_mid/cosine/raw",
    "delta_mid/cosine/centred", "etf_distance/cross/raw", "etf_distance/cross/centred",
    "nc3/centred", "modality_gap", "accuracy/top1", "accuracy/class_mean", "accuracy/ece",
)  # fmt: skip


class Redrawn:
    """Numbers of replicates, by flat name, of the classes with images.

    Args:
        text: (P, D), as measured; None leaves out what needs it. Its second moment is made once.
    """

    def __init__(self, text: Tensor | None) -> None:
        self.text = None if text is None else text.to(accumulator_dtype(text.device))
        self._known: Held = {}
        if self.text is not None and is_crowded(self.text):
            with kept() as self._known:
                second_moment(self.text)

    def numbers(self, replicate: Replicate) -> dict[str, Tensor]:
        """All that its moments and its hits tell."""
        moments = replicate.moments
        means = moments.means[moments.present]
        found = {"cdnv": metrics.cdnv(moments)}
        with kept(self._known):
            for form, centred in FORMS:
                found[f"etf_distance/image/{form}"] = metrics.etf_distance(means, centred=centred)
                if self.text is None:
                    continue
                found[f"etf_distance/cross/{form}"] = metrics.cross_etf_distance(
                    image_means=means, text=self.text, center="both" if centred else "none"
                )
                found[f"delta_mid/cosine/{form}"] = metrics.delta_mid(
                    means, self.text, centred=centred
                )
        if self.text is not None:
            found["nc3/centred"] = metrics.self_duality(means, self.text, centred=True)
            found["modality_gap"] = metrics.modality_gap(means, self.text)
        if replicate.correct is not None:
            counts = moments.counts[moments.present].to(replicate.correct)
            found["accuracy/top1"] = (counts @ replicate.correct) / counts.sum()
            found["accuracy/class_mean"] = replicate.correct.mean()
        if replicate.bins is not None:
            found["accuracy/ece"] = metrics.binned_ece(replicate.bins)
        return found
