"""Image-text pairs as classes of one image each, for retrieval sets without class labels.

N pairs, D width.
"""

from dataclasses import replace

import torch

from ncscope.errors import ShapeError
from ncscope.features.bundle import Features


def as_pairs(features: Features) -> Features:
    """Label image i with text i, where both have N rows: each pair becomes a class.

    NC1 and CDNV stay undefined (one image a class); the two modalities' geometry is measured.

    Raises:
        ShapeError: a side is missing, or they differ in length.
    """
    image, text = features.image, features.text
    if image is None or text is None or text.ndim != 2 or len(image) != len(text):
        found = {
            n: None if v is None else tuple(v.shape) for n, v in (("image", image), ("text", text))
        }
        raise ShapeError(
            f"pairs need as many images as texts, (N, D) each; "
            f"got `image` {found['image']} and `text` {found['text']}"
        )
    label = torch.arange(len(image), device=image.device)
    return replace(features, label=label)
