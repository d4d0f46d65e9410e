"""Training written plainly from what each method's authors do, sharing no code with the library.

Forward passes are those of `tests/zoo/learners/reference.py`; losses, schedule, SGD and Adam and
averaging are written out here. N images, K classes, D embedding width.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import open_clip
import torch
from torch import Tensor

from tests.zoo.learners.case import IMAGE_HEADS, TEXT_HEADS, token_ids
from tests.zoo.learners.reference import (
    image_forward,
    normalise,
    replace_image,
    replace_text,
    text_forward,
)

Leaves = dict[str, Tensor]
SIXTY = [template("{}") for template in open_clip.OPENAI_IMAGENET_TEMPLATES[:60]]
_TEXT = "text_encoder.transformer.resblocks.{}.VPT_shallow"
_IMAGE = "image_encoder.transformer.resblocks.{}.VPT_shallow"


@dataclass
class World:
    """A frozen CLIP's weights, the classes, all training pixels and labels."""

    state: dict[str, Tensor]
    names: Sequence[str]
    pixels: Tensor  # (N, 3, S, S)
    labels: Tensor  # (N,)

    @property
    def scale(self) -> Tensor:
        return self.state["logit_scale"].exp()

    def written(self, texts: list[str]) -> Tensor:
        """(M, D): features of texts as they stand."""
        return self.prompts(texts, None)

    def prompts(self, texts: list[str], context: Tensor | None, change=None) -> Tensor:
        """Features of texts whose first tokens are a context, one for all or one a text."""
        ids = token_ids(texts)
        rows = self.state["token_embedding.weight"][ids].clone()
        if context is not None:
            rows[:, 1 : 1 + context.shape[-2]] = context
        ends = [int(row.argmax()) for row in ids]
        return text_forward(self.state, rows, ends, heads=TEXT_HEADS, change=change)

    def stand_ins(self, count: int, words: str = "") -> list[str]:
        """Texts whose first words a context takes the place of."""
        before = " ".join(["X"] * count + words.split())
        return [f"{before} {name.replace('_', ' ')}." for name in self.names]

    def plain(self) -> list[str]:
        return [f"a photo of a {name.replace('_', ' ')}." for name in self.names]

    def image(self, rows: Tensor, appended=None, change=None) -> Tensor:
        pixels = self.pixels[rows]
        return image_forward(
            self.state, pixels, heads=IMAGE_HEADS, appended=appended, change=change
        )

    def logits(self, image: Tensor, text: Tensor) -> Tensor:
        return self.scale * normalise(image) @ normalise(text).T


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    rows = [logits[i, k] - logits[i].exp().sum().log() for i, k in enumerate(labels.tolist())]
    return -torch.stack(rows).mean()


def softmax_kl(frozen: Tensor, learned: Tensor) -> Tensor:
    """Summed over images and classes."""
    p = frozen.softmax(dim=1)
    return (p * (p.log() - learned.softmax(dim=1).log())).sum()


def coop(world: World, leaves: Leaves, rows: Tensor) -> Tensor:
    text = world.prompts(world.stand_ins(len(leaves["ctx"])), leaves["ctx"])
    return cross_entropy(world.logits(world.image(rows), text), world.labels[rows])


def cocoop(world: World, leaves: Leaves, rows: Tensor) -> Tensor:
    image, found = normalise(world.image(rows)), []
    for one in image:
        hidden = leaves["meta_net.linear1.weight"] @ one + leaves["meta_net.linear1.bias"]
        shift = leaves["meta_net.linear2.weight"] @ hidden.relu() + leaves["meta_net.linear2.bias"]
        text = world.prompts(world.stand_ins(len(leaves["ctx"])), leaves["ctx"] + shift)
        found.append(world.logits(one[None], text)[0])
    return cross_entropy(torch.stack(found), world.labels[rows])


def knowledge(world: World, learned: Tensor, texts: list[str]) -> Tensor:
    cosines = (normalise(learned) * normalise(world.written(texts))).sum(dim=1)
    return 8.0 * (1 - cosines.mean())


def kgcoop(world: World, leaves: Leaves, rows: Tensor) -> Tensor:
    text = world.prompts(world.stand_ins(len(leaves["ctx"])), leaves["ctx"])
    loss = cross_entropy(world.logits(world.image(rows), text), world.labels[rows])
    return loss + knowledge(world, text, world.plain())


