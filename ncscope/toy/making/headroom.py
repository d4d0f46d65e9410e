"""Whether the toy tasks leave room for prompt tuning: `python -m ncscope.toy.making.headroom`.

A small CoOp (Zhou et al. 2022) on cached image features, with one setting for all tasks: four
shared context tokens begun with "a photo of a", full-batch gradient descent on 16 shots of the base
classes. It looks at the `tuning` images only, so that nothing reported depends on it, and says
nothing of what any tuned method reaches. n context tokens, N images, K classes, W, D widths.
"""

import argparse
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import mean, stdev

import torch
import torch.nn.functional as F
from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.clip.class_tokens import tokenised
from ncscope.clip.text_tower import encode_prompts, text_tower
from ncscope.data.draw import draw_training
from ncscope.toy.images import toy_images
from ncscope.toy.making.evaluate import halves, zero_shot_features
from ncscope.toy.making.shipping import write_json
from ncscope.toy.model import NAME, SHIPPED, load_toy_clip, provenance
from ncscope.toy.tasks import TASKS
from ncscope.zoo.learners.coop import arrange

Encode = Callable[[Tensor], Tensor]

SPACE = "tuning"
BEGINNING = "a photo of a"


@dataclass(frozen=True)
class Probe:
    """Every setting of the small CoOp. `tau` 1 is balanced."""

    shots: int = 16
    tau: float = 1.0
    steps: int = 120
    rate: float = 0.05
    momentum: float = 0.9


@dataclass(frozen=True)
class Room:
    """Accuracy in per cent among base and among new classes, zero-shot and tuned."""

    task: str
    seed: int
    base: float
    new: float
    tuned_base: float
    tuned_new: float

    def gain(self, half: str) -> float:
        """Of tuning on the classes of a half, `base` or `new`, in points."""
        return getattr(self, f"tuned_{half}") - getattr(self, half)


def prompted(backbone: Backbone, classnames: Sequence[str]) -> Encode:
    """A function from a context (n, W) to unit text features (K, D), differentiable."""
    tower = text_tower(backbone.model)
    tokens = tokenised(backbone, tower, classnames, num_context=len(BEGINNING.split()))
    return lambda context: F.normalize(encode_prompts(tower, arrange(tokens, context)), dim=1)


def begin(backbone: Backbone) -> Tensor:
    """The context of "a photo of a", (n, W)."""
    ids = backbone.tokenizer([BEGINNING])[0, 1 : 1 + len(BEGINNING.split())]
    return text_tower(backbone.model).embedding[ids].detach().float().clone()


def tune(
    encode: Encode, context: Tensor, images: Tensor, labels: Tensor, *, scale: Tensor, by: Probe
) -> Tensor:
    """The context (n, W) after descent on the cross-entropy of unit images (N, D)."""
    context = context.clone().requires_grad_()
    optimiser = torch.optim.SGD([context], lr=by.rate, momentum=by.momentum)
    for step in range(by.steps):
        optimiser.param_groups[0]["lr"] = by.rate * (1 + math.cos(math.pi * step / by.steps)) / 2
        optimiser.zero_grad()
        F.cross_entropy(scale * images @ encode(context).T, labels).backward()
        optimiser.step()
    return context.detach()


def room_in(backbone: Backbone, name: str, *, seed: int, by: Probe) -> Room:
    """Zero-shot and tuned accuracy on a task, on the tuning images of a seed."""
    template = TASKS[name].template
    test = toy_images(name, seed=seed, space=SPACE)
    drawn = draw_training(
        toy_images(name, part="train", seed=seed, space=SPACE),
        shots=by.shots,
        tau=by.tau,
        seed=seed,
        split="base",
    ).images
    text, seen, labels = zero_shot_features(backbone, test, template)
    _, images, targets = zero_shot_features(backbone, drawn, template)
    base = len(drawn.classnames)
    encode = prompted(backbone, drawn.classnames)
    # tensors of inference mode cannot take part in a gradient; clones can
    context = tune(
        encode,
        begin(backbone),
        images.clone(),
        targets.clone(),
        scale=backbone.logit_scale,
        by=by,
    )
    with torch.no_grad():
        others = prompted(backbone, test.classnames[base:])(context)
        tuned = torch.cat([encode(context), others])
    before, after = (halves(seen @ rows.T, labels, base=base) for rows in (text, tuned))
    return Room(name, seed, *before, *after)


def summarised(rooms: Sequence[Room]) -> dict[str, float | int]:
    """Means over the seeds of one task, and the deviation of the gains, rounded."""
    gains = {half: [room.gain(half) for room in rooms] for half in ("base", "new")}
    means = {
        name: mean(getattr(room, name) for room in rooms)
        for name in ("base", "new", "tuned_base", "tuned_new")
    }
    spread = {
        f"{half}_gain_sd": stdev(found) if len(found) > 1 else 0.0 for half, found in gains.items()
    }
    return {name: round(value, 1) for name, value in (means | spread).items()}


def table(found: Mapping[str, Mapping[str, float | int]]) -> str:
    """A Markdown line a task: base and new, zero-shot and tuned."""
    lines = [
        "| task | zero-shot base / new | CoOp base / new | gain base / new (sd over seeds) |",
        "|---|---|---|---|",
    ]
    for task, row in found.items():
        gains = (row["tuned_base"] - row["base"], row["tuned_new"] - row["new"])
        lines.append(
            f"| {task} | {row['base']:.1f} / {row['new']:.1f} "
            f"| {row['tuned_base']:.1f} / {row['tuned_new']:.1f} "
            f"| {gains[0]:+.1f} ({row['base_gain_sd']:.1f}) "
            f"/ {gains[1]:+.1f} ({row['new_gain_sd']:.1f}) |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Room for prompt tuning on the toy tasks.")
    parser.add_argument("--tau", type=float, default=Probe.tau, help="share of the last class")
    parser.add_argument("--seeds", type=int, default=3, help="how many: 1, 2, ...")
    parser.add_argument("--record", action="store_true", help="into the weights' provenance")
    chosen = parser.parse_args()
    backbone, by, found = load_toy_clip(), Probe(tau=chosen.tau), {}
    for name in TASKS:
        seeds = range(1, chosen.seeds + 1)
        found[name] = summarised([room_in(backbone, name, seed=s, by=by) for s in seeds])
        print(f"{name} done", file=sys.stderr, flush=True)
    print(table(found))
    if chosen.record:
        made = provenance()
        note = {"space": SPACE, "seeds": chosen.seeds, "settings": asdict(by), "tasks": found}
        kept = made.get("headroom", {}) | {f"tau {by.tau:g}": note}
        write_json((SHIPPED / NAME).with_suffix(".json"), made | {"headroom": kept})


if __name__ == "__main__":
    main()
