"""Builds what a plan describes: the model, its inference transform, its tokenizer.

`clip` is the open_clip module; `ncscope.clip.backbone` imports it and hands it over.
"""

import copy
from collections.abc import Callable
from typing import Any

from PIL import Image
from torch import Tensor

from ncscope.clip.plan import Plan
from ncscope.errors import BackboneError


def new_model(clip: Any, plan: Plan) -> Any:
    """The model of a configuration with fresh weights; nothing is downloaded for its towers."""
    config = copy.deepcopy(plan.config)
    vision, text = config["vision_cfg"], config["text_cfg"]
    custom = config.pop("custom_text", False) or "hf_model_name" in text
    if "timm_model_name" in vision:
        vision["timm_model_pretrained"] = False
    if "hf_model_name" in text:
        text["hf_model_pretrained"] = False
    kind = clip.CoCa if custom and "multimodal_cfg" in config else clip.CustomTextCLIP
    try:
        return (kind if custom else clip.CLIP)(**config)
    except Exception as error:  # a configuration is a file, too
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BackboneError(f"{plan.name}: its configuration builds no model ({reason})") from None


def new_tokenizer(clip: Any, plan: Plan, context_length: int) -> Callable[[list[str]], Tensor]:
    """Texts to (B, L) token ids. CLIP's own vocabulary ships with open_clip."""
    if plan.tokenizer is None:
        return clip.SimpleTokenizer(context_length=context_length)
    try:
        return clip.get_tokenizer(plan.tokenizer, context_length=context_length)
    except Exception as error:  # tokenizers of other text towers come from the hub
        raise BackboneError(
            f"{plan.name}: its tokenizer could not be loaded ({type(error).__name__}); where there "
            f"is no network, keep its files in an open_clip folder: --backbone DIR"
        ) from None


def preprocess_settings(clip: Any, model: Any, plan: Plan) -> dict[str, Any]:
    """The settings of the inference transform: CLIP's own where the plan says nothing else."""
    default = clip.transform.PreprocessCfg()
    settings = clip.transform.merge_preprocess_dict(default, plan.preprocess)
    settings["size"] = model.visual.image_size
    settings = {k: list(v) if isinstance(v, tuple) else v for k, v in settings.items()}  # JSON
    try:
        inference_transform(clip, settings)
    except Exception:  # assertions and type errors, where the settings are a file's
        raise BackboneError(
            f"{plan.name}: no image transform has the settings {settings}"
        ) from None
    return settings


def inference_transform(clip: Any, settings: dict[str, Any]) -> Callable[[Image.Image], Tensor]:
    """An RGB image to (3, H, W): resized, cropped, normalised; nothing random."""
    return clip.transform.image_transform_v2(
        clip.transform.PreprocessCfg(**settings), is_train=False
    )
