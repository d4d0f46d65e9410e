"""Trains the toy CLIP: `python -m ncscope.toy.making.pretrain --out DIR`.

The weights it writes are the ones in `ncscope/toy/weights`; nobody needs to run it. It goes by
steps, not by the clock, and takes its data from seeds, but bf16 sums depend on the machine and the
number of threads: another machine gives other weights of the same quality.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from open_clip import CLIP, CLIPTextCfg, CLIPVisionCfg
from open_clip.loss import ClipLoss
from open_clip.tokenizer import SimpleTokenizer
from safetensors.torch import load_file
from torch import Tensor

from ncscope.toy.making import towers
from ncscope.toy.making.lessons import (
    Curriculum,
    Lessons,
    new_heads,
    prepare_lessons,
    supervised_loss,
)
from ncscope.toy.making.shipping import (
    Geometry,
    Log,
    best_scale,
    describe_geometry,
    load_progress,
    packed,
    save_progress,
    ship,
    solve_shifts,
    write_tensors,
)
from ncscope.toy.making.towers import HEAD_WIDTH
from ncscope.toy.model import NAME, add_constant
from ncscope.toy.paint import PIXELS

PATCH = 8
LOGIT_LIMIT = 4.6052  # ln 100
PROGRESS, BEFORE, UNDO = "progress.safetensors", "before_install.safetensors", "undo.safetensors"


def new_weights(curriculum: Curriculum, vocabulary: int) -> dict[str, Tensor]:
    """A freshly initialised toy CLIP as open_clip initialises it, and the training heads."""
    width, layers = curriculum.width, curriculum.layers
    vision = CLIPVisionCfg(
        layers=layers,
        width=width,
        head_width=HEAD_WIDTH,
        patch_size=PATCH,
        image_size=PIXELS,
    )
    text = CLIPTextCfg(vocab_size=vocabulary, width=width, heads=width // HEAD_WIDTH, layers=layers)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(curriculum.seed)
        model = CLIP(embed_dim=width, vision_cfg=vision, text_cfg=text, quick_gelu=True)
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    # in the order in which a save is read, so that sums over all weights round the same
    return dict(sorted((weights | new_heads(width, curriculum.seed)).items()))


def new_optimiser(weights: dict[str, Tensor], curriculum: Curriculum) -> torch.optim.AdamW:
    """AdamW as CLIP's: only matrices decay, and not the embeddings."""
    for tensor in weights.values():
        tensor.requires_grad_()
    decayed = [t for name, t in weights.items() if t.ndim > 1 and "embedding" not in name]
    others = [t for name, t in weights.items() if t.ndim < 2 or "embedding" in name]
    groups = [
        {"params": decayed, "weight_decay": curriculum.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, betas=(0.9, 0.98), eps=1e-6)


def loss_of(
    weights: dict[str, Tensor], lessons: Lessons, step: int, curriculum: Curriculum
) -> tuple[Tensor, dict[str, float]]:
    """The loss of one step and what to log of it. The towers run in bf16, the losses in fp32."""
    index, stage = lessons.indices(step), curriculum.stage(step)
    low = {name: tensor.to(torch.bfloat16) for name, tensor in weights.items()}
    state = towers.image_state(low, lessons.pixels(index).to(torch.bfloat16))
    supervised, right = supervised_loss(weights, state.float(), lessons.labels(index))
    note = {"shape": right["shape"], "texture": right["texture"], "supervised": supervised.item()}
    if stage == 1:
        return supervised, note
    image = (state @ low["visual.proj"]).float()
    text = towers.encode_text(low, lessons.tokens(index, step)).float()
    scale = weights["logit_scale"].exp()
    unit = torch.nn.functional.normalize
    contrastive = ClipLoss()(unit(image, dim=1), unit(text, dim=1), scale)
    note |= {"contrastive": contrastive.item(), "scale": scale.item()}
    share = curriculum.supervised_share if stage == 2 else 0.0
    return contrastive + share * supervised, note


def install_geometry(weights: dict[str, Tensor], lessons: Lessons) -> dict[str, Tensor]:
    """Install cone, gap and scale on the weights in place; what it takes to undo it."""
    plain_scale = weights["logit_scale"].clone()
    before = pair_features(weights, lessons)
    shifts = solve_shifts(before["text"], before["image"], Geometry())
    for side, shift in shifts.items():
        add_constant(weights, side, shift)
    after = pair_features(weights, lessons)
    scale = best_scale(after["text"][: lessons.batch], after["image"][: lessons.batch])
    weights["logit_scale"] = torch.tensor(scale).log()
    undo = {f"shift.{side}": shift.float() for side, shift in shifts.items()}
    return undo | {"plain_logit_scale": plain_scale}


def pair_features(weights: Mapping[str, Tensor], lessons: Lessons) -> dict[str, Tensor]:
    """Features (n, D) of eight batches of images and of their captions, in float32."""
    rows: dict[str, list[Tensor]] = {"text": [], "image": []}
    with torch.no_grad():
        for i in range(8):
            index = lessons.indices(i)
            rows["image"].append(towers.encode_image(weights, lessons.pixels(index)))
            rows["text"].append(towers.encode_text(weights, lessons.tokens(index, 10 * i)))
    return {side: torch.cat(parts) for side, parts in rows.items()}


def train(
    curriculum: Curriculum,
    out: Path,
    *,
    resume: bool = False,
    stop_after: int | None = None,
    save_every: int = 50,
    say: Callable[[str], None] = print,
) -> tuple[dict[str, Tensor], Lessons, Log]:
    """Run the curriculum, or what is left of it: the weights, what was taught, the losses."""
    lessons = prepare_lessons(
        curriculum.seed,
        curriculum.pool,
        batch=curriculum.batch,
        distractors=curriculum.distractors,
        encode=SimpleTokenizer().encode,
    )
    say(f"pool of {curriculum.pool} scenes rendered, {len(lessons.pieces)} word pieces")
    weights, optimiser, first, log = _begin(curriculum, lessons, out, resume=resume)
    began = time.monotonic()
    for step in range(first, min(curriculum.steps, stop_after or curriculum.steps)):
        if step > 0 and curriculum.stage(step) != curriculum.stage(step - 1):
            weights, optimiser = _next_stage(weights, lessons, step, curriculum, out)
        note = _take_step(weights, optimiser, lessons, step, curriculum)
        if step % 25 == 0 or step + 1 == curriculum.steps:
            log.append({"step": step} | {name: round(value, 4) for name, value in note.items()})
            say(f"{time.monotonic() - began:6.0f} s  " + json.dumps(log[-1]))
        if (step + 1) % save_every == 0 or step + 1 in (curriculum.steps, stop_after):
            save_progress(out / PROGRESS, weights, optimiser, step=step + 1, log=log)
    return weights, lessons, log


def _begin(
    curriculum: Curriculum, lessons: Lessons, out: Path, *, resume: bool
) -> tuple[dict[str, Tensor], torch.optim.AdamW, int, Log]:
    """Fresh weights, or those of the last save."""
    if not resume:
        weights = new_weights(curriculum, len(lessons.pieces))
        return weights, new_optimiser(weights, curriculum), 0, []
    weights, moments, step, log = load_progress(out / PROGRESS)
    optimiser = new_optimiser(weights, curriculum)
    for name, state in moments.items():
        optimiser.state[weights[name]] = dict(state)
    return weights, optimiser, step, log


def _next_stage(
    weights: dict[str, Tensor], lessons: Lessons, step: int, curriculum: Curriculum, out: Path
) -> tuple[dict[str, Tensor], torch.optim.AdamW]:
    """Start a stage with a fresh optimiser; before the last one, install the geometry."""
    weights = {name: tensor.detach().clone() for name, tensor in weights.items()}
    if curriculum.stage(step) == 3:
        write_tensors(out / BEFORE, weights, {})
        write_tensors(out / UNDO, install_geometry(weights, lessons), {})
    return weights, new_optimiser(weights, curriculum)


def _take_step(
    weights: dict[str, Tensor],
    optimiser: torch.optim.AdamW,
    lessons: Lessons,
    step: int,
    curriculum: Curriculum,
) -> dict[str, float]:
    for group in optimiser.param_groups:
        group["lr"] = curriculum.learning_rate(step)
    optimiser.zero_grad(set_to_none=True)
    loss, note = loss_of(weights, lessons, step, curriculum)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(weights.values(), 1.0)
    optimiser.step()
    with torch.no_grad():
        weights["logit_scale"].clamp_(0, LOGIT_LIMIT)
    return note


def finish(
    out: Path, weights: dict[str, Tensor], lessons: Lessons, *, curriculum: Curriculum, log: Log
) -> None:
    """Write the weights in the form in which they ship, with the geometry of every stage."""
    undo = load_file(out / UNDO)
    before, after = (pair_features(w, lessons) for w in (load_file(out / BEFORE), weights))
    shifted = [before[side] + undo[f"shift.{side}"] for side in ("text", "image")]
    ship(
        out,
        packed(weights, undo, lessons.pieces),
        curriculum=curriculum,
        log=log,
        geometry={
            "trained": describe_geometry(before["text"], before["image"]),
            "installed": describe_geometry(*shifted),
            "settled": describe_geometry(after["text"], after["image"]),
        },
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for progress and weights")
    parser.add_argument("--resume", action="store_true", help="go on from the last save in --out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    curriculum = Curriculum(seed=arguments.seed, threads=arguments.threads)
    torch.set_num_threads(curriculum.threads)
    weights, lessons, log = train(curriculum, arguments.out, resume=arguments.resume, say=_say)
    finish(arguments.out, weights, lessons, curriculum=curriculum, log=log)
    _say(f"wrote {arguments.out / NAME} and its provenance")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
