"""What each method's authors write around a class name: in frozen prompts, and around a context.

CoOp's table is the data set's own template everywhere else in this project; some authors have other
tables, lists of templates, or another way to average. K classes, D embedding width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.clip.installed import alone
from ncscope.clip.prompts import (
    DEFAULT_TEMPLATE,
    IMAGENET_SEVEN,
    TCP_PROMPTS,
    TCP_ZERO_SHOT,
    TEMPLATES,
    class_prompts,
)
from ncscope.errors import DataError
from ncscope.zoo.wording import parts, tail

# KgCoOp's frozen prompts: CoOp's but for the textures
KGCOOP = {**TEMPLATES, "DescribableTextures": "a photo of a {}, a type of texture."}
# ProGrad's, the name last: its teacher's prompts, and the words that its context begins as
PROGRAD = {
    **TEMPLATES,
    "OxfordPets": "a type of pet, a photo of a {}.",
    "OxfordFlowers": "a type of flower, a photo of a {}.",
    "FGVCAircraft": "a type of aircraft, a photo of a {}.",
    "DescribableTextures": "a texture of {}.",
    "Food101": "a type of food, a photo of {}.",
}
_TCP_CONTEXT = 4  # tokens that TCP's prompts begin with, which the context replaces
_PROMPTSRC_TEMPLATES = 60  # the first of CLIP's 80 for ImageNet
_TEXTS_AT_ONCE = 256  # bounds memory


@dataclass(frozen=True)
class Wording:
    """Templates of the frozen text, and what stands around a learned context.

    The frozen text features are the mean of the templates' own features, not normalised one by one.
    `init` is what the context begins as where the data set decides it; `words` the fixed words
    between context and name, where it does; `after` follows the name. `as_written` leaves `_` in
    class names, as TaskRes's authors do.
    """

    frozen: tuple[str, ...]
    init: str | None = None
    words: str | None = None
    after: str = "."
    as_written: bool = False


def wording_of(
    method: str, *, data_name: str | None = None, template: str = DEFAULT_TEMPLATE,
    given: bool = False,
) -> Wording:  # fmt: skip
    """What the authors of a method write on a data set.

    Args:
        data_name: a known data set; None for another.
        template: the data set's own, or the caller's.
        given: the template is the caller's, or the toy's: it is taken in place of the authors'.
    """
    known = None if given else data_name
    if method == "kgcoop":
        return Wording((KGCOOP.get(known or "", template),))
    if method == "prograd":
        frozen = PROGRAD.get(known or "", template)
        before, after = parts(frozen)
        return Wording((frozen,), init=before if after.strip() in ("", ".") else "a photo of a")
    if method == "tcp":
        before, after = parts(TCP_PROMPTS.get(data_name or "", "X X X X {}."))
        frozen = TCP_ZERO_SHOT.get(known or "", template)
        return Wording((frozen,), words=tail(before.split(), _TCP_CONTEXT), after=after)
    if method == "promptsrc" and not given:
        return Wording(promptsrc_templates())
    if method == "taskres":
        several = (*IMAGENET_SEVEN, DEFAULT_TEMPLATE) if known == "ImageNet" else (template,)
        return Wording(several, as_written=True)
    return Wording((template,))


def promptsrc_templates() -> tuple[str, ...]:
    """The sixty prompts that PromptSRC's authors average, on every data set."""
    listed = alone("zero_shot_metadata").OPENAI_IMAGENET_TEMPLATES[:_PROMPTSRC_TEMPLATES]
    return tuple(template("{}") for template in listed)


@torch.no_grad()
def frozen_text(backbone: Backbone, classnames: Sequence[str], wording: Wording) -> Tensor:
    """(K, D): the mean over the templates of the unprompted CLIP's features, float32, as they are.

    One template gives its own features. They are not normalised, before the mean or after it.
    """
    total = torch.zeros(len(classnames), backbone.width, device=backbone.device)
    for template in wording.frozen:
        texts = class_prompts(classnames, template)
        if wording.as_written:
            texts = [template.replace("{}", name) for name in classnames]
        for i in range(0, len(texts), _TEXTS_AT_ONCE):
            found = backbone.encode_text(texts[i : i + _TEXTS_AT_ONCE])
            total[i : i + len(found)] += found.float()
    return total / len(wording.frozen)


def left_over(backbone: Backbone, words: Sequence[str], count: int) -> str:
    """Of words of which the first `count` tokens are learned: those that stay before the name.

    Authors count words by spaces and learn as many tokens: of "a type of pet, a photo of a" (8
    words, 9 tokens) the last "a" stays as it is.

    Raises:
        DataError: a word is divided between both.
    """
    text = " ".join(words)
    left = _tokens(backbone, text)[count:]
    if not left:
        return ""
    for start in range(len(text)):
        if _tokens(backbone, text[start:]) == left:
            return text[start:].strip()
    raise DataError(
        f"`ctx` is {count}, and the initial words {text!r} have a word that is divided after as "
        f"many tokens; expected a number of tokens that ends with a word"
    )


def _tokens(backbone: Backbone, text: str) -> list[int]:
    """CLIP's tokens of a text, without the marks of its beginning and end."""
    ids = backbone.tokenizer([text])[0]
    return ids[1 : int(ids.argmax())].tolist()
