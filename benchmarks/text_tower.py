"""Forward + backward of the prompted text tower against the authors' 77-token pass, and against
that of a user who only cuts off what lies behind the longest prompt.

    python benchmarks/text_tower.py [--rows coop cocoop maple] [--classes 100] [--repeats 3]

ViT-B/16's text tower with random weights, names of one to three words, gradients to the context
and the deep prompts. Each measurement runs in a fresh process, with one thread; printed are
process CPU-seconds (the least of the repeats, all sides in turns), peak memory above what the
loaded model takes, and the relative errors of features and gradients. The 77-token CoCoOp step
keeps the graphs of all four images until one backward pass, as its authors do, and needs about
12 GB; `--classes 25` needs 3.
"""

import argparse
import json
import pathlib
import resource
import subprocess
import sys
import time

ROWS = {  # context tokens, fixed words after them, deep layers, images; the bar on time
    "coop": (16, 0, 0, 0, 15.0),
    "cocoop": (4, 0, 0, 4, 10.0),
    "maple": (2, 2, 8, 0, 8.0),
}
WIDTH, LONGEST = 512, 5
MEMORY_BAR = 1 / 8


def make(row: str, classes: int):
    """The text tower, the learned tensors, the fixed words, own tokens and their lengths."""
    import open_clip
    import torch

    torch.manual_seed(0)
    vision = open_clip.CLIPVisionCfg(layers=1, width=64, patch_size=32, image_size=32)
    text = open_clip.CLIPTextCfg(vocab_size=600, width=WIDTH, heads=8, layers=12)
    model = open_clip.CLIP(512, vision, text, quick_gelu=True).eval().requires_grad_(False)
    context, fixed, deep, images, _ = ROWS[row]
    learned = [0.02 * torch.randn(context, WIDTH)]
    learned += [0.02 * torch.randn(context, WIDTH) for _ in range(deep)]
    learned += [0.02 * torch.randn(images, 1, WIDTH)] if images else []
    learned = [tensor.requires_grad_() for tensor in learned]
    words, own = 0.02 * torch.randn(fixed, WIDTH), 0.02 * torch.randn(classes, LONGEST, WIDTH)
    return model, learned, words, own, 3 + torch.arange(classes) % 3


def contexts(row: str, learned):
    """(n, W), or (B, n, W) where an image shifts the context."""
    return learned[0] + learned[-1] if ROWS[row][3] else learned[0]


def ours(row: str, model, learned, words, own, lengths):
    import torch

    from ncscope.clip.text_tower import Prompts, deep_prompts, encode_prompts, text_tower

    context = contexts(row, learned)
    shape = (*context.shape[:-2], -1, WIDTH)
    start = model.token_embedding.weight[:1]
    shared = torch.cat([start.expand(shape), context, words.expand(shape)], dim=-2)
    before = deep_prompts(learned[1 : 1 + ROWS[row][2]])
    return encode_prompts(text_tower(model), Prompts(shared, own, lengths), before=before)


def authors(row: str, model, learned, words, own, lengths, positions: int = 77):
    """77 tokens a class, and every image a pass of its own."""
    import torch

    context = contexts(row, learned)
    images = context if context.ndim == 3 else context[None]
    rows = [_full(row, model, one, learned, words, own, lengths, positions) for one in images]
    return torch.stack(rows) if context.ndim == 3 else rows[0]


def truncating(row: str, model, learned, words, own, lengths):
    """As the authors, without what is behind the longest class."""
    longest = 1 + ROWS[row][0] + len(words) + int(lengths.max())
    return authors(row, model, learned, words, own, lengths, longest)


def _full(row: str, model, context, learned, words, own, lengths, positions: int):
    import torch

    classes, num_context = len(own), len(context)
    start = model.token_embedding.weight[:1]
    shared = torch.cat([start, context, words]).expand(classes, -1, -1)
    padding = torch.zeros(classes, positions - shared.shape[1] - LONGEST, WIDTH)
    tokens = torch.cat([shared, own, padding], dim=1) + model.positional_embedding[:positions]
    mask = model.attn_mask[:positions, :positions]
    for index, block in enumerate(model.transformer.resblocks):
        if 1 <= index <= ROWS[row][2]:
            deep = learned[index].expand(classes, -1, -1)
            tokens = torch.cat([tokens[:, :1], deep, tokens[:, 1 + num_context :]], dim=1)
        tokens = block(tokens, attn_mask=mask)
    last = tokens[torch.arange(classes), shared.shape[1] + lengths - 1]
    return model.ln_final(last) @ model.text_projection


