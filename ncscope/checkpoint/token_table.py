"""From token vectors back to token ids: each vector is a row of CLIP's table of token embeddings.

R vectors, V rows in the table, W their width. Files keep the vectors bit by bit in the precision of
training, so most are found by their bits. Files that average several epochs (PromptSRC) drift by
about 4e-4; those are found as the nearest row.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from ncscope.errors import CheckpointError

TOLERANCE = 0.02  # relative; distinct tokens of CLIP are about 1 apart
_AT_ONCE = 64  # vectors compared with all rows
_MOST_DISTINCT = 20_000
_KEY = 16  # leading elements that make a row's key
_MIXER = 1_000_003


@dataclass(frozen=True, eq=False)
class Matches:
    """(R,) token ids, and the largest distance of a vector from its row over the row's norm."""

    ids: Tensor
    distance: float


def match_tokens(vectors: Tensor, table: Tensor, *, name: str = "token_suffix") -> Matches:
    """Find each of (R, W) vectors in the (V, W) table.

    Raises:
        CheckpointError: another width, or vectors that are no rows of this table.
    """
    if vectors.ndim != 2 or table.ndim != 2 or vectors.shape[1] != table.shape[1]:
        raise CheckpointError(
            f"`{name}` holds token vectors {vectors.shape[-1]} wide, the backbone's are "
            f"{table.shape[-1]} wide: it was trained on another backbone"
        )
    distinct, inverse = _distinct(vectors)
    ids = torch.full((len(distinct),), -1, dtype=torch.int64)
    for precision in (vectors.dtype, torch.float16):
        left = (ids < 0).nonzero().flatten()
        if len(left):
            ids[left] = _by_bits(distinct[left].to(precision), table.to(precision))
    left = (ids < 0).nonzero().flatten()
    distance = 0.0
    if len(left):
        ids[left], distance = _nearest(distinct[left], table, name=name)
    return Matches(ids[inverse], distance)


def _distinct(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """The distinct vectors in order of appearance, and for each vector which of them it is."""
    found: dict[bytes, int] = {}
    rows = _bits(vectors.detach().cpu()).numpy()
    inverse = torch.tensor([found.setdefault(row.tobytes(), len(found)) for row in rows])
    if len(found) > _MOST_DISTINCT:
        raise CheckpointError(f"{len(found)} different token vectors: these are no class names")
    first = torch.full((len(found),), len(rows), dtype=torch.int64)
    first.scatter_reduce_(0, inverse, torch.arange(len(rows)), reduce="amin")
    return vectors.detach().cpu()[first], inverse


def _by_bits(vectors: Tensor, table: Tensor) -> Tensor:
    """Ids of the rows with exactly these bits, -1 where there is none."""
    rows, wanted = _bits(table.detach().cpu()), _bits(vectors)
    keys, order = _keys(rows).sort(stable=True)
    places = torch.searchsorted(keys, _keys(wanted)).clamp(max=len(keys) - 1)
    ids = order[places]
    return torch.where((rows[ids] == wanted).all(dim=1), ids, -1)


def _bits(rows: Tensor) -> Tensor:
    """The rows' bits as integers, so that equal bits and nothing else are equal."""
    integer = {2: torch.int16, 4: torch.int32, 8: torch.int64}[rows.element_size()]
    return rows.contiguous().view(integer)


def _keys(bits: Tensor) -> Tensor:
    """One number a row, by which rows are looked up before they are compared in full."""
    leading = bits[:, :_KEY].long()
    powers = torch.tensor([_MIXER**i % 2**31 for i in range(leading.shape[1])])
    return (leading * powers).sum(dim=1)


def _nearest(vectors: Tensor, table: Tensor, *, name: str) -> tuple[Tensor, float]:
    """Ids of the nearest rows, and the largest relative distance, which must be small."""
    rows = table.detach().cpu().float()
    norms = rows.norm(dim=1).clamp(min=1e-12)
    ids, largest = list[Tensor](), 0.0
    for part in vectors.float().split(_AT_ONCE):
        distances = torch.cdist(part, rows) / norms
        smallest, nearest = distances.min(dim=1)
        largest = max(largest, float(smallest.max().nan_to_num(nan=torch.inf)))
        if largest > TOLERANCE:
            raise CheckpointError(
                f"`{name}` holds vectors that are in no row of this backbone's token embedding "
                f"(the nearest is off by {largest:.2g} of its length): it was trained on another "
                "backbone"
            )
        ids.append(nearest)
    return torch.cat(ids), largest
