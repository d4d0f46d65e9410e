"""BIP: class-specific and image-specific prompts made from plain CLIP's features (Yao et al. 2024).

Zero-shot text features make prompts that are mixed into the text tower's context before the blocks
of a list, plain image features of the same image do so in the image tower; each side's feature is
added, normalised, to the plain one it was made from. Which list of blocks and how much is mixed is
in the log alone: TL, VL, TFW and VFW of its section COOP.
n context tokens, B images, K classes, W and V tower widths, D embedding width.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.clip.class_tokens import with_context
from ncscope.clip.image_tower import Change, check_image_tower, image_features
from ncscope.clip.prompts import TCP_ZERO_SHOT
from ncscope.clip.text_tower import Edit, Flow, class_specific, encode_prompts, text_tower
from ncscope.errors import BackboneError, CheckpointError
from ncscope.zoo.learners.cocoop import meta_net
from ncscope.zoo.learners.learner import Learner, Sides, build
from ncscope.zoo.learners.logged import needed_number
from ncscope.zoo.learners.parts import as_used, class_source, plain_text, take
from ncscope.zoo.settings import Settings

# The authors' lists of blocks, by the number in the log
_BLOCKS = (
    *((8,), (2, 4, 6, 8, 10), tuple(range(1, 12)), (6,), (4,), (2,), (10,), (4, 8, 10)),
    *((3, 6, 9), (1, 3, 5, 7, 9, 11), (4, 8), (11,), (1,), (3,), (5,), (7,), (9,), (2,)),
    *((4,), (6,), (8,), (10,), (11,)),
)


def load_bip(tensors: Mapping[str, Tensor], backbone: Backbone, settings: Settings) -> Learner:
    """A learner whose prompts of both sides come from plain CLIP's features.

    Raises:
        CheckpointError: other shapes than the backbone's; a setting or the data set is missing.
        BackboneError: towers of fewer blocks, or no vision transformer.
    """
    tower = text_tower(backbone.model)
    width, vision = tower.positions.shape[1], check_image_tower(backbone, method=settings.method)
    context = take(tensors, "ctx", ("n", width), settings)
    count = len(context)
    text_blocks, text_share = _mixing(settings, "T", len(tower.blocks))
    image_blocks, image_share = _mixing(
        settings, "V", len(backbone.model.visual.transformer.resblocks)
    )
    meta = meta_net(tensors, backbone, settings, rows=count * width, activation=_quick_gelu)
    metas = _image_metas(tensors, backbone, settings, blocks=image_blocks, rows=count * vision)
    appended = as_used(take(tensors, "ctx_visual", (count, vision), settings), backbone, half=False)
    zero_shot = plain_text(backbone, settings, TCP_ZERO_SHOT)
    source = class_source(
        tensors, backbone, settings, num_context=count, dtype=tensors["ctx"].dtype
    )
    context = as_used(context, backbone, half=False)

    def text(names: list[str]) -> Tensor:
        plain = F.normalize(zero_shot(names), dim=-1)
        own = meta(plain).view(len(names), count, width)
        before = {block: mixed_by_class(own, text_share) for block in text_blocks}
        rows = encode_prompts(tower, with_context(source(names), context), before=before)
        return F.normalize(rows, dim=-1) + plain

    def image(pixels: Tensor) -> Tensor:
        plain = F.normalize(backbone.encode_image(pixels), dim=-1)
        own = [made(plain).view(len(plain), count, vision) for made in metas]
        pairs = zip(image_blocks, own, strict=True)
        before = {block: _mixed_by_image(new, image_share) for block, new in pairs}
        rows = image_features(backbone, pixels, appended=appended, before=before)
        return F.normalize(rows, dim=-1) + plain

    parts = {key: value for key, value in tensors.items() if key.startswith("meta_vises.")}
    parts |= {"ctx_visual": appended, "share": torch.tensor(image_share)}
    parts["blocks"] = torch.tensor(image_blocks)
    facts = {
        "context": [count, width],
        "text_blocks": list(text_blocks),
        "image_blocks": list(image_blocks),
        "shares": {"text": text_share, "image": image_share},
    }
    return build(backbone, settings, Sides(text, image, parts, facts))


def _mixing(settings: Settings, side: str, depth: int) -> tuple[tuple[int, ...], float]:
    """The blocks of one tower that new prompts are mixed in before, and their share."""
    tower = {"T": "text", "V": "image"}[side]
    chosen = needed_number(
        settings,
        f"TRAINER.COOP.{side}L",
        what=f"the number of the list of blocks of the {tower} tower",
        like="0, which is block 8",
        among=range(len(_BLOCKS)),
    )
    share = needed_number(
        settings,
        f"TRAINER.COOP.{side}FW",
        what=f"the share of the new prompts in the {tower} tower",
        like="1.0" if side == "T" else "0.75",
    )
    blocks = _BLOCKS[int(chosen)]
    if blocks[-1] >= depth:
        raise BackboneError(
            f"{settings.method} changes its prompts before block {blocks[-1]}, but the backbone's "
            f"{tower} tower has {depth} blocks"
        )
    return blocks, share


def _image_metas(
    tensors: Mapping[str, Tensor],
    backbone: Backbone,
    settings: Settings,
    *,
    blocks: tuple[int, ...],
    rows: int,
) -> list:
    """The network of each block of the list; a list longer than the networks cannot have run."""
    made = []
    for index in range(len(blocks)):
        prefix = f"meta_vises.{index}."
        own = {
            f"meta_net.{key.removeprefix(prefix)}": value
            for key, value in tensors.items()
            if key.startswith(prefix)
        }
        if not own:
            raise CheckpointError(
                f"{settings.where}: no `{prefix}*`, but TRAINER.COOP.VL names {len(blocks)} blocks "
                f"of the image tower; is the log.txt another run's?"
            )
        named = replace(settings, method=f"{settings.method} (`{prefix}*`)")
        made.append(meta_net(own, backbone, named, rows=rows, activation=_quick_gelu))
    return made


def mixed_by_class(context: Tensor, share: float) -> Edit:
    """An edit that mixes row k of (K, n, W), by its share, into positions 1..n of class k.

    Before it the context is shared by all classes; from there on only start-of-text is.
    """

    def edit(flow: Flow) -> Flow:
        count, width = context.shape[1:]
        if flow.shared.shape[1] > 1:
            current = flow.shared[:, 1 : 1 + count]  # (1, n, W)
            return class_specific(share * context + (1 - share) * current)(flow)
        lengths = flow.packing.lengths
        first = lengths.cumsum(0) - lengths  # (K,)
        places = (first[:, None] + torch.arange(count)).flatten().to(flow.own.device)
        current = flow.own.index_select(1, places)
        new = share * context.reshape(1, -1, width) + (1 - share) * current
        return replace(flow, own=flow.own.index_copy(1, places, new))

    return edit


def _mixed_by_image(new: Tensor, share: float) -> Change:
    """A change that mixes (B, n, V), by its share, into the last n tokens of each image."""

    def change(tokens: Tensor) -> Tensor:
        kept, current = tokens.tensor_split([tokens.shape[1] - new.shape[1]], dim=1)
        return torch.cat([kept, share * new.to(tokens) + (1 - share) * current], dim=1)

    return change


def _quick_gelu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(1.702 * x)
