"""The state of a run between two epochs, in one file that is complete or absent.

A file holds the trained tensors, the optimiser's, running means, PromptSRC's average, and which
configuration they belong to. Reading runs no code: safetensors and JSON.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ncscope.errors import CheckpointError
from ncscope.writing import replacing

_FORMAT = "ncscope tuning state 1"
NAME = "state.safetensors"
_MAY_CHANGE = ("data", "processes")


@dataclass(frozen=True, eq=False)
class State:
    """`epoch` epochs are done; `config` is the run's own, `log_bytes` the length of its log."""

    epoch: int
    tensors: dict[str, Tensor]
    config: dict[str, Any]
    log_bytes: int = 0
    step: int = 0


def write_state(state: State, path: Path) -> None:
    """Write under a temporary name and rename, so that a kill leaves the old state or the new."""
    known = {
        "epoch": state.epoch,
        "step": state.step,
        "config": state.config,
        "log_bytes": state.log_bytes,
    }
    tensors = {name: value.detach().cpu().contiguous() for name, value in state.tensors.items()}
    with replacing(path) as temporary:
        save_file(tensors, temporary, {"format": _FORMAT, "state": json.dumps(known)})


def read_state(path: Path) -> State:
    """Read a state.

    Raises:
        CheckpointError: damaged, or not a state of this version.
    """
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}
        known = json.loads(metadata["state"]) if metadata.get("format") == _FORMAT else None
        if known is not None:
            return State(
                epoch=int(known["epoch"]),
                tensors=tensors,
                config=dict(known["config"]),
                log_bytes=int(known["log_bytes"]),
                step=int(known["step"]),
            )
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path}: damaged ({type(error).__name__}); remove it to begin again"
        ) from None
    raise CheckpointError(f"{path}: no state of a tuning run; remove it to begin again")


def check_resumable(folder: Path, config: dict[str, Any]) -> None:
    """Refuse a configuration that is not the one of the run in a folder, if there is one.

    Raises:
        CheckpointError: names what differs, or the state is damaged.
    """
    path = folder / NAME
    if path.exists():
        check_same(read_state(path), config, path)


def check_same(state: State, config: dict[str, Any], path: Path) -> None:
    """Refuse to go on with a run of another configuration.

    Where the data lie and how many processes train may have changed: `images`, the digest of the
    training images, says whether they are the same, and the result does not depend on the number.

    Raises:
        CheckpointError: names what differs.
    """
    wanted = json.loads(json.dumps(config))
    keys = dict.fromkeys([*wanted, *state.config])  # options first, what follows from them last
    other = [k for k in keys if k not in _MAY_CHANGE and wanted.get(k) != state.config.get(k)]
    if other:
        key = other[0]
        raise CheckpointError(
            f"{path}: the run there has {key} = {state.config.get(key)!r}, now it is "
            f"{wanted.get(key)!r}; resume with the same options, or give another --out"
        )