def tcp(world: World, leaves: Leaves, rows: Tensor) -> Tensor:
    context, size = leaves["ctx"], len(world.names)
    zero_shot = normalise(world.written(world.plain()))
    hidden = zero_shot @ leaves["meta_net.linear1.weight"].T + leaves["meta_net.linear1.bias"]
    hidden = hidden * torch.sigmoid(1.702 * hidden)
    own = hidden @ leaves["meta_net.linear2.weight"].T + leaves["meta_net.linear2.bias"]
    own = own.reshape(size, *context.shape)

    def change(when, i, x, _):
        if (when, i) != ("before", 8):
            return x
        x = x.clone()
        x[1 : 1 + len(context)] = own.permute(1, 0, 2)
        return x

    text = world.prompts(world.stand_ins(len(context)), context, change)
    loss = cross_entropy(world.logits(world.image(rows), text), world.labels[rows])
    return loss + knowledge(world, text, world.plain())


def halved(prompt: Tensor) -> Tensor:
    """Of half precision, as these towers take all prompts but the first text ones."""
    kept = prompt.detach()
    return prompt + (kept.half().float() - kept)


def deep(leaves: Leaves, pattern: str) -> list[Tensor]:
    return [halved(leaves[key]) for i in range(1, 99) if (key := pattern.format(i)) in leaves]


def vpt_image(world: World, leaves: Leaves, rows: Tensor) -> Tensor:
    return world.image(
        rows, halved(leaves["image_encoder.VPT"]), replace_image(deep(leaves, _IMAGE))
    )


def vpt(world: World, leaves: Leaves, rows: Tensor) -> Tensor:
    text = world.written(world.plain())
    return cross_entropy(world.logits(vpt_image(world, leaves, rows), text), world.labels[rows])


def ivlp_text(world: World, leaves: Leaves) -> Tensor:
    context = leaves["prompt_learner.ctx"]
    words = " ".join("a photo of a".split()[len(context) :])
    texts = world.stand_ins(len(context), words)
    return world.prompts(texts, context, replace_text(deep(leaves, _TEXT)))


def ivlp(world: World, leaves: Leaves, rows: Tensor) -> Tensor:
    logits = world.logits(vpt_image(world, leaves, rows), ivlp_text(world, leaves))
    return cross_entropy(logits, world.labels[rows])


def promptsrc(world: World, leaves: Leaves, rows: Tensor) -> Tensor:
    image, text = vpt_image(world, leaves, rows), ivlp_text(world, leaves)
    frozen_image = world.image(rows)
    each = [
        world.written([one.replace("{}", name.replace("_", " ")) for one in SIXTY])
        for name in world.names
    ]
    frozen = torch.stack([features.mean(dim=0) for features in each])
    logits, before = world.logits(image, text), world.logits(frozen_image, frozen)
    loss = cross_entropy(logits, world.labels[rows])
    loss = loss + 25 * (normalise(text) - normalise(frozen)).abs().mean()
    loss = loss + 10 * (normalise(image) - normalise(frozen_image)).abs().mean()
    return loss + softmax_kl(before, logits) / logits.numel()


def maple(world: World, leaves: Leaves, rows: Tensor) -> Tensor:
    own = {key.removeprefix("prompt_learner."): value for key, value in leaves.items()}
    count = sum(key.startswith("compound_prompts_text") for key in own)
    prompts = [own[f"compound_prompts_text.{i}"] for i in range(count)]

    def projected(name: str, rows: Tensor) -> Tensor:
        return rows @ own[f"{name}.weight"].T + own[f"{name}.bias"]

    texts = world.stand_ins(2, "of a")
    text = world.prompts(texts, own["ctx"], replace_text([halved(p) for p in prompts]))
    shown = [
        halved(projected(f"compound_prompt_projections.{i}", p)) for i, p in enumerate(prompts)
    ]
    image = world.image(rows, halved(projected("proj", own["ctx"])), replace_image(shown))
    return cross_entropy(world.logits(image, text), world.labels[rows])


