"""The installed open_clip: whole where a model of it is built, else only the file that is wanted.

Importing open_clip imports torchvision, timm and the compiler of torch, which takes longer than
most commands. CLIP's own tokenizer, templates and the table of model names are single files of it
that need none of those, so they are loaded by themselves.
"""

import functools
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from ncscope.errors import BackboneError
from ncscope.opening import is_there

_INSTALL = "install it: pip install open_clip_torch"


def import_open_clip() -> Any:
    """Import open_clip, or say in one line why it does not import.

    Raises:
        BackboneError: it is not installed, or does not belong to the torch that is.
    """
    try:
        import open_clip
    except (ImportError, RuntimeError, OSError) as error:
        if "torchvision" in str(error):
            raise BackboneError(
                f"torch {torch.__version__} and the installed torchvision do not belong together "
                f"({str(error).splitlines()[0]}); install both from one index, for the CPU: pip "
                f"install torch torchvision --index-url https://download.pytorch.org/whl/cpu"
            ) from None
        raise BackboneError(
            f"open_clip cannot be imported ({str(error).splitlines()[0]}); {_INSTALL}"
        ) from None
    return open_clip


class LateOpenClip:
    """open_clip, imported when something of it is first asked for."""

    def __getattr__(self, name: str) -> Any:
        if name in ("tokenizer", "SimpleTokenizer"):
            part = alone("tokenizer")
            return part if name == "tokenizer" else part.SimpleTokenizer
        return getattr(import_open_clip(), name)


@functools.cache
def alone(part: str) -> ModuleType:
    """One file of open_clip as a module, without the package around it.

    Raises:
        BackboneError: open_clip is not installed, or its file does not load by itself.
    """
    if (loaded := sys.modules.get(f"open_clip.{part}")) is not None:
        return loaded
    path = _folder() / f"{part}.py"
    spec = importlib.util.spec_from_file_location(f"ncscope_open_clip_{part}", path)
    try:
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    except (ImportError, OSError, AssertionError):  # of another version, laid out otherwise
        return getattr(import_open_clip(), part)
    return module


@functools.cache
def clip_tokenizer(context_length: int, clean: str = "lower") -> Any:
    """open_clip's tokenizer of CLIP's own vocabulary, which ships with open_clip."""
    return alone("tokenizer").SimpleTokenizer(context_length=context_length, clean=clean)


def version() -> str:
    """Of the installed open_clip, without importing it."""
    found = re.search(r"['\"](.+)['\"]", (_folder() / "version.py").read_text(encoding="utf-8"))
    return found[1] if found else import_open_clip().__version__


def has_config(name: str) -> bool:
    """Whether open_clip comes with a model of this name."""
    return bool(name.strip(".")) and is_there(_folder() / "model_configs" / f"{name}.json")


@functools.cache
def _folder() -> Path:
    spec = importlib.util.find_spec("open_clip")
    if spec is None or not spec.submodule_search_locations:
        raise BackboneError(f"open_clip is not installed; {_INSTALL}")
    return Path(spec.submodule_search_locations[0])
