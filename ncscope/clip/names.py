"""Model names of open_clip and the weights published under them.

`clip` is the open_clip module; `ncscope.clip.backbone` imports it and hands it over.
"""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ncscope.clip.plan import Plan, Reading, plan_named_file
from ncscope.errors import BackboneError


def plan_named(clip: Any, name: str, pretrained: str | None, reading: Reading) -> Plan:
    """A model name with a published tag, a local file or `random`."""
    config = clip.get_model_config(name)
    if pretrained is None:
        raise BackboneError(
            f"`{name}` names an architecture and no weights; give --pretrained TAG "
            f"({_tags(clip, name)}), --pretrained FILE, or --pretrained random for untrained ones"
        )
    if pretrained == "random":
        return Plan(name, "random", config, tokenizer=name)
    published = clip.get_pretrained_cfg(name, pretrained)
    if published:
        quick = bool(published.get("quick_gelu", False))
        note = f"`{name}` with tag `{pretrained}`: QuickGELU, as the weights were trained"
        mended = quick and not config.get("quick_gelu", False)
        return Plan(
            name=name,
            weights=pretrained,
            config={**config, "quick_gelu": True} if mended else config,
            published=_download(clip, name, pretrained, published),
            preprocess=published,
            tokenizer=name,
            notes=(note,) if mended else (),
        )
    if not Path(pretrained).is_file():
        raise BackboneError(
            f"`pretrained` {pretrained!r} is neither a file nor a tag of `{name}`; its tags: "
            f"{_tags(clip, name)}"
        )
    return plan_named_file(name, Path(pretrained), config, reading)


def _download(clip: Any, name: str, tag: str, published: Mapping[str, Any]) -> str:
    try:
        return clip.download_pretrained(published)
    except Exception as error:  # of any of the libraries between here and the network
        raise BackboneError(
            f"the weights of `{name}`, tag `{tag}`, are not in the cache and could not be "
            f"downloaded ({type(error).__name__}); give a local file: --pretrained FILE, or an "
            f"open_clip folder or OpenAI's {name}.pt: --backbone PATH"
        ) from None


def published_archives(clip: Any) -> frozenset[str]:
    """sha256 of the TorchScript archives OpenAI published: their addresses hold them."""
    urls = (clip.get_pretrained_cfg(*pair).get("url", "") for pair in clip.list_pretrained())
    return frozenset(url.split("/")[-2] for url in urls if "openaipublic" in url)


def unknown_name(clip: Any, name: str) -> str:
    if Path(name).suffix in (".pt", ".pth", ".bin", ".safetensors") or name.startswith((".", "/")):
        return f"{name}: no such file or folder"
    near = difflib.get_close_matches(name, clip.list_models(), n=4, cutoff=0.4)
    return f"`backbone` {name!r} is no open_clip model, file or folder" + (
        f"; near it are {', '.join(near)}" if near else ""
    )


def _tags(clip: Any, name: str) -> str:
    tags = clip.list_pretrained_tags_by_model(name)
    return ", ".join(tags[:4]) + (", …" if len(tags) > 4 else "") if tags else "it has none"
