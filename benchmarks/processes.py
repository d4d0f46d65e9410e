"""Images a second of extraction by one process and by two under torchrun, one thread each.

    python benchmarks/processes.py [--images 512]

ViT-B/32 with random weights on noise, in memory; only encoding is timed, after a warm-up, until
every process has all features. Needs two free cores: look at the load before believing the ratio.
"""

import argparse
import os
import subprocess
import sys
import time


def encode(count: int) -> None:
    import torch
    from PIL import Image

    from ncscope.clip.backbone import load_backbone
    from ncscope.clip.prompts import ZeroShot
    from ncscope.data.images import ImageSet
    from ncscope.features.forward import encode_images
    from ncscope.features.processes import joined

    torch.set_num_threads(1)
    learner = ZeroShot(load_backbone("ViT-B-32", pretrained="random", random_seed=0))
    picture = Image.effect_noise((224, 224), 50).convert("RGB")

    def images(size: int) -> ImageSet:
        items = tuple(map(str, range(size)))
        return ImageSet("noise", ("noise",), (0,) * size, items, "noise", lambda _: picture)

    with joined() as spread:
        encode_images(learner, images(16), batch_size=8, spread=spread)
        began = time.perf_counter()
        encode_images(learner, images(count), batch_size=16, spread=spread)
        if spread.first:
            print(count / (time.perf_counter() - began))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        encode(given.images)
        return
    two = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    rates = []
    for launch in ([], two):
        command = [sys.executable, *launch, __file__, "--worker", "--images", str(given.images)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        if done.returncode:
            raise SystemExit(done.stderr)
        rates.append(float(done.stdout.split()[-1]))
    print(f"one {rates[0]:.1f}/s, two {rates[1]:.1f}/s, ratio {rates[1] / rates[0]:.2f}")


if __name__ == "__main__":
    main()
