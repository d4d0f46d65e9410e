"""The state of a pretraining run on disk: weights, optimiser moments and log, in one file."""

import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ncscope.errors import BackboneError

Log = list[dict[str, float]]


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


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file under a temporary name, then move it into place."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    save_file({name: t.contiguous() for name, t in tensors.items()}, temporary, metadata=metadata)
    temporary.replace(path)
