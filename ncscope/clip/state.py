"""State dicts: putting one into a model exactly, and a digest of what a model is."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ncscope.errors import BackboneError


def fill(model: nn.Module, tensors: Mapping[str, Tensor], *, where: str) -> None:
    """Load weights, every name and shape exactly; half precision is brought to the model's."""
    wanted = model.state_dict()
    single = {key for key, value in wanted.items() if value.numel() == 1}  # () or (1,), alike
    tensors = {
        key: value.reshape(wanted[key].shape) if key in single and value.numel() == 1 else value
        for key, value in tensors.items()
    }
    missing = [key for key in wanted if key not in tensors and "num_batches" not in key]
    extra = [key for key in tensors if key not in wanted]
    other = [key for key in tensors if key in wanted and tensors[key].shape != wanted[key].shape]
    if missing or extra or other:
        said = [f"{len(missing)} weights are missing (`{missing[0]}`)"] if missing else []
        said += [f"{len(extra)} are not the model's (`{extra[0]}`)"] if extra else []
        if other:
            key = other[0]
            shapes = f"{tuple(tensors[key].shape)} for {tuple(wanted[key].shape)}"
            said.append(f"{len(other)} have another shape (`{key}`: {shapes})")
        raise BackboneError(f"{where}: does not fit the architecture: {'; '.join(said)}")
    model.load_state_dict(tensors, strict=False)  # batch norms may lack their counters


def state_digest(config: Mapping[str, Any], state: Mapping[str, Tensor]) -> str:
    """Return the sha256 of a configuration and of names, dtypes, shapes and bytes, by name.

    The configuration counts: the same weights with another activation are another model.
    """
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for name in sorted(state):
        value = state[name].contiguous()
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
