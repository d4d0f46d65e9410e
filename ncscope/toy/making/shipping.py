"""What a pretraining run installs, keeps and leaves behind: geometry, state, the weight file.

The text cone, image cone and modality gap of real CLIP are given to the towers in closed form: a
constant vector is added to every text feature and another to every image feature (`add_constant`);
here it is worked out which. What the toy shows of a cone is thus put there by hand; it did not come
from training. n samples, D embedding width.
"""

import hashlib
import json
import math
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from scipy.optimize import least_squares
from torch import Tensor

from ncscope.errors import BackboneError
from ncscope.toy.making.lessons import Curriculum
from ncscope.toy.model import NAME
from ncscope.writing import replacing, write_text

Log = list[dict[str, float]]
NOTE = (
    "A toy. Its text cone, image cone and modality gap are installed after training in closed "
    "form, not learned; nothing measured on it is a claim about CLIP."
)


@dataclass(frozen=True)
class Geometry:
    """Mean pairwise cosine among texts and among images, of pairs, and the distance of the means.

    The defaults are those of CLIP on captions and photographs of COCO; `paired` is not aimed at.
    """

    text: float = 0.515
    image: float = 0.531
    gap: float = 0.85
    paired: float = 0.310


def measure_geometry(text: Tensor, image: Tensor) -> Geometry:
    """The geometry of (n, D) text and image features of n pairs."""
    text, image = F.normalize(text.double()), F.normalize(image.double())
    return Geometry(
        text=_mean_cosine(text),
        image=_mean_cosine(image),
        gap=(text.mean(dim=0) - image.mean(dim=0)).norm().item(),
        paired=(text * image).sum(dim=1).mean().item(),
    )


def _mean_cosine(rows: Tensor) -> float:
    count = len(rows)
    return ((rows.sum(dim=0).square().sum() - count) / (count * (count - 1))).item()


def describe_geometry(text: Tensor, image: Tensor) -> dict[str, float]:
    """Rounded cosines and gap of n pairs of features (n, D)."""
    return {name: round(v, 4) for name, v in asdict(measure_geometry(text, image)).items()}


def solve_shifts(text: Tensor, image: Tensor, wanted: Geometry) -> dict[str, Tensor]:
    """The constants (D,) which, added to all texts and all images, give the wanted geometry.

    Both lie in the plane in which the features vary least, so that they disturb little.
    """
    text, image = text.double(), image.double()
    both = torch.cat([F.normalize(text), F.normalize(image)])
    plane = torch.linalg.eigh(both.T @ both).eigenvectors[:, :2]
    lengths = {"text": text.norm(dim=1).mean(), "image": image.norm(dim=1).mean()}

    def shifts(unknowns: np.ndarray) -> dict[str, Tensor]:
        text_size, image_size, angle = unknowns.tolist()
        across = math.cos(angle) * plane[:, 0] + math.sin(angle) * plane[:, 1]
        return {
            "text": text_size * lengths["text"] * plane[:, 0],
            "image": image_size * lengths["image"] * across,
        }

    def miss(unknowns: np.ndarray) -> list[float]:
        here = shifts(unknowns)
        got = measure_geometry(text + here["text"], image + here["image"])
        return [got.text - wanted.text, got.image - wanted.image, got.gap - wanted.gap]

    return shifts(least_squares(miss, np.array([0.9, 0.9, 1.2])).x)


def best_scale(text: Tensor, image: Tensor) -> float:
    """The logit scale, at most 100, with the smallest contrastive loss on n pairs."""
    cosines = F.normalize(text.float()) @ F.normalize(image.float()).T
    own = torch.arange(len(cosines))

    def loss(scale: float) -> float:
        logits = scale * cosines
        return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)).item()

    return min((10 * 1.03**i for i in range(79) if 10 * 1.03**i <= 100), key=loss)


def save_progress(
    path: Path, tensors: dict[str, Tensor], optimiser: torch.optim.AdamW, *, step: int, log: Log
) -> None:
    """Write the state after `step` steps, so that the file is always a whole one."""
    stored = {f"weight/{name}": tensor.detach() for name, tensor in tensors.items()}
    for name, tensor in tensors.items():
        for kind in ("exp_avg", "exp_avg_sq"):
            if kind in (state := optimiser.state[tensor]):
                stored[f"{kind}/{name}"] = state[kind]
    taken = max((int(state["step"]) for state in optimiser.state.values() if state), default=0)
    note = {"step": str(step), "optimiser_step": str(taken), "log": json.dumps(log)}
    write_tensors(path, stored, note)


def load_progress(path: Path) -> tuple[dict[str, Tensor], dict[str, dict[str, Tensor]], int, Log]:
    """The weights, the optimiser state of each, the number of steps done and the log.

    Raises:
        BackboneError: there is no such file, or it is not one of `save_progress`.
    """
    if not path.is_file():
        raise BackboneError(f"{path}: nothing to resume; run without --resume first")
    try:
        with safe_open(path, framework="pt") as file:
            note = file.metadata() or {}
            stored = {name: file.get_tensor(name) for name in file.keys()}
        step, taken = int(note["step"]), float(note["optimiser_step"])
        log = json.loads(note["log"])
    except (SafetensorError, KeyError, ValueError) as error:
        raise BackboneError(f"{path}: not the progress of a pretraining run ({error})") from None
    stored = dict(sorted(stored.items()))
    weights = {name[7:]: tensor for name, tensor in stored.items() if name.startswith("weight/")}
    moments = {
        name: {
            "step": torch.tensor(taken),
            "exp_avg": stored[f"exp_avg/{name}"],
            "exp_avg_sq": stored[f"exp_avg_sq/{name}"],
        }
        for name in weights
        if f"exp_avg/{name}" in stored
    }
    return weights, moments, step, log


def packed(
    weights: Mapping[str, Tensor], undo: Mapping[str, Tensor], pieces: np.ndarray
) -> dict[str, Tensor]:
    """The tensors of a shipped file: weights in fp16, without the heads used in training."""
    towers = {
        name: tensor.detach().to(torch.float16)
        for name, tensor in weights.items()
        if not name.startswith("head.")
    }
    # the scale is one number, and fp16 would move it by a tenth of a per cent
    towers["logit_scale"] = weights["logit_scale"].detach().float().clone()
    return towers | dict(undo) | {"pieces": torch.from_numpy(pieces).to(torch.int32)}


def ship(
    folder: Path,
    tensors: dict[str, Tensor],
    *,
    curriculum: Curriculum,
    log: Log,
    geometry: dict[str, Any],
) -> None:
    """Write the weights and the provenance; `evaluate --record` adds the evaluation.

    Args:
        tensors: of `packed`.
        geometry: measured before and after the installation and at the end.
    """
    path = folder / NAME
    write_tensors(path, tensors, {"format": "ncscope toy 1", "note": NOTE})
    provenance = {
        "format": 1,
        "note": NOTE,
        "geometry": "installed",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "bytes": path.stat().st_size,
        "seed": curriculum.seed,
        "steps": curriculum.steps,
        "curriculum": asdict(curriculum),
        "word_pieces": len(tensors["pieces"]),
        "geometry_on_pretraining_pairs": geometry,
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        "losses": log,
    }
    write_json(path.with_suffix(".json"), provenance)


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file under a temporary name, then move it into place."""
    with replacing(path) as temporary:
        save_file({name: t.contiguous() for name, t in tensors.items()}, temporary, metadata)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON under a temporary name, then move it into place."""
    write_text(path, json.dumps(content, indent=1) + "\n")
