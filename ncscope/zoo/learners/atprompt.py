"""ATPrompt: learned tokens and a written word for each of several attributes before the context.

Li et al. 2024, arXiv:2412.09442. CoOp_ATP is here; the others are with CoCoOp and MaPLe.
Order: attribute tokens 1, word 1, ..., context, class name. The authors tokenise this with X for
every learned token, and cut it as if each word were one token. Where one is more ("playfulness"),
later places hold other tokens than meant, and the last X's of the context stay before the name.
Which words, and how many, is decided by the data set that features are wanted for: the file's are
dropped when it is loaded. n context tokens, m tokens of an attribute, W token width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ncscope.clip.backbone import Backbone
from ncscope.clip.class_tokens import with_context
from ncscope.clip.text_tower import encode_prompts, text_tower
from ncscope.errors import CheckpointError
from ncscope.zoo.learners.learner import Learner, Sides, build
from ncscope.zoo.learners.parts import as_used, class_source, prompt_part, take
from ncscope.zoo.learners.said import elsewhere, meant, said, trained_on
from ncscope.zoo.settings import Settings

_IMAGENET = ("ImageNet", "ImageNetV2", "ImageNetSketch", "ImageNetA", "ImageNetR")
WORDS = {
    **dict.fromkeys(_IMAGENET, ("color", "shape")),
    "Caltech101": ("shape", "size"),
    "OxfordPets": ("playfulness", "energy"),
    "StanfordCars": ("luxury",),
    "OxfordFlowers": ("color", "habitat", "growth"),
    "Food101": ("flavor", "preparation"),
    "FGVCAircraft": ("design", "range"),
    "SUN397": ("function",),
    "DescribableTextures": ("pattern", "color", "design"),
    "EuroSAT": ("habitat",),
    "UCF101": ("precision",),
}
_CLOSE = 1e-3  # relative; words are stored in half precision


@dataclass(frozen=True, eq=False)
class Attributes:
    """What stands before the class name.

    `head` is (L, W), attributes and context; `place` the position in the prompt of the first
    context token, `number` that of the attributes. `settings` have the words that stay between
    context and name.
    """

    head: Tensor
    place: int
    number: int
    settings: Settings
    facts: dict[str, object]
    warnings: tuple[str, ...] = ()


def load_coop_atp(tensors: Mapping[str, Tensor], backbone: Backbone, settings: Settings) -> Learner:
    """A learner from `ctx`, `ctx_att1`.. and the attributes' words, `token_middle1`.."""
    tower = text_tower(backbone.model)
    learner, width = prompt_part(tensors), tower.positions.shape[1]
    context = as_used(take(learner, "ctx", ("n", width), settings), backbone, half=False)
    found = attributed(tensors, context, backbone, settings)
    source = class_source(
        tensors,
        backbone,
        found.settings,
        num_context=len(found.head),
        dtype=learner["ctx"].dtype,
    )

    def text(names: list[str]) -> Tensor:
        return encode_prompts(tower, with_context(source(names), found.head))

    facts = {"context": list(context.shape), "tokens_of_attributes": found.place - 1}
    sides = Sides(text, facts={**facts, **found.facts}, warnings=found.warnings)
    return build(backbone, settings, sides)


def attributed(
    tensors: Mapping[str, Tensor], context: Tensor, backbone: Backbone, settings: Settings
) -> Attributes:
    """Attributes and context as one.

    Without `token_middle1` there are no attributes. `ctx_att` of attributes beyond the words are
    in every file and unused.

    Raises:
        CheckpointError: other words than the file's are needed, and there is no vocabulary.
    """
    learner, width = prompt_part(tensors), context.shape[-1]
    if "token_middle1" not in learner:
        return Attributes(context, 1, 0, settings, {})
    own = _own_words(learner, width, settings)
    words = WORDS.get(meant(settings) or "")
    if words is not None and elsewhere(settings):
        written = _written(learner, words, len(context), backbone, settings)
        return _joined(learner, context, written, backbone, settings, words=words)
    warnings: tuple[str, ...] = ()
    expected = words if settings.origins.get("data_name") == "option" else _logged_words(settings)
    if expected and not settings.stored:
        written = _written(learner, expected, len(context), backbone, settings)
        if not _same(own, written[0]):
            if trained_on(settings) is None:  # what the caller says is all that is known
                return _joined(learner, context, written, backbone, settings, words=expected)
            warnings = (
                f"attribute words should be {', '.join(expected)}, by log.txt or the authors' "
                f"list, but the file holds other ones; the file's are used",
            )
    found = _joined(learner, context, (own, settings.words), backbone, settings, words=())
    return replace(found, warnings=warnings)


