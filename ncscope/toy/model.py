"""The shipped toy CLIP: a small file of weights to a backbone like any other.

The file holds a row for each of the few hundred word pieces the toy knows; the table is filled up
to CLIP's 49,408 here, so that CLIP's own tokenizer and every prompt learner fit.
"""

import hashlib
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from safetensors.torch import load
from torch import Tensor

from ncscope.clip.backbone import Backbone, build_backbone
from ncscope.clip.device import check_precision, choose_device
from ncscope.clip.openai_format import architecture
from ncscope.clip.plan import Plan
from ncscope.data.files import shown
from ncscope.errors import BackboneError
from ncscope.toy.cone import add_constant
from ncscope.toy.vocabulary import END, START, expand_embedding

SHIPPED = Path(__file__).parent / "weights"
NAME = "toy_clip.safetensors"
_INSTALLED, _PLAIN = "toy", "toy, without the installed geometry"
_NOTE = "a toy: its text cone and modality gap are installed, not learned"
_MEND = "install ncscope again"
_BESIDE = ("pieces", "shift.text", "shift.image", "plain_logit_scale")  # no weights of CLIP's


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
