"""The shipped toy CLIP: a small file of weights to a backbone like any other.

Its vocabulary is a few hundred of CLIP's word pieces, and its text cone is a constant vector that a
small change of the weights adds, exactly.

A layer norm's output before its gain sums to zero. With gain g and bias b, w = 1 / g therefore
has h.w = b.w for every output h: a direction in which all outputs agree. A rank-one update of the
projection turns that agreement into any constant vector. D embedding width.

The shipped embedding has a row a known piece. Known pieces keep their order, so that end-of-text
stays the largest id and pooling at the arg-max works in the compact numbering, too.

The file holds a row for each of the few hundred word pieces the toy knows; the table is filled up
to CLIP's 49,408 here, so that CLIP's own tokenizer and every prompt learner fit.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load
from torch import Tensor

from ncscope.clip.backbone import Backbone, build_backbone, check_precision, choose_device
from ncscope.clip.plan import Plan
from ncscope.clip.weights import architecture
from ncscope.errors import BackboneError, shown
from ncscope.toy.world import stream

SIDES = {  # layer norm and projection of a tower
    "text": ("ln_final", "text_projection"),
    "image": ("visual.ln_post", "visual.proj"),
}
FULL_SIZE = 49_408
START, END = 49_406, 49_407
UNKNOWN_STD = 0.02  # of the embedding of a piece that is not known
Encode = Callable[[str], list[int]]  # text -> CLIP's piece ids, without start and end
SHIPPED = Path(__file__).parent / "weights"
NAME = "toy_clip.safetensors"
_INSTALLED, _PLAIN = "toy", "toy, without the installed geometry"
_NOTE = "a toy: its text cone and modality gap are installed, not learned"
_MEND = "install ncscope again"
_BESIDE = ("pieces", "shift.text", "shift.image", "plain_logit_scale")  # no weights of CLIP's


def add_constant(weights: dict[str, Tensor], side: str, shift: Tensor) -> None:
    """Change a tower's weights in place so that every feature gets `shift` (D,) added.

    The smallest change that does it: the bias moves along w only as far as the update needs.
    """
    norm, projection = SIDES[side]
    gain, bias = (weights[f"{norm}.{kind}"].double() for kind in ("weight", "bias"))
    matrix = weights[projection].double()
    direction = 1 / gain
    size = direction.norm()
    move = direction * (size - bias @ direction) / size**2  # afterwards bias.w = |w|
    update = torch.outer(direction / size, shift.double() - move @ matrix)
    weights[f"{norm}.bias"] = (bias + move).float()
    weights[projection] = (matrix + update).float()


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


def load_toy_clip(
    *,
    installed: bool = True,
    device: str = "cpu",
    precision: str = "fp32",
    folder: Path = SHIPPED,
) -> Backbone:
    """Load the toy CLIP, frozen.

    Args:
        installed: False takes out the text cone, the image cone and the modality gap that were
            installed after training, to see what depends on them.
        device: as for `load_backbone`.
        precision: as for `load_backbone`.
        folder: where `python -m ncscope.toy.making.pretrain` wrote another one.

    Raises:
        BackboneError: the weights are missing or damaged.
    """
    place = choose_device(device)
    check_precision(precision, place)
    stored = read_stored(folder)
    weights = full_weights(stored, installed=installed)
    origin = "shipped with ncscope" if folder == SHIPPED else str(folder)
    plan = Plan(
        name=_INSTALLED if installed else _PLAIN,
        weights=f"{origin}, sha256 {provenance(folder)['sha256'][:16]}",
        config=architecture(weights, where="toy"),
        tensors=weights,
        notes=(_NOTE,) if installed else (),
    )
    return build_backbone(plan, device=place, precision=precision)


def unknown_names(classnames: Sequence[str], backbone: Backbone) -> list[str]:
    """Class names without any word piece the toy knows: their text features mean nothing."""
    special = {0, START, END}
    known = set(read_stored()["pieces"].tolist()) - special
    rows = backbone.tokenizer(list(classnames)).tolist()
    return [name for name, row in zip(classnames, rows, strict=True) if known.isdisjoint(row)]


def name_warnings(classnames: Sequence[str], backbone: Backbone | None) -> list[str]:
    """A warning where the backbone is the toy and class names say nothing to it."""
    if backbone is None or backbone.description["name"] not in (_INSTALLED, _PLAIN):
        return []
    unknown = unknown_names(classnames, backbone)
    if not unknown:
        return []
    return [
        f"the toy CLIP knows no word of {len(unknown)} of {len(classnames)} class names "
        f"({shown(unknown)}): their text features mean nothing"
    ]


def full_weights(stored: dict[str, Tensor], *, installed: bool = True) -> dict[str, Tensor]:
    """A state dict in OpenAI's format, float32, from the tensors of a shipped file."""
    weights = {name: t.float() for name, t in stored.items() if name not in _BESIDE}
    rows, pieces = weights["token_embedding.weight"], stored["pieces"].long()
    if not installed:
        for side in ("text", "image"):
            add_constant(weights, side, -stored[f"shift.{side}"].float())
        weights["logit_scale"] = stored["plain_logit_scale"].float()
    return weights | {"token_embedding.weight": expand_embedding(rows, pieces)}


def provenance(folder: Path = SHIPPED) -> dict[str, Any]:
    """How the weights came about: settings, losses, evaluation, sha256."""
    path = (folder / NAME).with_suffix(".json")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BackboneError(f"{path}: no provenance of a toy CLIP ({error}); {_MEND}") from None


@cache
def read_stored(folder: Path = SHIPPED) -> dict[str, Tensor]:
    """The tensors of the weight file, checked against the recorded sha256."""
    path = folder / NAME
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BackboneError(f"{path}: the toy CLIP cannot be read ({error}); {_MEND}") from None
    found, wanted = hashlib.sha256(content).hexdigest(), provenance(folder)["sha256"]
    if found != wanted:
        raise BackboneError(
            f"{path}: sha256 {found[:16]}…, expected {wanted[:16]}…: the file is damaged; {_MEND}"
        )
    return load(content)
