"""HiCroPL: prompts that two networks carry from one tower to the other (Zheng et al. 2025).

The image side alone, of the first forward pass after loading: the method writes its prompts back at
every pass, so that later batches see others. Its frozen text side comes from written descriptions
that no file of the run holds. A feature is the direction of the sum of two: the prompted one and
that of the plain image encoder, which is in the file. n prompt tokens, J depth, L blocks whose
image prompts come from text, W and V tower widths.
"""

import copy
import dataclasses
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.clip.image_tower import check_image_tower, deep_image_prompts, image_features
from ncscope.clip.text_tower import text_tower
from ncscope.errors import CheckpointError
from ncscope.zoo.learners.learner import Learner, Sides, build
from ncscope.zoo.learners.parts import as_used, stack, take
from ncscope.zoo.settings import Settings

MODE = (
    "image features of the first forward pass after loading; the method changes its prompts at each"
)
NO_TEXT = (
    "HiCroPL's text features are sums with those of written descriptions, which no file of the run "
    "holds; only image measures"
)
_HEADS = 8  # fixed in the authors' code
_P = "prompt_learner."


def load_hicropl(tensors: Mapping[str, Tensor], backbone: Backbone, settings: Settings) -> Learner:
    """A learner of image features; its text features refuse.

    Raises:
        CheckpointError: other shapes than the backbone's, or no plain image encoder.
        BackboneError: the backbone has no vision transformer.
    """
    vision = check_image_tower(backbone, method=settings.method)
    rows = [as_used(row, backbone, half=True) for row in _carried(tensors, backbone, settings)]
    before, plain = deep_image_prompts(rows[1:]), _plain(tensors, backbone, settings)

    def image(pixels: Tensor) -> Tensor:
        prompted = image_features(backbone, pixels, appended=rows[0], before=before)
        total = F.normalize(prompted, dim=-1) + F.normalize(plain.encode_image(pixels), dim=-1)
        return F.normalize(total, dim=-1)

    def text(_names: list[str]) -> Tensor:
        raise CheckpointError(f"{settings.where}: {NO_TEXT}")

    parts = {f"rows.{i}": row for i, row in enumerate(rows)}
    zero_shot = f"{_P}ZS_image_encoder."
    parts |= {key: value for key, value in tensors.items() if key.startswith(zero_shot)}
    facts = {"context": [len(rows[0]), vision], "vision_depth": len(rows), "mode": MODE}
    warnings = (MODE, NO_TEXT)
    sides = Sides(text, image, parts, facts, has_text=False, warnings=warnings)
    return build(backbone, settings, sides)


def _carried(tensors: Mapping[str, Tensor], backbone: Backbone, settings: Settings) -> list[Tensor]:
    """The J image prompts, (n, V), the first L of them as text prompts make them."""
    width = text_tower(backbone.model).positions.shape[1]
    vision = check_image_tower(backbone, method=settings.method)
    own = stack(tensors, f"{_P}cross_prompts_visual.{{}}")
    first = take(tensors, f"{_P}cross_prompts_visual.0", ("n", vision), settings)
    rows = [take(tensors, key, tuple(first.shape), settings) for key in own]
    layers = len(stack(tensors, f"{_P}attn_pooling_text_nets.{{}}.ln_1.weight"))
    if not 1 <= layers <= len(rows):
        raise CheckpointError(
            f"{settings.where}: {layers} `attn_pooling_text_nets` and {len(rows)} "
            f"`cross_prompts_visual`; expected one to as many"
        )
    proxies = [_pooled(tensors, i, (len(first), width), settings) for i in range(layers)]
    net = _Net(tensors, f"{_P}text2visual_net.", settings)
    made = net.crossed(torch.cat(rows[:layers]), torch.cat(proxies))
    dtype = tensors[f"{_P}cross_prompts_visual.0"].dtype
    return [*made.to(dtype).float().split(len(first)), *rows[layers:]]


def _pooled(
    tensors: Mapping[str, Tensor], index: int, shape: tuple[int, int], settings: Settings
) -> Tensor:
    """(1, W): what the proxy token of a block takes from its text prompt."""
    net = _Net(tensors, f"{_P}attn_pooling_text_nets.{index}.", settings)
    proxy = take(tensors, f"{_P}text_proxy_token.{index}", (1, shape[1]), settings)
    prompt = take(tensors, f"{_P}cross_prompts_text.{index}", shape, settings)
    normed = net.norm("ln_1", prompt)
    return net.norm("ln_2", proxy + net.attention(net.norm("ln_1", proxy), normed, normed))


@dataclasses.dataclass(frozen=True)
class _Net:
    """One of the method's small networks, by the beginning of its keys."""

    tensors: Mapping[str, Tensor]
    prefix: str
    settings: Settings

    def take(self, key: str, *shape: int) -> Tensor:
        return take(self.tensors, self.prefix + key, shape, self.settings)

    def norm(self, name: str, x: Tensor) -> Tensor:
        width = x.shape[-1]
        weight, bias = self.take(f"{name}.weight", width), self.take(f"{name}.bias", width)
        return F.layer_norm(x, (width,), weight, bias)

    def linear(self, name: str, x: Tensor, width: int) -> Tensor:
        weight = self.take(f"{name}.weight", width, x.shape[-1])
        return F.linear(x, weight, self.take(f"{name}.bias", width))

    def attention(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """(Q, E) of (Q, E) queries over (S, E) keys and values."""
        width = queries.shape[1]
        weight = self.take("attn.in_proj_weight", 3 * width, width)
        bias = self.take("attn.in_proj_bias", 3 * width)
        parts = zip((queries, keys, values), weight.chunk(3), bias.chunk(3), strict=True)
        query, key, value = (
            F.linear(x, w, b).unflatten(1, (_HEADS, -1)).transpose(0, 1) for x, w, b in parts
        )
        mixed = F.scaled_dot_product_attention(query, key, value).transpose(0, 1).flatten(1)
        return self.linear("attn.out_proj", mixed, width)

    def crossed(self, rows: Tensor, proxies: Tensor) -> Tensor:
        """(R, V) rows changed by (S, W) proxies of the other tower."""
        width = rows.shape[1]
        query = self.linear("linear_q", rows, width)
        others = [self.linear(f"linear_{part}", proxies, width) for part in "kv"]
        normed = [self.norm("ln_1", each) for each in (query, *others)]
        query = query + self.attention(*normed)
        hidden = self.linear("ffn.c_fc", self.norm("ln_2", query), 4 * width)
        hidden = hidden * torch.sigmoid(1.702 * hidden)
        return query + self.linear("ffn.c_proj", hidden, width)


def _plain(tensors: Mapping[str, Tensor], backbone: Backbone, settings: Settings) -> Backbone:
    """The backbone with the plain image encoder in the file in place of its own.

    Raises:
        CheckpointError: that encoder is of another architecture: its features cannot be added.
    """
    model = copy.deepcopy(backbone.model)
    own = model.visual.state_dict()
    state = {
        key: take(tensors, f"{_P}ZS_image_encoder.{key}", tuple(value.shape), settings)
        for key, value in own.items()
    }
    moved = {key: value.to(own[key]) for key, value in state.items()}
    model.visual.load_state_dict(moved)
    return dataclasses.replace(backbone, model=model)
