"""What the shapes of a checkpoint's tensors say: lengths, depths, widths, and which CLIP fits."""

import re
from dataclasses import dataclass

from ncscope.checkpoint.key_table import Shapes

# OpenAI's models: widths D, of the text tower and of the image tower (ViT), patch, image positions
BACKBONES = {
    "ViT-B/16": (512, 512, 768, 16, 197),
    "ViT-B/32": (512, 512, 768, 32, 50),
    "ViT-L/14": (768, 768, 1024, 14, 257),
    "ViT-L/14@336px": (768, 768, 1024, 14, 577),
    "RN50": (1024, 512, None, None, 50),
    "RN101": (512, 512, None, None, 50),
    "RN50x4": (640, 640, None, None, 82),
    "RN50x16": (768, 768, None, None, 145),
    "RN50x64": (1024, 1024, None, None, 197),
}
_BLOCK = r"transformer\.resblocks\.(\d{1,4})\."


@dataclass(frozen=True)
class Facts:
    """Counts read off the shapes; None where the file does not say.

    `prompt_sets` is PLOT's number of prompts a class, `text_depth` and `vision_depth` the number
    of blocks that see prompts of their own, `embed_width` D. `towers` are the CLIP encoders inside
    the file, `token_embedding` the key of the table of token vectors where there is one, and
    `backbones` OpenAI's models with these widths.
    """

    context_length: int | None
    vision_context_length: int | None
    prompt_sets: int | None
    class_specific: bool | None
    text_depth: int | None
    vision_depth: int | None
    num_classes: int | None
    text_width: int | None
    vision_width: int | None
    embed_width: int | None
    patch_size: int | None
    towers: tuple[str, ...]
    token_embedding: str | None
    backbones: tuple[str, ...]


def facts_of(shapes: Shapes, *, pooled: bool = False) -> Facts:
    """Read the facts off the shapes; `pooled` where the first axis of `ctx` counts prompts (PLOT).

    Args:
        shapes: the shape of each tensor by key, with or without `prompt_learner.` in front.
        pooled: the method learns several prompts for all classes.
    """
    learner = {key.removeprefix("prompt_learner."): shape for key, shape in shapes.items()}
    context = learner.get("ctx") or learner.get("anchor_ctx_1") or ()
    sets = context[0] if pooled and len(context) == 3 else None
    text, vision = _text_width(learner, context), _vision_width(learner)
    embed = _first(
        learner,
        ("image_encoder.proj", 1),
        ("text_encoder.text_projection", 1),
        ("image_encoder.attnpool.c_proj.weight", 0),
        ("meta_net.linear1.weight", 1),
        ("base_text_features", 1),
        ("fc.0.weight", 1),
        ("visual_prototypes", 1),
        ("memory_item", 1),
    )
    conv = learner.get("image_encoder.conv1.weight", ())
    patch = conv[3] if vision is not None and len(conv) == 4 else None
    places = _axis(learner, "image_encoder.positional_embedding", 0)
    places = places or _axis(learner, "image_encoder.attnpool.positional_embedding", 0)
    return Facts(
        context_length=context[-2] if len(context) >= 2 else None,
        vision_context_length=_vision_context(shapes, learner, context),
        prompt_sets=sets,
        class_specific=len(context) == 3 and not pooled if context else None,
        text_depth=_text_depth(learner, context),
        vision_depth=_vision_depth(learner),
        num_classes=_num_classes(learner, sets),
        text_width=text,
        vision_width=vision,
        embed_width=embed,
        patch_size=patch,
        towers=tuple(
            side
            for side in ("image", "text")
            if any(key.startswith(f"{side}_encoder.") and "VPT" not in key for key in shapes)
        ),
        token_embedding=next((k for k in shapes if k.endswith("token_embedding.weight")), None),
        backbones=_backbones(embed, text, vision, patch, places),
    )


def _axis(shapes: Shapes, key: str, axis: int) -> int | None:
    shape = shapes.get(key, ())
    return shape[axis] if -len(shape) <= axis < len(shape) else None