def _own_words(learner: Mapping[str, Tensor], width: int, settings: Settings) -> list[Tensor]:
    """(1, W) each, as the file holds them."""
    words: list[Tensor] = []
    while (key := f"token_middle{len(words) + 1}") in learner:
        words.append(take(learner, key, ("C", 1, width), settings)[0])
    return words


def _logged_words(settings: Settings) -> tuple[str, ...]:
    """The attribute words in log.txt; none where it does not say them."""
    section = "TRAINER.ATPROMPT."
    number = said(settings, f"{section}ATT_NUM") or ""
    if not number.isdecimal() or not 1 <= int(number) <= 3:
        return ()
    words = [said(settings, f"{section}ATT{i + 1}_TEXT") for i in range(int(number))]
    return tuple(word for word in words if word) if all(words) else ()


def _written(
    learner: Mapping[str, Tensor],
    words: Sequence[str],
    num_context: int,
    backbone: Backbone,
    settings: Settings,
) -> tuple[list[Tensor], str]:
    """The vectors at the places of the words, and the words left before the class name."""
    if settings.stored:
        raise CheckpointError(
            f"{settings.where}: on {meant(settings)} the attribute words are {', '.join(words)}, "
            f"and the file has no vocabulary; name its backbone: --backbone NAME"
        )
    tower = text_tower(backbone.model)
    text, places, place = "", [], 0
    for number, word in enumerate(words, start=1):
        length = len(take(learner, f"ctx_att{number}", ("m", "W"), settings))
        text += "X " * length + f"{word} "
        place += length
        places.append(place)
        place += 1
    ids = backbone.tokenizer([text + "X " * num_context])[0]
    end = int(ids.argmax())
    left = int(end - 1 - place - num_context)  # further tokens of the words
    if left > num_context:
        raise CheckpointError(
            f"{settings.where}: the attribute words {', '.join(words)} have {left} tokens too many "
            f"for a context of {num_context}; expected words of one token, or a longer context"
        )
    rows = tower.embedding[ids.to(tower.embedding.device)].to(learner["ctx"].dtype).float()
    return [rows[1 + at : 2 + at] for at in places], " ".join(["X"] * left)


def _same(own: list[Tensor], written: list[Tensor]) -> bool:
    if len(own) != len(written):
        return False
    first, second = torch.cat(own), torch.cat(written).to(own[0].device)
    return bool((first - second).norm() <= _CLOSE * second.norm())


def _joined(
    learner: Mapping[str, Tensor],
    context: Tensor,
    written: tuple[list[Tensor], str],
    backbone: Backbone,
    settings: Settings,
    *,
    words: Sequence[str],
) -> Attributes:
    """Attribute tokens, each with its word, and the context."""
    vectors, left = written
    half = learner["ctx"].dtype == torch.float16
    parts: list[Tensor] = []
    for number, word in enumerate(vectors, start=1):
        tokens = take(learner, f"ctx_att{number}", ("m", context.shape[-1]), settings)
        parts += [as_used(tokens, backbone, half=half), word.to(backbone.device)]
    place = 1 + sum(len(part) for part in parts)
    facts = {"attributes": len(vectors), **({"attribute_words": list(words)} if words else {})}
    return Attributes(
        torch.cat([*parts, context]), place, len(vectors), replace(settings, words=left), facts
    )
