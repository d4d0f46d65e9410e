"""Whole training steps of `ncscope tune` against the same step as the authors' code does it.

    python benchmarks/tune.py [--rows coop epoch maple cocoop] [--classes 100] [--device cpu]

ViT-B/16 with random weights, 100 classes, one thread on the CPU. `ours` is the step that training
takes: `step_gradients`, cross-entropy and NPT's two terms. The baseline has the same loss with
every prompt passed through 77 positions; for `epoch` it is our own step with the image tower run on
the batch, which cached views spare. Printed are CPU-seconds (seconds on CUDA), the least of the
repeats, and the relative difference of the gradients.
"""

import argparse
import contextlib
import time
from collections.abc import Sequence
from unittest import mock

import torch
from torch import Tensor

from ncscope.clip.backbone import Backbone, load_backbone
from ncscope.clip.text_tower import Flow, Prompts, TextTower
from ncscope.tuning.forms import Objective
from ncscope.tuning.inputs import FeatureInputs
from ncscope.tuning.recipe import recipe_of
from ncscope.tuning.step import Setting, new_loss, step_gradients
from ncscope.tuning.trainee import Trainee, new_trainee
from ncscope.zoo.learners import cocoop, coop, maple

BARS = {"coop": 15.0, "cocoop": 10.0, "maple": 8.0, "epoch": 10.0}
BATCH = {"coop": 32, "cocoop": 4, "maple": 4, "epoch": 32}


class Pixels:
    """The same random pictures every time, as pixels."""

    def __init__(self, labels: Tensor, size: int, device: torch.device) -> None:
        generator = torch.Generator().manual_seed(0)
        pixels = torch.randn(len(labels), 3, size, size, generator=generator)
        self.labels, self.pixels = labels, pixels.to(device)

    def expect(self, batches: Sequence[Tensor], epoch: int) -> None:
        """They are here."""

    def batch(self, rows: Tensor, epoch: int) -> Tensor:
        del epoch
        return self.pixels[rows.to(self.pixels.device)]


class ThroughTower:
    """Backbone features computed at every step, as without a cache."""

    def __init__(self, backbone: Backbone, pixels: Pixels) -> None:
        self.backbone, self.pixels, self.labels = backbone, pixels, pixels.labels

    def expect(self, batches: Sequence[Tensor], epoch: int) -> None:
        """They are here."""

    @torch.no_grad()
    def batch(self, rows: Tensor, epoch: int) -> Tensor:
        return self.backbone.encode_image(self.pixels.batch(rows, epoch))


def whole_prompts(tower: TextTower, prompts: Prompts, *, before=None, beside=None) -> Tensor:
    """Every prompt through all positions of the tower, as the authors' code does."""
    assert not beside
    own, shared = prompts.own, prompts.shared
    images = shared if shared.ndim == 3 else shared[None]
    found = [_whole(tower, one, own, prompts.lengths, before or {}) for one in images]
    return torch.stack(found) if shared.ndim == 3 else found[0]


def _whole(tower: TextTower, shared: Tensor, own: Tensor, lengths: Tensor, before) -> Tensor:
    classes, positions = len(own), len(tower.positions)
    padding = own.new_zeros(classes, positions - len(shared) - own.shape[1], own.shape[2])
    tokens = torch.cat([shared.expand(classes, -1, -1), own, padding], dim=1) + tower.positions
    mask = tokens.new_full((positions, positions), float("-inf")).triu_(1)
    for index, block in enumerate(tower.blocks):
        if index in before:
            edited = before[index](Flow(tokens[:, : len(shared)], tokens[:1, :0], None))  # type: ignore[arg-type]
            tokens = torch.cat([edited.shared, tokens[:, len(shared) :]], dim=1)
        tokens = block(tokens, attn_mask=mask)
    last = tokens[torch.arange(classes), len(shared) + lengths - 1]
    return tower.project(tower.norm(last))