def _first(shapes: Shapes, *places: tuple[str, int]) -> int | None:
    """The length of the first of these axes that the file has."""
    lengths = (_axis(shapes, key, axis) for key, axis in places)
    return next((length for length in lengths if length is not None), None)


def _text_width(learner: Shapes, context: tuple[int, ...]) -> int | None:
    if len(context) >= 2:
        return context[-1]
    embedding = _axis(learner, "token_embedding", -1) or _axis(learner, "prompt_embeddings", -1)
    return embedding or _axis(learner, "text_encoder.ln_final.weight", 0)


def _vision_width(learner: Shapes) -> int | None:
    """Width of a vision transformer; a ResNet has none that a learner could be told by."""
    width = _first(
        learner,
        ("image_encoder.class_embedding", 0),
        ("image_encoder.VPT", -1),
        ("ctx_vision", -1),
        ("proj.weight", 0),
        ("cross_prompts_visual.0", -1),
        ("head.weight", 1),  # LIFT's, before CLIP's projection
    )
    if width is not None:
        return width
    adapter = re.compile(r"visual_adapter\.\d+\.up\.weight")
    adapters = [shape for key, shape in learner.items() if adapter.fullmatch(key)]
    return adapters[0][0] if adapters and len(adapters[0]) == 2 else None


def _vision_context(shapes: Shapes, learner: Shapes, context: tuple[int, ...]) -> int | None:
    places = ("ctx_vision", "image_encoder.VPT", "cross_prompts_visual.0")
    length = _first(learner, *((key, -2) for key in places))
    if length is None and "prompt_learner.proj.weight" in shapes and len(context) >= 2:
        return context[-2]
    return length


def _text_depth(learner: Shapes, context: tuple[int, ...]) -> int | None:
    depth = _depth(
        learner,
        (r"cross_prompts_text\.(\d{1,4})", 1),
        (r"compound_prompts_text\.(\d{1,4})", 2),
        (rf"text_encoder\.{_BLOCK}VPT_shallow", 1),
    )
    return depth or (1 if len(context) >= 2 else None)


def _vision_depth(learner: Shapes) -> int | None:
    depth = _depth(
        learner,
        (r"cross_prompts_visual\.(\d{1,4})", 1),
        (r"compound_prompt_projections\.(\d{1,4})\..*", 2),
        (rf"image_encoder\.{_BLOCK}VPT_shallow", 1),
    )
    shallowest = ("image_encoder.VPT", "proj.weight", "ctx_vision")
    return depth or (1 if any(key in learner for key in shallowest) else None)


def _depth(learner: Shapes, *patterns: tuple[str, int]) -> int | None:
    """The highest number in keys of the first pattern that fits any, plus what makes it a count."""
    for pattern, more in patterns:
        if found := [int(match[1]) for key in learner if (match := re.fullmatch(pattern, key))]:
            return max(found) + more
    return None


def _num_classes(learner: Shapes, sets: int | None) -> int | None:
    """C, from whichever tensor has a row for each class."""
    prefix = _axis(learner, "token_prefix", 0)
    if prefix is not None:
        return prefix // max(sets or 1, 1)
    rows = _first(
        learner,
        ("base_text_features", 0),
        ("token_embedding", 0),
        ("prompt_embeddings", 0),
        ("linear_probe_proj.weight", 0),
        ("visual_prototypes", 0),
        ("head.weight", 0),
    )
    if rows is not None:
        return rows
    context = learner.get("ctx", ())
    return context[0] if len(context) == 3 and sets is None else None


def _backbones(*known: int | None) -> tuple[str, ...]:
    """OpenAI's models that no known width contradicts; none where no width is known."""
    if all(value is None for value in known):
        return ()
    return tuple(
        name
        for name, sizes in BACKBONES.items()
        if all(k is None or k == size for k, size in zip(known, sizes, strict=True))
    )
