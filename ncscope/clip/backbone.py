"""CLIP backbones: a name or a file to a frozen model, where and in which precision it runs.

A backbone is an open_clip model name with weights, a folder of open_clip's or Hugging Face's, or a
file of OpenAI's format, whose shapes tell the architecture. open_clip's own loader is used for
published tags only: from a local file it would take OpenAI's weights without their QuickGELU, and
from a folder without weights it would give a random model, both without an error.
"""

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ncscope.clip.fitting import check_size, fill
from ncscope.clip.hub import HUB, fetched
from ncscope.clip.installed import LateOpenClip, has_config, version
from ncscope.clip.pixels import inference_transform
from ncscope.clip.plan import (
    Plan,
    Reading,
    new_model,
    plan_file,
    plan_folder,
    plan_named,
    preprocess_settings,
    published_archives,
    unknown_name,
)
from ncscope.clip.tokenizing import new_tokenizer
from ncscope.clip.written import encode_ids
from ncscope.errors import BackboneError
from ncscope.opening import is_there

RANDOM_NOTE = "the backbone's weights are random: its features mean nothing"
PRECISIONS = ("fp32", "tf32", "bf16", "fp16")


@dataclass(frozen=True, eq=False)
class Backbone:
    """A frozen CLIP model with its transform and tokenizer."""

    model: Any  # open_clip's module, or one like it, in evaluation mode, without gradients
    preprocess: Callable[[Image.Image], Tensor]  # (3, H, W) for inference
    tokenizer: Callable[[list[str]], Tensor]  # (B, L) token ids
    width: int  # D, of the embedding both towers end in
    context_length: int
    image_size: int
    digest: str  # sha256 of the architecture and of the weights by name
    device: torch.device
    precision: str  # of the image tower
    description: dict[str, Any]  # JSON: name, weights, architecture, transform, warnings

    @property
    def logit_scale(self) -> Tensor:
        """The multiplier of the cosine, (), 100 for CLIP."""
        return self.model.logit_scale.detach().exp().float().reshape(())

    @property
    def image_digest(self) -> str:
        """Changes with whatever changes image features."""
        parts = [self.digest, self.description["preprocess"], self.precision]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def encode_image(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) preprocessed pixels to (B, D) float32, not normalised."""
        if self.precision != "fp32" and self.device.type != "cuda":
            pixels = pixels.to(self._half)  # as the tower's weights are
        with self.autocast():
            return self.model.encode_image(pixels).float()

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """On CUDA, what runs the image tower in the precision asked for; nothing elsewhere."""
        if self.precision in ("fp32", "tf32") or self.device.type != "cuda":
            return products(self.precision, self.device)
        return torch.autocast("cuda", dtype=self._half)

    @property
    def _half(self) -> torch.dtype:
        return torch.bfloat16 if self.precision == "bf16" else torch.float16

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """One (D,) float32 feature a text, (B, D), not normalised."""
        return encode_ids(self.model, self.tokenizer(list(texts)), device=self.device)


def load_backbone(
    name: str | Path,
    *,
    pretrained: str | None = None,
    device: str = "cpu",
    precision: str = "fp32",
    trust_backbone: bool = False,
    random_seed: int | None = None,
    cache_dir: Path | None = None,
) -> Backbone:
    """Load a CLIP model, frozen.

    Args:
        name: an open_clip model name, a folder of open_clip's or Hugging Face's, a state dict of
            OpenAI's format, or `hf-hub:OWNER/NAME`.
        pretrained: for a model name, a published tag, a weight file, or `random`.
        device: auto, cpu, cuda, cuda:N or mps.
        precision: of image features. fp32; on CUDA also tf32, or bf16 and fp16 by autocast; on the
            CPU also bf16, the image tower in bfloat16 throughout. Text features are always fp32.
        trust_backbone: open a TorchScript archive that is not a published one, and take what a
            folder's configuration names, from a hub too; either may run code.
        random_seed: of `random` weights; None is 0.
        cache_dir: where the tensors of a TorchScript archive are kept; None keeps none.

    Raises:
        BackboneError: an unknown name, no weights, unreadable or unfitting weights.
    """
    place = choose_device(device)
    check_precision(precision, place)
    if random_seed is not None and pretrained != "random":
        raise BackboneError("`random_seed` is given without `pretrained` random")
    clip = LateOpenClip()
    reading = Reading(trust_backbone, lambda: published_archives(clip), cache_dir)
    model_name = str(name).replace("/", "-")  # OpenAI writes ViT-B/16
    there = is_there(name)
    if str(name).startswith(HUB):
        plan = replace(plan_folder(clip, fetched(str(name)), pretrained, reading), name=str(name))
    elif has_config(model_name) or (not there and model_name in clip.list_models()):
        plan = plan_named(clip, model_name, pretrained, reading)
    elif not there:
        raise BackboneError(unknown_name(clip, str(name)))
    elif Path(name).is_dir():
        plan = plan_folder(clip, Path(name), pretrained, reading)
    else:
        plan = plan_file(clip, Path(name), pretrained, reading)
    return build_backbone(plan, device=place, precision=precision, seed=random_seed or 0)


def build_backbone(
    plan: Plan, *, device: torch.device, precision: str = "fp32", seed: int = 0
) -> Backbone:
    """Build the model of a plan; without weights, a random one from `seed`, and labelled so."""
    clip = LateOpenClip()
    model = _frozen_model(clip, plan, seed=seed)
    random = plan.tensors is None and plan.published is None
    transform = preprocess_settings(model, plan)
    context_length = int(getattr(model, "text", model).context_length)
    tokenizer, more = new_tokenizer(clip, plan, context_length)
    digest = state_digest(plan.config, model.state_dict())
    if precision == "bf16" and device.type == "cpu":
        model.visual.to(torch.bfloat16)  # autocast would be slower than fp32 there
    return Backbone(
        model=model.to(device),
        preprocess=inference_transform(transform),
        tokenizer=tokenizer,
        width=int(plan.config["embed_dim"]),
        context_length=context_length,
        image_size=int(np.max(transform["size"])),
        digest=digest,
        device=device,
        precision=precision,
        description={
            "name": plan.name,
            "weights": f"random, seed {seed}" if random else plan.weights,
            "random": random,
            "digest": digest,
            "architecture": plan.config,
            "preprocess": transform,
            "precision": precision,
            "open_clip": version(),
            "warnings": [*plan.notes, *more, *([RANDOM_NOTE] if random else [])],
        },
    )


def _frozen_model(clip: Any, plan: Plan, *, seed: int) -> Any:
    """The model of a plan with its weights, or with random ones from `seed`."""
    check_size(clip, plan)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = new_model(clip, plan)
    if plan.tensors is not None:
        fill(model, plan.tensors, where=plan.weights)
    elif plan.published is not None:
        try:
            clip.load_checkpoint(model, plan.published)  # strict, and weights_only by its default
        except Exception as error:  # a download that was cut short, in whatever format
            raise BackboneError(
                f"{plan.published}: weights of `{plan.name}`, tag `{plan.weights}`, are damaged "
                f"({type(error).__name__}); delete the file, so that it is fetched again"
            ) from None
    if hasattr(model.visual, "layer1"):  # a ResNet: a sixth faster on the CPU, more on CUDA
        model.visual.to(memory_format=torch.channels_last)
    return model.eval().requires_grad_(False)


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


def _mps() -> str | None:
    return "mps" if torch.backends.mps.is_available() else None


@contextlib.contextmanager
def products(precision: str, device: torch.device) -> Iterator[None]:
    """On CUDA, products of float32 in full, convolutions too, which torch rounds to TF32 unasked;
    for tf32 both with 10 bits of mantissa."""
    if device.type != "cuda":
        yield
        return
    parts: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [part.allow_tf32 for part in parts]
    for part in parts:
        part.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        for part, was in zip(parts, before, strict=True):
            part.allow_tf32 = was


def check_precision(precision: str, device: torch.device) -> None:
    """Refuse a precision that `device` cannot use to advantage."""
    if precision not in PRECISIONS:
        raise BackboneError(f"`precision` is {precision!r}; expected {', '.join(PRECISIONS)}")
    if device.type == "cpu" and precision in ("tf32", "fp16"):
        raise BackboneError(
            f"`precision` {precision} needs a CUDA device; on the CPU use fp32 or bf16"
        )
    if device.type == "mps" and precision != "fp32":
        raise BackboneError(f"`precision` {precision} is not used on mps; use fp32")
