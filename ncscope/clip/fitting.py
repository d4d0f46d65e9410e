"""Weights into a model: whether they are its own, in number, names, shapes and kinds of numbers.

A configuration is a file's word, and so are the sizes in it. Before a model takes any memory, it is
built without values and compared with the weights that are to fill it.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ncscope.clip.plan import Plan, new_model
from ncscope.errors import BackboneError

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_MOST_UNTRAINED = 16 * 2**30  # bytes of a model without weights; the largest published takes 10 GiB


def check_size(clip: Any, plan: Plan) -> None:
    """Refuse a model that its weights do not fit, or one without weights that is too large.

    Only open_clip's own towers can be built without values; those of other libraries are named by
    the caller, or in a folder that the caller vouched for.

    Raises:
        BackboneError: as `fitting`; or the configuration builds no model, or one above 16 GiB.
    """
    named = (plan.config["vision_cfg"].get("timm_model_name"),
             plan.config["text_cfg"].get("hf_model_name"))  # fmt: skip
    if any(named) or plan.published is not None:
        return
    with torch.device("meta"):
        wanted = new_model(clip, plan).state_dict()
    if plan.tensors is not None:
        fitting(wanted, plan.tensors, where=plan.weights)
    size = sum(value.numel() * value.element_size() for value in wanted.values())
    if plan.tensors is None and size > _MOST_UNTRAINED:
        raise BackboneError(
            f"{plan.name}: its configuration asks for {size / 2**30:,.0f} GiB of untrained "
            f"weights; at most {_MOST_UNTRAINED // 2**30} GiB are made"
        )


def fill(model: nn.Module, tensors: Mapping[str, Tensor], *, where: str) -> None:
    """Load weights, every name and shape exactly; half precision is brought to the model's.

    Raises:
        BackboneError: names, shapes or kinds of numbers are not the model's, or NaN is among them.
    """
    wanted = model.state_dict()
    tensors = fitting(wanted, tensors, where=where)
    check_weights(wanted, tensors, where=where)
    model.load_state_dict(tensors, strict=False)  # batch norms may lack their counters


def fitting(
    wanted: Mapping[str, Tensor], tensors: Mapping[str, Tensor], *, where: str
) -> dict[str, Tensor]:
    """The weights in the shapes of the model's, single numbers reshaped; refused if they differ."""
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
    return tensors


def check_weights(
    wanted: Mapping[str, Tensor], tensors: Mapping[str, Tensor], *, where: str
) -> None:
    """Refuse numbers of another kind than the model's, and NaN or infinity among them.

    Raises:
        BackboneError: names the weight, and whose fault it is.
    """
    for key, value in tensors.items():
        kind = str(value.dtype).removeprefix("torch.")
        if value.layout != torch.strided or value.is_quantized or value.is_meta:
            raise BackboneError(f"{where}: `{key}` is no plain tensor; save it dense, with values")
        if not wanted[key].is_floating_point():
            if value.is_floating_point() or value.is_complex():
                raise BackboneError(f"{where}: `{key}` is {kind}; expected whole numbers")
        elif value.dtype not in _FLOATS:
            raise BackboneError(
                f"{where}: `{key}` is {kind}; expected float16, bfloat16, float32 or float64: "
                f"save the weights with .float()"
            )
        elif not bool(torch.isfinite(value).all()):
            count = int((~torch.isfinite(value)).sum())
            raise BackboneError(
                f"{where}: `{key}` has NaN or infinity in {count} of {value.numel()} places: the "
                f"weights are damaged or training diverged; fetch or save them again"
            )
