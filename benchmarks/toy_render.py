"""How many toy scenes are rendered a second, by batch size: `python benchmarks/toy_render.py`.

The baseline is one large batch; the bar is that rendering is never slower than the toy CLIP's own
forward pass on the same pictures, in the same run.
"""

import argparse
import time
from collections.abc import Callable

import torch

from ncscope.toy import paint
from ncscope.toy.images import camera_of
from ncscope.toy.making.lessons import normalised
from ncscope.toy.model import load_toy_clip
from ncscope.toy.world import Scenes, draw_scenes, stream


def best_rate(work: Callable[[], object], count: int, *, repeats: int) -> float:
    """Pictures a second in the fastest of several runs."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return count / min(times)


def render_at(scenes: Scenes, chunk: int, *, camera: paint.Camera | None = None) -> torch.Tensor:
    """Render with another batch size than the usual one."""
    usual, paint.CHUNK = paint.CHUNK, chunk
    try:
        return paint.render(scenes, camera=camera)
    finally:
        paint.CHUNK = usual


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    scenes = draw_scenes(stream("tuning", "benchmark"), chosen.count)
    pixels = normalised(paint.render(scenes))
    backbone = load_toy_clip()

    def encode() -> None:
        with torch.inference_mode():
            for start in range(0, chosen.count, 256):
                backbone.encode_image(pixels[start : start + 256])

    print(f"{chosen.count} scenes, {chosen.threads} threads, best of {chosen.repeats}")
    for chunk in (32, 128, 512, chosen.count):
        rate = best_rate(lambda c=chunk: render_at(scenes, c), chosen.count, repeats=chosen.repeats)
        print(f"render, batches of {chunk:<5} {rate:8.0f} /s")
    camera = camera_of("shapes", 1.0)
    rate = best_rate(
        lambda: paint.render(scenes, camera=camera), chosen.count, repeats=chosen.repeats
    )
    print(f"render with a camera        {rate:8.0f} /s")
    forward = best_rate(encode, chosen.count, repeats=chosen.repeats)
    print(f"toy CLIP image tower, fp32  {forward:8.0f} /s")
    print(f"render / forward            {rate / forward:8.2f}   bar: >= 1")


if __name__ == "__main__":
    main()
