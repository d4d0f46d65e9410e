"""A small generated feature set in three stages of collapse, for a first look without any model.

N samples, K classes, D embedding width. Nothing here comes from CLIP: it is random numbers around a
simplex ETF, and says so in its provenance.
"""

import torch

from ncscope.features.bundle import Features
from ncscope.metrics import normalise_rows, simplex_etf

CLASSES = ("circle", "square", "triangle", "star")
# stage: (share of the ETF in each class vector, modality gap, noise of images, images a class)
STAGES = {
    "spread": (0.35, 0.8, 0.9, (60, 60, 60, 60)),
    "imbalanced": (0.6, 0.6, 0.7, (100, 40, 16, 6)),
    "collapsed": (1.0, 0.1, 0.15, (60, 60, 60, 60)),
}
WIDTH = 32


def demo_features(stage: str, *, seed: int = 0) -> Features:
    """Text and images of 4 classes at a stage of `STAGES`, (N, D) around one simplex ETF."""
    share, gap, noise, counts = STAGES[stage]
    generator = torch.Generator().manual_seed(seed)

    def draw(*size: int) -> torch.Tensor:
        return torch.randn(*size, generator=generator)

    frame = simplex_etf(len(CLASSES), WIDTH, seed=seed, dtype=torch.float32)
    # Far from collapse, class vectors point anywhere; images and text agree on where.
    anywhere = normalise_rows(draw(len(CLASSES), WIDTH))
    centres = normalise_rows(share * frame + (1 - share) * anywhere)
    offset = normalise_rows(draw(1, WIDTH)) * gap
    label = torch.arange(len(CLASSES)).repeat_interleave(torch.tensor(counts))
    image = centres[label] + offset + noise / WIDTH**0.5 * draw(len(label), WIDTH)
    text = centres - offset + (1 - share) / WIDTH**0.5 * draw(len(CLASSES), WIDTH)
    return Features(
        image=image,
        label=label,
        text=text,
        classnames=CLASSES,
        logit_scale=torch.tensor(20.0),
        provenance={
            "source": stage,
            "data": "generated (random numbers around a simplex ETF; no model)",
            "seed": seed,
        },
    )
