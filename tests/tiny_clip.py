"""Small random CLIP models in the file formats that real ones come in."""

import functools
import json
import warnings
from pathlib import Path

import open_clip
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

VIT = {
    "embed_dim": 32,
    "vision_cfg": {"layers": 2, "width": 64, "patch_size": 16, "image_size": 32},
    "text_cfg": {
        "context_length": 77, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 2,
    },
}  # fmt: skip
RESNET = {
    **VIT,
    "vision_cfg": {"layers": [1, 1, 1, 1], "width": 4, "patch_size": None, "image_size": 64},
}


def tiny_model(config: dict = VIT, *, seed: int = 0, quick_gelu: bool = True) -> open_clip.CLIP:
    """A random CLIP in evaluation mode, the same object each time: not to be changed."""
    return _tiny_model(json.dumps({**config, "quick_gelu": quick_gelu}), seed)


@functools.cache
def _tiny_model(config: str, seed: int) -> open_clip.CLIP:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = open_clip.CLIP(**json.loads(config)).eval().requires_grad_(False)
        for name, value in model.state_dict().items():
            if value.ndim and value.is_floating_point():  # so that every part has an effect
                noise = torch.randn_like(value)
                value.add_(noise.abs() if name.endswith("running_var") else 0.1 * noise)
    return model


def tiny_state(config: dict = VIT, *, seed: int = 0) -> dict[str, Tensor]:
    """Its state dict: the format of OpenAI's files, in single precision."""
    return {
        name: value.clone() for name, value in tiny_model(config, seed=seed).state_dict().items()
    }


def like_openais(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The precision of OpenAI's files: norms and embeddings single, all other weights half."""
    kept = ("ln_", "embedding", "bn", "logit_scale", "downsample.1")
    return {
        name: value if any(part in name for part in kept) else value.half()
        for name, value in state.items()
    }


def save_folder(
    folder: Path, *, config: dict = VIT, seed: int = 0, quick_gelu: bool = True
) -> Path:
    """An open_clip folder: configuration and weights."""
    folder.mkdir(parents=True, exist_ok=True)
    model_cfg = {**config, "quick_gelu": quick_gelu}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": model_cfg}))
    save_file(tiny_state(config, seed=seed), folder / "open_clip_model.safetensors")
    return folder


def save_torchscript(path: Path, *, seed: int = 0) -> Path:
    """A TorchScript archive with the three extra numbers, as OpenAI publishes its models."""
    state = like_openais(tiny_state(seed=seed))
    holder = _holder(state)
    for name, value in (("input_resolution", 32), ("context_length", 77), ("vocab_size", 49408)):
        holder.register_buffer(name, torch.tensor(value))
    with (
        warnings.catch_warnings()
    ):  # TorchScript is deprecated, and OpenAI's files are what they are
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(holder), str(path))
    return path


def _holder(state: dict[str, Tensor]) -> nn.Module:
    """A module tree with these parameters and no forward pass."""
    root = nn.Module()
    for name, value in state.items():
        module = root
        *parents, last = name.split(".")
        for part in parents:
            if part not in dict(module.named_children()):
                module.add_module(part, nn.Module())
            module = module.get_submodule(part)
        if value.is_floating_point():
            module.register_parameter(last, nn.Parameter(value, requires_grad=False))
        else:
            module.register_buffer(last, value)
    return root
