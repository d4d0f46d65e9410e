"""The tokenizer of a plan: CLIP's own, of a folder's files, or one that open_clip fetches by name.

CLIP's own vocabulary ships with open_clip; those of other text towers come from the hub. Untrained
weights do without: what their tokens are means as little as their features.

B texts, L positions of the text tower.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ncscope.clip.installed import clip_tokenizer
from ncscope.clip.plan import NEEDS_EXTRA, Plan
from ncscope.clip.whole_texts import WholeTexts
from ncscope.errors import BackboneError

STAND_IN_NOTE = "random weights: CLIP's tokens stand in for those of its own tokenizer"


@dataclass(frozen=True, eq=False)
class StandIn:
    """CLIP's tokens folded into a smaller vocabulary, for a model that knows none."""

    usual: Any  # CLIP's own tokenizer
    size: int

    def __call__(self, texts: list[str], context_length: int | None = None) -> Tensor:
        """(B, L) ids below `size`; 0, of padding, stays 0, and no other token becomes it."""
        ids = self.usual(texts, context_length=context_length)
        return ids.where(ids == 0, 1 + (ids - 1) % (self.size - 1))


def new_tokenizer(
    clip: Any, plan: Plan, context_length: int
) -> tuple[Callable[[list[str]], Tensor], list[str]]:
    """Texts to (B, L) token ids, and notes; a text that does not fit is refused, not cut.

    Raises:
        BackboneError: another text tower's tokenizer that is not in the cache, of trained weights.
    """
    if plan.own_tokenizer is not None:
        return plan.own_tokenizer, []
    if plan.tokenizer is None:
        return WholeTexts(clip_tokenizer(context_length, **plan.cleaning), context_length), []
    text = plan.config["text_cfg"]
    untrained = plan.tensors is None and plan.published is None
    if untrained and ("hf_tokenizer_name" in text or "hf_model_name" in text):
        usual = clip_tokenizer(context_length)
        size = int(text.get("vocab_size", usual.vocab_size))
        return WholeTexts(StandIn(usual, size), context_length), [STAND_IN_NOTE]
    try:
        found = clip.get_tokenizer(plan.tokenizer, context_length=context_length)
    except Exception as error:  # tokenizers of other text towers come from the hub
        if isinstance(error, ImportError):
            raise BackboneError(
                f"{plan.name}: its tokenizer is read by the library transformers, which is not "
                f"installed: {NEEDS_EXTRA}"
            ) from None
        raise BackboneError(
            f"{plan.name}: its tokenizer could not be loaded ({type(error).__name__}); where there "
            f"is no network, keep its files in a Hugging Face or open_clip folder: --backbone DIR"
        ) from None
    return WholeTexts(found, context_length), []
