"""Prompts: a class name in a sentence, and several sentences averaged into one feature."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ncscope.errors import DataError

DEFAULT_TEMPLATE = "a photo of a {}."


def class_prompts(classnames: Sequence[str], template: str = DEFAULT_TEMPLATE) -> list[str]:
    """Put each class name into the template, `_` as a space.

    Raises:
        DataError: `template` does not contain `{}` exactly once.
    """
    if template.count("{}") != 1:
        raise DataError(
            f"`template` is {template!r}; expected {{}} exactly once, where the class name goes"
        )
    return [template.replace("{}", " ".join(name.replace("_", " ").split())) for name in classnames]


def ensembled(
    encode: Callable[[list[str]], Tensor], classnames: Sequence[str], templates: Sequence[str]
) -> Tensor:
    """Return one feature a class: with several templates, the mean of the normalised features.

    One template gives the features as `encode` returns them. Several are averaged as in CLIP
    (Radford et al. 2021, section 3.1.4): each is brought to length 1 first; the mean is not
    normalised again, which no cosine sees.

    Args:
        encode: prompts to (K, D) features.

    Returns:
        (K, D).
    """
    if not templates:
        raise DataError("`templates` is empty; expected at least one")
    prompts = [class_prompts(classnames, template) for template in templates]  # refuse all first
    if len(prompts) == 1:
        return encode(prompts[0])
    directions = [torch.nn.functional.normalize(encode(texts), dim=-1) for texts in prompts]
    return torch.stack(directions).mean(dim=0)
