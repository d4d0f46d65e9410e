"""TAC: prompts led by five tokens that sum up descriptions of the task (Hao et al. 2025).

Five cluster centres of the training data's descriptions are projected to both towers' widths. The
text prompt is start-of-text, the five, the context, and then the whole written prompt, its initial
words too; in the image tower patches do not attend to the five. Both stay the same in every block,
while the context behind them is replaced. The file's weights are means over epochs: exact with
`--backbone checkpoint`. n text tokens, m image tokens, s summaries (5), W, V tower widths, D.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.clip.class_tokens import with_context
from ncscope.clip.image_tower import check_image_tower
from ncscope.clip.text_tower import deep_prompts, encode_prompts, text_tower
from ncscope.errors import CheckpointError
from ncscope.zoo.learners.learner import Learner, Sides, build
from ncscope.zoo.learners.parts import as_used, check_depth, class_source, take
from ncscope.zoo.settings import Settings


def load_tac(tensors: Mapping[str, Tensor], backbone: Backbone, settings: Settings) -> Learner:
    """A learner from `prompt_learner.ctx`, `image_encoder.VPT`, their deep prompts and `topk`.

    Raises:
        CheckpointError: other shapes than the backbone's, deep prompts with a gap.
        BackboneError: the backbone has no vision transformer.
    """
    tower = text_tower(backbone.model)
    width, vision = tower.positions.shape[1], check_image_tower(backbone, method=settings.method)
    context = take(tensors, "prompt_learner.ctx", ("n", width), settings)
    shallow = take(tensors, "image_encoder.VPT", ("m", vision), settings)
    text_lead = _projected(tensors, "VPT_topk_t", width, backbone, settings)
    image_lead = _projected(tensors, "VPT_topk_v", vision, backbone, settings)
    text_deep = _deep(tensors, "text", tuple(context.shape), backbone, settings)
    image_deep = _deep(tensors, "image", tuple(shallow.shape), backbone, settings)
    check_depth(len(text_deep) + 1, backbone, settings)

    head = torch.cat([text_lead, as_used(context, backbone, half=False)])
    source = class_source(
        tensors,
        backbone,
        settings,
        num_context=len(head),
        dtype=tensors["prompt_learner.ctx"].dtype,
    )
    before = deep_prompts([torch.cat([text_lead, own]) for own in text_deep])
    shallow = as_used(shallow, backbone, half=True)
    rows = [torch.cat([image_lead, own]) for own in (shallow, *image_deep)]

    def text(names: list[str]) -> Tensor:
        return encode_prompts(tower, with_context(source(names), head), before=before)

    facts = {
        "context": list(context.shape),
        "text_depth": len(text_deep) + 1,
        "vision_depth": len(rows),
        "summaries": len(text_lead),
    }
    parts = {f"rows.{i}": row for i, row in enumerate(rows)}
    image = _image_side(backbone, rows, hidden=len(image_lead))
    return build(backbone, settings, Sides(text, image, parts, facts))


def _projected(
    tensors: Mapping[str, Tensor], key: str, width: int, backbone: Backbone, settings: Settings
) -> Tensor:
    """(s, width): the summaries in one tower's width, in half precision as the authors do."""
    summaries = take(tensors, "topk", ("s", backbone.width), settings)
    weight = take(tensors, f"{key}.weight", (width, backbone.width), settings)
    bias = take(tensors, f"{key}.bias", (width,), settings)
    return as_used(F.linear(summaries.half().float(), weight, bias), backbone, half=True)


def _deep(
    tensors: Mapping[str, Tensor],
    side: str,
    shape: tuple[int, ...],
    backbone: Backbone,
    settings: Settings,
) -> list[Tensor]:
    """The prompts of blocks 1, 2, ... of one tower, rounded to half, whatever the precision."""
    pattern = rf"{side}_encoder\.transformer\.resblocks\.(\d{{1,4}})\.VPT_shallow"
    found = {int(m[1]): key for key in tensors if (m := re.fullmatch(pattern, key))}
    if sorted(found) != list(range(1, len(found) + 1)):
        raise CheckpointError(
            f"{settings.where}: {side} prompts are of blocks {sorted(found)}; expected 1, 2, ... "
            f"without a gap"
        )
    taken = [take(tensors, found[i], shape, settings) for i in sorted(found)]
    return [as_used(value, backbone, half=True) for value in taken]


def _image_side(
    backbone: Backbone, rows: list[Tensor], *, hidden: int
) -> Callable[[Tensor], Tensor]:
    """(B, D) of pixels with `rows[0]` behind the patches and `rows[i]` from block i on.

    Args:
        hidden: leading tokens of every row, which patches do not attend to.
    """
    visual: Any = backbone.model.visual

    def image(pixels: Tensor) -> Tensor:
        with backbone.autocast():
            tokens = visual.conv1(pixels.to(visual.conv1.weight.dtype)).flatten(2).transpose(1, 2)
            batch, patches = tokens.shape[:2]
            first = visual.class_embedding.to(tokens).expand(batch, 1, -1)
            tokens = torch.cat([first, tokens], dim=1) + visual.positional_embedding.to(tokens)
            added = rows[0].to(tokens).expand(batch, -1, -1)
            tokens = visual.ln_pre(torch.cat([tokens, added], dim=1))
            length = tokens.shape[1]
            mask = tokens.new_zeros(length, length)
            mask[1 : 1 + patches, 1 + patches : 1 + patches + hidden] = float("-inf")
            for index, block in enumerate(visual.transformer.resblocks):
                if 1 <= index < len(rows):
                    kept = tokens[:, : 1 + patches]
                    new = rows[index].to(tokens).expand(batch, -1, -1)
                    tokens = torch.cat([kept, new], dim=1)
                tokens = block(tokens, attn_mask=mask)
            return (visual.ln_post(tokens[:, 0]) @ visual.proj).float()

    return image
