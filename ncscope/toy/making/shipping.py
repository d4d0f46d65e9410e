"""Writes what a pretraining run leaves behind: the small weight file and the JSON of its making."""

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ncscope.toy.making.curriculum import Curriculum
from ncscope.toy.making.install import measure_geometry
from ncscope.toy.making.progress import Log, write_tensors
from ncscope.writing import write_text

NAME = "toy_clip.safetensors"
NOTE = (
    "A toy. Its text cone, image cone and modality gap are installed after training in closed "
    "form, not learned; nothing measured on it is a claim about CLIP."
)


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


def describe_geometry(text: Tensor, image: Tensor) -> dict[str, float]:
    """Rounded cosines and gap of n pairs of features (n, D)."""
    return {name: round(v, 4) for name, v in asdict(measure_geometry(text, image)).items()}


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON under a temporary name, then move it into place."""
    write_text(path, json.dumps(content, indent=1) + "\n")