def step(row: str, forward, parts):
    """Features and gradients of one step of a loss that weighs all features differently."""
    import torch

    features = forward(row, *parts)
    weights = torch.randn(features.shape, generator=torch.Generator().manual_seed(1))
    return features.detach(), torch.autograd.grad((features * weights).sum(), parts[1])


def measure(row: str, which: str, classes: int, repeats: int) -> dict[str, float]:
    """CPU-seconds of a step and the memory its peak adds; run in a process of its own."""
    parts = make(row, classes)
    forward = {"ours": ours, "authors": authors, "truncating": truncating}[which]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step(row, forward, make(row, 3))  # first use of kernels
    seconds = []
    for _ in range(repeats):
        begun = time.process_time()
        step(row, forward, parts)
        seconds.append(time.process_time() - begun)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"seconds": min(seconds), "megabytes": peak / 1024}


def errors(row: str, classes: int) -> dict[str, float]:
    parts = make(row, classes)
    got, got_gradients = step(row, ours, parts)
    wanted, wanted_gradients = step(row, authors, parts)
    pairs = zip(got_gradients, wanted_gradients, strict=True)
    return {
        "output": float((got - wanted).norm() / wanted.norm()),
        "gradient": max(float((a - b).norm() / b.norm()) for a, b in pairs),
    }


def apart(job: str, row: str, classes: int, repeats: int) -> dict[str, float]:
    """The result of one job in a fresh process."""
    here = pathlib.Path(__file__).resolve()
    asked = [job, row, str(classes), str(repeats)]
    command = [sys.executable, str(here), "--job", *asked]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def compare(row: str, classes: int, repeats: int) -> None:
    jobs = ("authors", "truncating", "ours")
    rounds = [[apart(job, row, classes, 1) for job in jobs] for _ in range(repeats)]  # in turns
    authors_, cut, ours_ = (
        min(side, key=lambda one: one["seconds"]) for side in zip(*rounds, strict=True)
    )
    error = apart("errors", row, min(classes, 20) if ROWS[row][3] else classes, 1)
    faster = authors_["seconds"] / ours_["seconds"]
    memory = ours_["megabytes"] / authors_["megabytes"]
    bar = ROWS[row][4]
    print(
        f"{row}, {classes} classes: {authors_['seconds']:.2f} s -> {ours_['seconds']:.2f} s, "
        f"{faster:.1f}x (bar {bar:g}x: {'met' if faster >= bar else 'MISSED'}); cut off behind the "
        f"longest prompt {cut['seconds']:.2f} s, {cut['seconds'] / ours_['seconds']:.1f}x; memory "
        f"{authors_['megabytes']:.0f} -> {ours_['megabytes']:.0f} MB, 1/{1 / memory:.1f} "
        f"(bar 1/8: {'met' if memory <= MEMORY_BAR else 'MISSED'}); errors: output "
        f"{error['output']:.1e}, gradient {error['gradient']:.1e}",
        flush=True,
    )
    for baseline, side in (("77 tokens", authors_), ("cut behind the longest prompt", cut)):
        ratio = side["seconds"] / ours_["seconds"]
        print(
            f"| {row}'s text pass, {classes} classes | {baseline} | {side['seconds']:.2f} | "
            f"{ours_['seconds']:.2f} | {ratio:.1f}x |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--job", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job is None:
        for row in options.rows:
            compare(row, options.classes, options.repeats)
        return
    import torch

    torch.set_num_threads(1)
    job, row, classes, repeats = options.job
    known = errors(row, int(classes)) if job == "errors" else None
    print(json.dumps(known or measure(row, job, int(classes), int(repeats))))


if __name__ == "__main__":
    main()