def setting_of(row: str, backbone: Backbone, classes: int, *, cached: bool) -> Setting:
    """A method on random pictures."""
    method = "coop" if row == "epoch" else row
    names = tuple(f"thing number {k}" for k in range(classes))
    recipe = recipe_of(method)
    trainee: Trainee = new_trainee(method, backbone, names, recipe=recipe, seed=1)
    labels = torch.arange(BATCH[row], device=backbone.device) % classes
    pixels = Pixels(labels, backbone.image_size, backbone.device)
    if method == "maple":
        inputs = pixels
    elif cached:
        table = ThroughTower(backbone, pixels).batch(torch.arange(len(labels)), 0)
        inputs = FeatureInputs(table[None], labels, 1)
    else:
        inputs = ThroughTower(backbone, pixels)
    counts = torch.full((classes,), 16, device=backbone.device)
    objective = Objective(lcd_weight=0.1, mid_weight=1.0)
    return Setting(trainee, inputs, objective, counts, names)


def one_step(setting: Setting) -> list[Tensor]:
    size = len(setting.inputs.labels)
    return step_gradients(setting, torch.arange(size), 0, new_loss(setting))[0]


def timed(setting: Setting) -> tuple[float, Tensor]:
    """The time of a step, and its gradients."""
    on_cuda = setting.trainee.backbone.device.type == "cuda"
    clock = time.perf_counter if on_cuda else time.process_time
    begun = clock()
    gradients = one_step(setting)
    if on_cuda:
        torch.cuda.synchronize()
    return clock() - begun, torch.cat([gradient.flatten() for gradient in gradients])


def with_whole_prompts(setting: Setting) -> tuple[float, Tensor]:
    """The same step with 77 positions a prompt."""
    with contextlib.ExitStack() as patched:
        for module in (coop, cocoop, maple):
            patched.enter_context(mock.patch.object(module, "encode_prompts", whole_prompts))
        return timed(setting)


def compare(row: str, backbone: Backbone, classes: int, repeats: int) -> None:
    ours = setting_of(row, backbone, classes, cached=True)
    theirs = setting_of(row, backbone, classes, cached=False) if row == "epoch" else ours
    slow = timed if row == "epoch" else with_whole_prompts
    runs = [(slow(theirs), timed(ours)) for _ in range(repeats)]  # in turns, equally often
    (base, other), (seconds, gradient) = (
        min(side, key=lambda run: run[0]) for side in zip(*runs, strict=True)
    )
    note = ""
    if row == "maple":  # the image tower is the same on both sides
        image = min(image_seconds(ours) for _ in range(repeats))
        note = f" (less {image:.2f} s of image tower on both sides)"
        base, seconds = base - image, seconds - image
    error = float((gradient - other).norm() / other.norm())
    ratio = base / seconds
    print(
        f"{row}, {classes} classes, batch {BATCH[row]}: {base:.2f} s -> {seconds:.2f} s{note}, "
        f"{ratio:.1f}x (bar {BARS[row]:g}x: {'met' if ratio >= BARS[row] else 'MISSED'}); "
        f"gradients differ by {error:.1e}",
        flush=True,
    )
    baseline = "the image tower at every step" if row == "epoch" else "77 tokens"
    print(
        f"| {'coop' if row == 'epoch' else row}'s training step, {classes} classes, batch "
        f"{BATCH[row]} | {baseline} | {base:.2f} | {seconds:.2f} | {ratio:.1f}x |",
        flush=True,
    )


def image_seconds(setting: Setting) -> float:
    """Forward and backward of the prompted image tower alone."""
    learner = setting.trainee.learner()
    begun = time.process_time()
    shown = setting.inputs.batch(torch.arange(len(setting.inputs.labels)), 0)
    features = learner.encode_pixels(shown)
    torch.autograd.grad(features.sum(), setting.leaves, allow_unused=True)
    return time.process_time() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", nargs="+", default=list(BARS), choices=list(BARS))
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(1)
    backbone = load_backbone("ViT-B-16-quickgelu", pretrained="random", device=options.device)
    for row in options.rows:
        compare(row, backbone, options.classes, options.repeats)


if __name__ == "__main__":
    main()
