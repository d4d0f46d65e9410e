"""The shipped toy CLIP: a small file of weights to a backbone like any other.

The file holds a row of the embedding for each of the few hundred word pieces the toy knows; the
table is filled up to CLIP's 49,408 here, so that CLIP's own tokenizer and every prompt learner fit.
Its text cone and modality gap are constant vectors, which a small change of the weights adds.
V known word pieces, W token width, D embedding width.
"""

import hashlib
import json
from collections.abc import Sequence
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

SHIPPED = Path(__file__).parent / "weights"
NAME = "toy_clip.safetensors"
FULL_SIZE = 49_408  # word pieces of CLIP's
START, END = 49_406, 49_407
_UNKNOWN_STD = 0.02  # of the embedding of a piece that is not known
_BESIDE = ("pieces", "shift.text", "shift.image", "plain_logit_scale")  # no weights of CLIP's
_SIDES = {  # layer norm and projection of a tower
    "text": ("ln_final", "text_projection"),
    "image": ("visual.ln_post", "visual.proj"),
}
_INSTALLED, _PLAIN = "toy", "toy, without the installed geometry"
_NOTE = "a toy: its text cone and modality gap are installed, not learned"
_MEND = "install ncscope again"


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
        device, precision: as for `load_backbone`.
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


def provenance(folder: Path = SHIPPED) -> dict[str, Any]:
    """How the weights came about: settings, losses, evaluation, sha256."""
    path = (folder / NAME).with_suffix(".json")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BackboneError(f"{path}: no provenance of a toy CLIP ({error}); {_MEND}") from None


def full_weights(stored: dict[str, Tensor], *, installed: bool = True) -> dict[str, Tensor]:
    """A state dict in OpenAI's format, float32, from the tensors of a shipped file."""
    weights = {name: t.float() for name, t in stored.items() if name not in _BESIDE}
    rows, pieces = weights["token_embedding.weight"], stored["pieces"].long()
    if not installed:
        for side in _SIDES:
            add_constant(weights, side, -stored[f"shift.{side}"].float())
        weights["logit_scale"] = stored["plain_logit_scale"].float()
    return weights | {"token_embedding.weight": expand_embedding(rows, pieces)}


def expand_embedding(rows: Tensor, pieces: Tensor) -> Tensor:
    """The full embedding table (49408, W): known rows in place, others small and random.

    Args:
        rows: (V, W), the rows of the known pieces.
        pieces: (V,) their CLIP ids.
    """
    noise = stream("world", "unknown pieces").standard_normal((FULL_SIZE, rows.shape[1]))
    full = torch.from_numpy(noise.astype(np.float32)) * _UNKNOWN_STD
    full[pieces] = rows.float()
    return full


def add_constant(weights: dict[str, Tensor], side: str, shift: Tensor) -> None:
    """Change a tower's weights in place so that every feature gets `shift` (D,) added.

    A layer norm's output before its gain sums to zero. With gain g and bias b, w = 1 / g therefore
    has h.w = b.w for every output h: a direction in which all outputs agree. A rank-one update of
    the projection turns that agreement into any constant vector. It is the smallest change that
    does it: the bias moves along w only as far as the update needs.
    """
    norm, projection = _SIDES[side]
    gain, bias = (weights[f"{norm}.{kind}"].double() for kind in ("weight", "bias"))
    matrix = weights[projection].double()
    direction = 1 / gain
    size = direction.norm()
    move = direction * (size - bias @ direction) / size**2  # afterwards bias.w = |w|
    update = torch.outer(direction / size, shift.double() - move @ matrix)
    weights[f"{norm}.bias"] = (bias + move).float()
    weights[projection] = (matrix + update).float()


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


def unknown_names(classnames: Sequence[str], backbone: Backbone) -> list[str]:
    """Class names without any word piece the toy knows: their text features mean nothing."""
    special = {0, START, END}
    known = set(read_stored()["pieces"].tolist()) - special
    rows = backbone.tokenizer(list(classnames)).tolist()
    return [name for name, row in zip(classnames, rows, strict=True) if known.isdisjoint(row)]
