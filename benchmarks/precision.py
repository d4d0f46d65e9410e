"""What each precision of the towers costs: errors of features and of measures against fp32.

    python -m benchmarks.precision [--data toy:shapes] [--images 600] [--device cpu]

The toy CLIP, which is trained, on its own pictures; its features are encoded in each precision and
measured. On CUDA all are the device's own. On the CPU bf16 is (the image tower in bfloat16
throughout); tf32 and autocast of fp16 are imitated: what goes into every product is rounded to 10
bits of mantissa, for fp16 to half precision, and products are added up in float32, as tensor cores
do. fp16's imitation keeps float32 between products and is a lower bound.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import ncscope
from ncscope.clip.backbone import Backbone
from ncscope.clip.prompts import ZeroShot
from ncscope.data.images import ImageSet
from ncscope.diagnosis.measure import measure
from ncscope.features.forward import encode_images
from ncscope.features.sources import open_data
from ncscope.toy.model import load_toy_clip

SHOWN = ("accuracy/top1", "nc1/default", "cdnv", "nc3/centred", "modality_gap")
_PRODUCTS = ("mm", "addmm", "bmm", "baddbmm", "convolution", "_scaled_dot_product")


def tf32(values: Tensor) -> Tensor:
    """float32 rounded to 10 bits of mantissa, half to even."""
    bits = values.contiguous().view(torch.int32)
    return ((bits + 0xFFF + ((bits >> 13) & 1)) & ~0x1FFF).view(torch.float32)


class Rounded(TorchDispatchMode):
    """Products of float32 tensors with their factors rounded first."""

    def __init__(self, rounding: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.rounding = rounding

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.name().removeprefix("aten::").split(".")[0]
        if name.startswith(_PRODUCTS):
            args = [self._one(one) for one in args]
        return func(*args, **(kwargs or {}))

    def _one(self, given: object) -> object:
        wanted = isinstance(given, Tensor) and given.dtype == torch.float32
        return self.rounding(given) if wanted else given  # pyright: ignore[reportArgumentType]


IMITATED = {"tf32": tf32, "fp16": lambda values: values.half().float()}


def encoded(precision: str, images: ImageSet, device: str) -> Tensor:
    """(N, D) image features in a precision."""
    imitate = device == "cpu" and precision in IMITATED
    backbone: Backbone = load_toy_clip(device=device, precision="fp32" if imitate else precision)
    if not imitate:
        return encode_images(ZeroShot(backbone), images).rows
    model = backbone.model
    plain = model.encode_image

    def rounded(pixels: Tensor) -> Tensor:
        with torch.inference_mode(False), torch.no_grad(), Rounded(IMITATED[precision]):
            return plain(
                pixels.clone()
            )  # what inference mode gave is not taken apart into products

    torch.backends.mha.set_fastpath_enabled(False)  # one kernel, whose products are not seen
    model.encode_image = rounded
    return encode_images(ZeroShot(backbone), images).rows


def table(data: str, count: int, device: str) -> list[str]:
    """Markdown rows: features' relative error, then each measure's, by precision."""
    images = open_data(data, part="test")
    features = ncscope.extract("zero-shot", data=images, backbone=load_toy_clip(device=device))
    assert features.label is not None
    label = features.label
    every = max(1, len(label) // count)
    rows = ["| | image features, median / largest | " + " | ".join(SHOWN) + " |"]
    rows.append("|---" * (len(SHOWN) + 2) + "|")
    true: dict[str, float] = {}
    exact = None
    for precision in ("fp32", "tf32", "bf16", "fp16"):
        image = encoded(precision, images, device)
        exact = image if exact is None else exact
        error = (image - exact).norm(dim=1) / exact.norm(dim=1)
        some = replace(features, image=image[::every], label=label[::every], preview=None)
        found = measure(some, bootstrap=0).record["measures"]
        if not true:
            true = {name: found[name] for name in SHOWN}
            rows.append(f"| fp32 | | {' | '.join(f'{true[name]:.6g}' for name in SHOWN)} |")
            continue
        apart = [f"{found[name] - true[name]:+.1e}" for name in SHOWN]
        cells = [f"{error.median():.1e} / {error.max():.1e}", *apart]
        imitated = ", imitated" if device == "cpu" and precision in IMITATED else ""
        rows.append(f"| {precision}{imitated} | {' | '.join(cells)} |")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", default="toy:shapes")
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    print("\n".join(table(given.data, given.images, given.device)))


if __name__ == "__main__":
    main()
