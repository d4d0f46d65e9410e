"""Whether the CLIP that a learner is put on is the one its run says it was trained on.

Context vectors, residuals and adapters fit every backbone of their width: RN101, ViT-B/32 and
ViT-B/16 share 512. So the name in log.txt (or in CLIP-LoRA's folders) is compared with the
architecture in use: with OpenAI's models by all sizes, with another of its own kind by kind and
patch. TaskRes saves zero-shot text features, which some of its classes are written again to be
compared with.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ncscope.checkpoint.facts import BACKBONES
from ncscope.checkpoint.inspect import Inspection
from ncscope.checkpoint.methods import plain_method
from ncscope.checkpoint.trainers import folded
from ncscope.clip.backbone import Backbone
from ncscope.clip.prompts import IMAGENET_SEVEN, TEMPLATES, known_data, spaced
from ncscope.zoo.settings import Settings

_CLOSE = 0.95  # cosine; of the same prompt it is 1, of another class's about 0.8
_TEXTS = 48  # written again at most, in three spellings of a name

_OWN = ("PromptKD", "DPC-PromptKD")  # put on ViT-B/16 whatever their log names


def backbone_doubts(seen: Inspection, backbone: Backbone) -> list[str]:
    """A warning where the run names another backbone than the one in use."""
    named = None if seen.method is None else _named(seen, plain_method(seen.method))
    if named is None:
        return []
    name, origin = named
    used = str(backbone.description["name"])
    sizes, kind = _sizes(backbone.description["architecture"])
    if name not in BACKBONES:
        same = folded(name) in (folded(used), "checkpoint") or used == "checkpoint"
        return [] if same else [f"{origin} names the backbone {name}; measured on {used}"]
    if sizes is None:
        return [f"{origin} names the backbone {name}; measured on {used}, which is not OpenAI's"]
    published = [one for one, known in BACKBONES.items() if known == sizes]
    if name in published:
        return []
    wanted = BACKBONES[name]
    if not published and wanted[3] == sizes[3]:
        return []
    is_one = f"{published[0]}'s architecture" if published else kind
    return [
        f"{origin} names the backbone {name}, {_kind(wanted[3])}; measured on {used}, {is_one}: "
        f"the features are not the run's; name the backbone it was trained on: --backbone NAME"
    ]


def base_text_doubts(
    tensors: Mapping[str, Tensor], backbone: Backbone, settings: Settings
) -> list[str]:
    """A warning where TaskRes's zero-shot text features are not the backbone's of its classes.

    Of a few classes, with `_` in their names and without. Nothing is said where names or prompts
    are not known, or where the base was learned (ENHANCED_BASE).
    """
    base, names = tensors.get("base_text_features"), settings.classnames
    data = known_data(settings.data_name)
    learned = settings.logged.get("TRAINER.TaskRes.ENHANCED_BASE", "none") not in ("", "none")
    known = settings.templates or ((TEMPLATES[data],) if data else ())
    if base is None or base.ndim != 2 or names is None or not known or learned:
        return []
    templates = (*IMAGENET_SEVEN, *known) if data == "ImageNet" else known
    if len(names) != len(base) or base.shape[1] != backbone.width:
        return []  # refused below, with what was expected
    count = max(2, _TEXTS // (3 * len(templates)))
    rows = list(range(0, len(names), -(-len(names) // count)))
    written = [_written(backbone, names[row], templates) for row in rows]
    close = [
        float(F.cosine_similarity(base[row].float().to(each), each, dim=1).max())
        for row, each in zip(rows, written, strict=True)
    ]
    least = min(range(len(rows)), key=lambda i: close[i])
    if close[least] >= _CLOSE:
        return []
    used = backbone.description["name"]
    return [
        f"`base_text_features` of class {names[rows[least]]!r} have a cosine of {close[least]:.2f} "
        f"with {used}'s for {templates[-1]!r}, where 1 was expected: the file is of another "
        f"backbone (--backbone NAME), of other classes or another order (--classnames FILE), or of "
        f"another data set (--data-name)"
    ]


@torch.inference_mode()
def _written(backbone: Backbone, name: str, templates: Sequence[str]) -> Tensor:
    """(3, D): mean directions over the templates of a name as it may have been spelt."""
    spellings = (name, spaced(name), spaced(name).replace(" ", "_"))
    texts = [each.replace("{}", spelt) for spelt in spellings for each in templates]
    rows = F.normalize(backbone.encode_text(texts).float(), dim=1)
    return rows.unflatten(0, (3, -1)).mean(dim=1)


def _named(seen: Inspection, method: str) -> tuple[str, str] | None:
    """The backbone that the run names, and where it does."""
    if method in _OWN:
        return None
    if seen.log is not None and seen.log.backbone:
        return seen.log.backbone, "log.txt"
    if method == "CLIP-LoRA":  # it has no log; its folders are called vitb16 and the like
        for part in reversed(seen.checkpoint.path.parts[:-1]):
            for name in BACKBONES:
                if folded(part) == folded(name):
                    return name, f"the folder {part}"
    return None


def _sizes(
    architecture: Mapping[str, Any],
) -> tuple[tuple[int | None, ...] | None, str]:
    """Widths D, of the text tower and of a ViT, its patch, image positions; and it in words.

    None for a tower that is neither of CLIP's two kinds.
    """
    vision, text = architecture.get("vision_cfg", {}), architecture.get("text_cfg", {})
    layers, size = vision.get("layers"), vision.get("image_size")
    side = size[0] if isinstance(size, list | tuple) else size
    if not isinstance(side, int) or "timm_model_name" in vision or "hf_model_name" in text:
        return None, ""
    common = (architecture.get("embed_dim"), text.get("width"))
    if isinstance(layers, list | tuple):
        return (*common, None, None, (side // 32) ** 2 + 1), _kind(None)
    patch = vision.get("patch_size")
    if not isinstance(patch, int):
        return None, ""
    return (*common, vision.get("width"), patch, (side // patch) ** 2 + 1), _kind(patch)


def _kind(patch: int | None) -> str:
    return "a ResNet" if patch is None else f"a vision transformer of patch {patch}"