def taskres(world: World, leaves: Leaves, rows: Tensor) -> Tensor:
    base = world.written([f"a photo of a {name}." for name in world.names])
    text = base + 0.5 * leaves["text_feature_residuals"]
    return cross_entropy(world.logits(world.image(rows), text), world.labels[rows])


def clip_adapter(world: World, leaves: Leaves, rows: Tensor) -> Tensor:
    image = world.image(rows)
    made = ((image @ leaves["fc.0.weight"].T).relu() @ leaves["fc.2.weight"].T).relu()
    text = world.written(world.plain())
    return cross_entropy(world.logits(0.2 * made + 0.8 * image, text), world.labels[rows])


Loss = Callable[[World, Leaves, Tensor], Tensor]
LOSSES: dict[str, Loss] = {
    "coop": coop, "cocoop": cocoop, "kgcoop": kgcoop, "prograd": coop, "vpt": vpt, "ivlp": ivlp,
    "maple": maple, "promptsrc": promptsrc, "tcp": tcp, "taskres": taskres,
    "clip-adapter": clip_adapter,
}  # fmt: skip


def prograd_gradient(world: World, leaves: Leaves, rows: Tensor) -> list[Tensor]:
    """Cross-entropy's, less its part along the gradient of the teacher's loss where they oppose."""
    text = world.prompts(world.stand_ins(len(leaves["ctx"])), leaves["ctx"])
    image = world.image(rows)
    logits, teacher = world.logits(image, text), world.logits(image, world.written(world.plain()))
    shares = teacher.softmax(dim=1)
    general = -(shares * logits.softmax(dim=1).log()).sum(dim=1).mean()
    learn = cross_entropy(logits, world.labels[rows])
    (own,) = torch.autograd.grad(learn, [leaves["ctx"]], retain_graph=True)
    (other,) = torch.autograd.grad(general, [leaves["ctx"]])
    unit = other / other.norm()
    along = (own * unit).sum()
    return [own - along * unit if along < 0 else own]


def rate(lr: float, epoch: int, epochs: int) -> float:
    """1e-5 in the first epoch, then a cosine of all epochs' length from the second on."""
    return 1e-5 if epoch == 0 else lr / 2 * (1 + math.cos(math.pi * (epoch - 1) / epochs))


def trained(
    method: str, world: World, start: Leaves, batches: Sequence[Sequence[Tensor]], *, lr: float,
    adam_eps: float | None = None, gaussian: tuple[float, float] | None = None,
) -> Leaves:  # fmt: skip
    """The tensors after all epochs of batches; `adam_eps` None is SGD."""
    leaves = {key: value.detach().clone().requires_grad_() for key, value in start.items()}
    first = {key: torch.zeros_like(value) for key, value in leaves.items()}
    second = {key: torch.zeros_like(value) for key, value in leaves.items()}
    states, step, epochs = [], 0, len(batches)
    for epoch, of_epoch in enumerate(batches):
        for rows in of_epoch:
            step += 1
            if method == "prograd":
                gradients = prograd_gradient(world, leaves, rows)
            else:
                loss = LOSSES[method](world, leaves, rows)
                gradients = torch.autograd.grad(loss, list(leaves.values()))
            now = rate(lr, epoch, epochs)
            with torch.no_grad():
                for (key, leaf), gradient in zip(leaves.items(), gradients, strict=True):
                    slope = gradient + 0.0005 * leaf
                    if adam_eps is None:
                        first[key] = slope if step == 1 else 0.9 * first[key] + slope
                        leaf -= now * first[key]
                        continue
                    first[key] = 0.9 * first[key] + 0.1 * slope
                    second[key] = 0.999 * second[key] + 0.001 * slope * slope
                    mean = first[key] / (1 - 0.9**step)
                    spread = (second[key] / (1 - 0.999**step)).sqrt()
                    leaf -= now * mean / (spread + adam_eps)
        states.append({key: leaf.detach().clone() for key, leaf in leaves.items()})
    if gaussian is None:
        return states[-1]
    mean, deviation = gaussian
    weights = [math.exp(-(((e - mean) / deviation) ** 2) / 2) for e in range(1, epochs + 1)]
    return {
        key: sum(
            (w / sum(weights) * state[key] for w, state in zip(weights, states, strict=True)),
            torch.zeros(()),
        )
        for key in leaves
    }
