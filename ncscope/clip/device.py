"""Where and in which precision a model runs."""

import torch

from ncscope.errors import BackboneError

PRECISIONS = ("fp32", "bf16", "fp16")


def choose_device(device: str) -> torch.device:
    """Turn `auto`, `cpu`, `cuda`, `cuda:N` or `mps` into a device that is there.

    Raises:
        BackboneError: another word, or a device that this machine or this torch does not have.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else _mps() or "cpu"
    kind, _, index = device.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (index and not (kind == "cuda" and index.isdecimal())):
        raise BackboneError(f"`device` is {device!r}; expected auto, cpu, cuda, cuda:N or mps")
    if kind == "cuda" and not torch.cuda.is_available():
        reason = "no GPU is visible" if torch.version.cuda else "this torch is built without CUDA"
        raise BackboneError(f"`device` is {device!r}, but {reason}; use --device cpu")
    if index and int(index) >= torch.cuda.device_count():
        raise BackboneError(
            f"`device` is {device!r}, but there are only "
            f"{torch.cuda.device_count()} GPUs, counted from 0"
        )
    if kind == "mps" and not _mps():
        raise BackboneError("`device` is 'mps', which this machine does not have; use --device cpu")
    return torch.device(device)


def check_precision(precision: str, device: torch.device) -> None:
    """Refuse a precision that `device` cannot use to advantage."""
    if precision not in PRECISIONS:
        raise BackboneError(f"`precision` is {precision!r}; expected {', '.join(PRECISIONS)}")
    if device.type == "cpu" and precision == "fp16":
        raise BackboneError("`precision` fp16 needs a CUDA device; on the CPU use fp32 or bf16")
    if device.type == "mps" and precision != "fp32":
        raise BackboneError(f"`precision` {precision} is not used on mps; use fp32")


def _mps() -> str | None:
    return "mps" if torch.backends.mps.is_available() else None
