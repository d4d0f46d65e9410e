"""Zero-shot text features of names x templates against open_clip.build_zero_shot_classifier.

    python benchmarks/zero_shot.py [--names 30] [--templates 8] [--rounds 2]

ViT-B/16's text tower with random weights, one thread, made-up names of one to three words, CLIP's
own templates. Both sides run in turns in one process; printed are process CPU-seconds (the least of
the rounds), their ratio, and the largest difference of the classifiers' rows of length 1.
open_clip's side encodes 10 names at a time, its default, ours 256 prompts. `--names 1000
--templates 80` is ImageNet's, and takes open_clip's side hours.
"""

import argparse
import itertools
import time

import open_clip
import torch
import torch.nn.functional as F

from ncscope.clip.prompts import ensembled
from ncscope.clip.written import encode_ids

WORDS = ("cat", "grey", "seal", "house", "old", "violin", "train", "maple", "coffee", "tower")


def new_model() -> open_clip.CLIP:
    """CLIP with ViT-B/16's text tower and an image tower that does not matter."""
    torch.manual_seed(0)
    vision = open_clip.CLIPVisionCfg(layers=1, width=64, patch_size=32, image_size=32)
    text = open_clip.CLIPTextCfg(width=512, heads=8, layers=12)
    return open_clip.CLIP(512, vision, text, quick_gelu=True).eval().requires_grad_(False)


def names_of(count: int) -> list[str]:
    """Different names of one to three words."""
    several = (itertools.product(WORDS, repeat=length) for length in (1, 2, 3))
    return [" ".join(words) for words in itertools.chain(*several)][:count]


def theirs(model: open_clip.CLIP, names: list[str], templates: list[str]) -> torch.Tensor:
    """(K, D), rows of length 1."""
    tokenizer = open_clip.SimpleTokenizer()
    return open_clip.build_zero_shot_classifier(model, tokenizer, names, templates).T


def ours(model: open_clip.CLIP, names: list[str], templates: list[str]) -> torch.Tensor:
    """(K, D), rows of length 1, as `ncscope.clip.prompts.ZeroShot` makes them."""
    tokenizer = open_clip.SimpleTokenizer()

    def encode(texts: list[str]) -> torch.Tensor:
        parts = (texts[i : i + 256] for i in range(0, len(texts), 256))
        return torch.cat([encode_ids(model, tokenizer(part)) for part in parts])

    with torch.no_grad():
        return F.normalize(ensembled(encode, names, templates), dim=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--names", type=int, default=30)
    parser.add_argument("--templates", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model, names = new_model(), names_of(options.names)
    listed = open_clip.OPENAI_IMAGENET_TEMPLATES[: options.templates]
    templates = [template("{}") for template in listed]
    seconds: dict[str, list[float]] = {"theirs": [], "ours": []}
    rows: dict[str, torch.Tensor] = {}
    for _ in range(options.rounds):
        for name, encode in (("theirs", theirs), ("ours", ours)):
            begun = time.process_time()
            rows[name] = encode(model, names, templates)
            seconds[name].append(time.process_time() - begun)
    least = {name: min(several) for name, several in seconds.items()}
    difference = float((rows["theirs"] - rows["ours"]).abs().max())
    print(
        f"{len(names)} names x {len(templates)} templates: {least['theirs']:.2f} s -> "
        f"{least['ours']:.2f} s, {least['theirs'] / least['ours']:.1f}x; "
        f"rows differ by {difference:.1e}"
    )
    print(
        f"| zero-shot text, {len(names)} names x {len(templates)} templates | "
        f"open_clip.build_zero_shot_classifier | {least['theirs']:.2f} | {least['ours']:.2f} | "
        f"{least['theirs'] / least['ours']:.1f}x |"
    )


if __name__ == "__main__":
    main()
