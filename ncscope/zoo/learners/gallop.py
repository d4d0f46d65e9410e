"""GalLoP: global and local prompts, of which the global ones are read (Lafon et al. 2024).

arXiv:2407.01400. The class name alone, without a sentence or a full stop, follows each of m learned
contexts; a class's score is its mean cosine over them, so its row is the mean of their directions.
The method averages that score with one of local image features and prompts. m prompts of n tokens,
K classes, W token width.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.clip.prompts import spaced
from ncscope.clip.text_tower import Prompts, TextTower, encode_prompts, text_tower
from ncscope.errors import CheckpointError
from ncscope.zoo.learners.learner import Learner, Sides, build
from ncscope.zoo.learners.parts import as_used, take
from ncscope.zoo.settings import Settings

MODE = "features of the global prompts; the method averages their scores with local ones"


def load_gallop(tensors: Mapping[str, Tensor], backbone: Backbone, settings: Settings) -> Learner:
    """A learner of the global prompts, with CLIP's own image features.

    Raises:
        CheckpointError: other shapes than the backbone's, or no global prompt was learned.
    """
    if "global_prompt" not in tensors:
        raise CheckpointError(
            f"{settings.where}: no `global_prompt`: this GalLoP learned local prompts only, which "
            f"are compared with patches; its global features are zero-shot CLIP's of "
            f"'A photo of a {{}}': give the backbone and --template instead of the file"
        )
    tower = text_tower(backbone.model)
    width = tower.positions.shape[1]
    stored = take(tensors, "global_prompt", ("m", "n", width), settings)
    contexts = as_used(stored, backbone, half=False)

    def text(names: list[str]) -> Tensor:
        rows = [encode_prompts(tower, _bare(backbone, tower, names, own)) for own in contexts]
        return torch.stack([F.normalize(row, dim=-1) for row in rows]).mean(dim=0)

    facts = {"prompts": len(contexts), "context": list(contexts.shape[1:]), "mode": MODE}
    warnings = (f"GalLoP: {MODE}",)
    return build(backbone, settings, Sides(text, facts=facts, warnings=warnings))


def _bare(backbone: Backbone, tower: TextTower, names: Sequence[str], context: Tensor) -> Prompts:
    """Prompts of (n, W) `context` and the class name as it is written, `_` too, and no more.

    The authors take `_` out of ImageNet's names alone, whose lists here have none.

    Raises:
        CheckpointError: a name with no word in it.
    """
    if empty := [name for name in names if not spaced(name)]:
        raise CheckpointError(f"class name {empty[0]!r} has no word in it; expected a name")
    ids = backbone.tokenizer(list(names))
    lengths = ids.argmax(dim=1)  # end-of-text is the largest id; without start-of-text
    rows = tower.embedding[ids.to(tower.embedding.device)].to(tower.positions)
    own = rows[:, 1 : int(lengths.max()) + 1]
    shared = torch.cat([rows[0, :1], context.to(rows)])
    return Prompts(shared, own, lengths)
