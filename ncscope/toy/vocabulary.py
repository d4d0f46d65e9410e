"""The few hundred word pieces the toy CLIP knows, out of CLIP's 49,408.

The shipped embedding has a row a known piece. Known pieces keep their order, so that end-of-text
stays the largest id and pooling at the arg-max works in the compact numbering, too.
"""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor

from ncscope.toy.seeds import stream

FULL_SIZE = 49_408
START, END = 49_406, 49_407
UNKNOWN_STD = 0.02  # of the embedding of a piece that is not known

Encode = Callable[[str], list[int]]  # text -> CLIP's piece ids, without start and end


def known_pieces(texts: Iterable[str], encode: Encode, *, distractors: int) -> np.ndarray:
    """Sorted CLIP ids: those of the words of `texts`, start, end, and random `distractors`.

    The distractors mean nothing: captions are sprinkled with them so that the text tower learns
    to read past words it does not know.
    """
    words = sorted({word for text in texts for word in text.split()})
    used = {piece for word in words for piece in encode(word)} | {START, END}
    others = np.setdiff1d(np.arange(1000, START), np.array(sorted(used)))
    chosen = stream("pretraining", "distractors").permutation(others)[:distractors]
    return np.array(sorted(used | set(chosen.tolist())))


def compact_tokens(
    captions: list[list[int]], pieces: np.ndarray, *, length: int | None = None
) -> Tensor:
    """Captions as piece ids to compact ids, (N, L) int64, with start and end, zero-padded.

    Args:
        length: L; by default that of the longest caption. Longer captions are cut.
    """
    length = length or max(map(len, captions)) + 2
    rows = np.zeros((len(captions), length), dtype=np.int64)
    start, end = np.searchsorted(pieces, [START, END])
    for row, caption in zip(rows, captions, strict=True):
        kept = np.searchsorted(pieces, caption[: length - 2])
        row[0], row[1 : 1 + len(kept)], row[1 + len(kept)] = start, kept, end
    return torch.from_numpy(rows)


def expand_embedding(rows: Tensor, pieces: Tensor) -> Tensor:
    """The full embedding table (49408, W): known rows in place, others small and random.

    Args:
        rows: (V, W), the rows of the known pieces.
        pieces: (V,) their CLIP ids.
    """
    noise = stream("world", "unknown pieces").standard_normal((FULL_SIZE, rows.shape[1]))
    full = torch.from_numpy(noise.astype(np.float32)) * UNKNOWN_STD
    full[pieces] = rows.float()
    return full
