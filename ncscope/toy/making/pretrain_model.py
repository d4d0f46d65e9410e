"""What a pretraining run begins with: a fresh model of open_clip's, and an optimiser."""

import torch
from open_clip import CLIP, CLIPTextCfg, CLIPVisionCfg
from torch import Tensor

from ncscope.toy.making.curriculum import Curriculum, new_heads
from ncscope.toy.making.towers import HEAD_WIDTH
from ncscope.toy.paint import PIXELS

PATCH = 8


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
