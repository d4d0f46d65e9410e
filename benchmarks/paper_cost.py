"""What the ready grids `paper-*` cost, counted: images, floating-point operations, hours of a GPU.

    python benchmarks/paper_cost.py [--tflops 15] [--step 0.05] [--images 400] [--start 30]

Nothing is measured. Counted is what the code does with the authors' recipes on ViT-B/16: passes of
both towers forward, and backward to the prompts (as much again: the weights are frozen), prompt
tokens that all classes share once. Hours of a run are the largest of three bounds, the operations
at `--tflops` (an A100 in float32 peaks at 19.5), `--step` seconds for every training step
(launching kernels), and `--images` a second read and decoded; and `--start` seconds (loading the
model, measuring, writing). Image features kept from another run are not allowed for, and validation
images are taken to be as many as test images.
"""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, fields

from ncscope.features.sources import name_of_data
from ncscope.grids.spec import Option, read_spec, ready_names, spec_path
from ncscope.tuning.losses import WITH_FROZEN_IMAGES
from ncscope.tuning.recipe import recipe_of

# Classes and test images: protocols of the papers, and torchvision's for Food101 and SUN397.
DATA = {
    "imagenet": (1000, 50_000), "caltech101": (100, 2465), "oxford_pets": (37, 3669),
    "stanford_cars": (196, 8041), "oxford_flowers": (102, 2463), "food101": (101, 30_300),
    "fgvc_aircraft": (100, 3333), "sun397": (397, 19_850), "dtd": (47, 1692),
    "eurosat": (10, 8100), "ucf101": (101, 3783), "imagenetv2": (1000, 10_000),
    "imagenet-sketch": (1000, 50_889), "imagenet-a": (200, 7500), "imagenet-r": (200, 30_000),
}  # fmt: skip
SHOTS = 16
OWN_TOKENS = 5  # of a class: its name, the full stop, end of text


def tower(layers: int, width: int, tokens: float) -> float:
    """Operations of one pass: 12 width² multiplications a token and layer, and attention."""
    return layers * (24 * width**2 * tokens + 4 * tokens**2 * width)


IMAGE = tower(12, 768, 197)
TOKEN = tower(12, 512, 1)  # of text; attention over so few tokens is nothing


@dataclass(frozen=True)
class Speed:
    """Of a machine: operations and images a second, seconds a step and a run take at least."""

    tflops: float = 15
    step: float = 0.05
    images: float = 400
    start: float = 30


@dataclass(frozen=True)
class Cost:
    """Of a run, or of several."""

    images: float = 0  # passes of an image through the tower, forward
    operations: float = 0
    seconds: float = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.images + other.images,
            self.operations + other.operations,
            self.seconds + other.seconds,
        )


def shown_images(options: Mapping[str, Option], classes: int) -> int:
    """16 a class, or with a long tail the sum of the exponential profile, at least one a class."""
    tau = float(str(options.get("tau", 1.0)))
    power = [k / max(classes - 1, 1) for k in range(classes)]
    return sum(max(int(SHOTS * tau**p + 1e-9), 1) for p in power)


def cost(options: Mapping[str, Option], speed: Speed) -> Cost:
    """Of one run, evaluations before and after training among it."""
    recipe = recipe_of(
        str(options["method"]), str(options["recipe"]), data_name=name_of_data(str(options["data"]))
    )
    classes, test = DATA[str(options["data"]).split(":")[0]]
    if options.get("split", "base") != "all":
        classes = -(-classes // 2)
    targets = options.get("target", [])
    assert isinstance(targets, list)
    test += sum(DATA[str(name).split(":")[0]][1] for name in targets)
    drawn = shown_images(options, classes)
    pixels = recipe.ctx_vision > 0 or options["method"] == "maple"  # prompts in the image tower
    views = recipe.epochs if recipe.views == "online" else int(recipe.views)
    if pixels:
        forward, backward = drawn * recipe.epochs + 2 * test, drawn * recipe.epochs
        if options["method"] in WITH_FROZEN_IMAGES:
            forward += drawn * views
    else:
        forward, backward = drawn * views + test, 0
    steps = recipe.epochs * max(drawn // recipe.batch_size, 1)
    tokens = 1 + recipe.ctx + OWN_TOKENS * classes
    texts = steps * 2 * tokens * TOKEN
    if options["method"] == "cocoop":  # text features of every image
        texts = texts * recipe.batch_size + 2 * test * tokens * TOKEN
    operations = (forward + backward) * IMAGE + texts
    bounds = operations / (speed.tflops * 1e12), steps * speed.step, forward / speed.images
    return Cost(forward, operations, speed.start + max(bounds))


def by_method(name: str, speed: Speed) -> dict[str, Cost]:
    """What the runs of each method in a ready grid cost."""
    found: dict[str, Cost] = {}
    for run in read_spec(spec_path(name), root="ROOT"):
        method = str(run.options["method"])
        found[method] = found.get(method, Cost()) + cost(run.options, speed)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for field in fields(Speed):
        parser.add_argument(f"--{field.name}", type=float, default=field.default)
    speed = Speed(**vars(parser.parse_args()))
    for name in (name for name in ready_names() if name.startswith("paper-")):
        methods = by_method(name, speed)
        total = sum(methods.values(), Cost())
        print(
            f"{name}: {total.images / 1e6:.1f} million images forward, "
            f"{total.operations / 1e18:.1f} EFLOP, about {total.seconds / 3600:.0f} GPU-hours"
        )
        shares = (f"{method} {one.seconds / 3600:.0f}" for method, one in methods.items())
        print(f"  of them {', '.join(shares)}")


if __name__ == "__main__":
    main()
