"""Everything to be known of a GPU in one run of minutes: parity with the CPU, waits, every ratio.

    python -m benchmarks.gpu [--device cuda] [--small]

ViT-B/16 with random weights, 100 classes, batches of 32 (4 where the image tower is trained).
Printed: how far features, gradients and text of the device are from the CPU's, in each precision;
whether a training step waits for the device (torch's own check, an error at the first wait); a step
against the same with 77 positions a prompt, as the authors have it, and the peak memory of both;
extraction against the bare tower on the same batches. `--small` takes the toy CLIP and 10 classes,
and with `--device cpu` shows that everything runs: its ratios mean nothing.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.tune import BATCH, setting_of, with_whole_prompts
from ncscope.clip.backbone import Backbone, load_backbone
from ncscope.clip.prompts import ZeroShot
from ncscope.data.images import ImageSet
from ncscope.features.forward import encode_images
from ncscope.toy.model import load_toy_clip
from ncscope.tuning.step import Setting, new_loss, step_gradients

METHODS = ("coop", "maple", "cocoop")
REPEATS = 5


def clip(small: bool, device: str, precision: str = "fp32") -> Backbone:
    """The model of a run, with the same weights on every device."""
    if small:
        return load_toy_clip(device=device, precision=precision)
    return load_backbone(
        "ViT-B-16-quickgelu", pretrained="random", device=device, precision=precision
    )


def apart(got: Tensor, wanted: Tensor) -> float:
    """Relative difference of two tensors."""
    got, wanted = got.double().cpu(), wanted.double().cpu()
    return float((got - wanted).norm() / wanted.norm())


def settle(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def least(work: Callable[[], object], device: str) -> float:
    """Seconds of the fastest of several runs, after one that warms up."""
    found = []
    for _ in range(REPEATS + 1):
        settle(device)
        begun = time.perf_counter()
        work()
        settle(device)
        found.append(time.perf_counter() - begun)
    return min(found[1:])


def peak(work: Callable[[], object], device: str) -> str:
    """The most memory of the device that a piece of work takes beside what is there."""
    if not device.startswith("cuda"):
        return "not measured"
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    work()
    return f"{(torch.cuda.max_memory_allocated() - before) / 1e6:.0f} MB"


def step(setting: Setting) -> Callable[[], Tensor]:
    """One step's gradients as one vector; terms and plans are made before."""
    npt, rows = new_loss(setting), torch.arange(len(setting.inputs.labels))

    def taken() -> Tensor:
        found = step_gradients(setting, rows, 0, npt)[0]
        return torch.cat([gradient.flatten() for gradient in found])

    return taken


def parity(small: bool, device: str, classes: int) -> Iterator[str]:
    """Features, text and gradients of the device against the CPU's."""
    reference = clip(small, "cpu")
    size = reference.image_size
    pixels = torch.randn(8, 3, size, size, generator=torch.Generator().manual_seed(0))
    texts = [f"a photo of thing number {k}." for k in range(classes)]
    with torch.inference_mode():
        image, text = reference.encode_image(pixels), reference.encode_text(texts)
        kinds = ("fp32", "tf32", "bf16", "fp16") if device.startswith("cuda") else ("fp32", "bf16")
        for precision in kinds:
            model = clip(small, device, precision)
            error = apart(model.encode_image(pixels.to(model.device)), image)
            yield f"parity of image features, {precision}: {error:.1e}"
        yield f"parity of text features: {apart(clip(small, device).encode_text(texts), text):.1e}"
    model = clip(small, device)
    for method in METHODS:
        here, there = (
            step(setting_of(method, side, classes, cached=True))() for side in (model, reference)
        )
        yield f"parity of {method}'s gradient: {apart(here, there):.1e}"


def waits(setting: Setting, method: str) -> str:
    """Whether a step, its plans made, waits for the device."""
    if setting.trainee.backbone.device.type != "cuda":
        return f"waits in a step of {method}: not to be seen on the CPU"
    taken = step(setting)
    taken()
    torch.cuda.set_sync_debug_mode("error")
    try:
        taken()
    except RuntimeError as error:
        return f"waits in a step of {method}: YES, {str(error).splitlines()[0]}"
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return f"waits in a step of {method}: none"


def steps(small: bool, device: str, classes: int) -> Iterator[str]:
    """Training steps against the authors' path, in each precision."""
    kinds = ("fp32", "tf32", "bf16") if device.startswith("cuda") else ("fp32",)
    models = {precision: clip(small, device, precision) for precision in kinds}
    for method in METHODS:
        setting = setting_of(method, models["fp32"], classes, cached=True)
        yield waits(setting, method)
        theirs = least(lambda setting=setting: with_whole_prompts(setting), device)
        theirs_peak = peak(lambda setting=setting: with_whole_prompts(setting), device)
        for precision, model in models.items():
            own = setting_of(method, model, classes, cached=True)
            taken = step(replace(own, precision=precision))
            ours = least(taken, device)
            yield (
                f"step of {method}, {classes} classes, batch {BATCH[method]}, {precision}: "
                f"{1e3 * theirs:.1f} ms as the authors, fp32 -> {1e3 * ours:.1f} ms, "
                f"{theirs / ours:.1f}x; peak {theirs_peak} -> {peak(taken, device)}"
            )


def extraction(small: bool, device: str, count: int) -> Iterator[str]:
    """`encode_images` against the tower alone on batches that lie on the device."""
    noise = np.random.default_rng(0).integers(0, 256, (224, 224, 3), dtype=np.uint8)
    picture = Image.fromarray(noise)
    items = tuple(map(str, range(count)))
    images = ImageSet("noise", ("noise",), (0,) * count, items, "noise", lambda _: picture)
    kinds = ("fp32", "tf32", "bf16") if device.startswith("cuda") else ("fp32",)
    for precision in kinds:
        model = clip(small, device, precision)
        size = model.image_size
        batch = torch.randn(64, 3, size, size).to(model.device)

        def bare(model: Backbone = model, batch: Tensor = batch) -> None:
            with torch.inference_mode():
                for _ in range(count // 64):
                    model.encode_image(batch)

        def whole(model: Backbone = model) -> None:
            encode_images(ZeroShot(model), images)

        alone, all_of_it = least(bare, device), least(whole, device)
        yield (
            f"extraction of {count} images, {precision}: {count / all_of_it:.0f}/s, "
            f"{alone / all_of_it:.2f} of the bare tower's {count / alone:.0f}/s; "
            f"peak {peak(whole, device)}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true")
    given = parser.parse_args()
    small, device = given.small, given.device
    classes, count = (10, 64) if small else (100, 4096)
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else "CPU"
    print(f"{name}, torch {torch.__version__}, {'toy CLIP' if small else 'ViT-B/16'}", flush=True)
    begun = time.perf_counter()
    for part in (
        parity(small, device, classes),
        steps(small, device, classes),
        extraction(small, device, count),
    ):
        for line in part:
            print(line, flush=True)
    print(f"done in {time.perf_counter() - begun:.0f} s")


if __name__ == "__main__":
    main()
