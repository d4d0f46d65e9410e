"""Features that were saved by torch instead of in a feature file: what they are, and what to do.

A torch file is read as data, to look at its names; arrays are measured from feature files only, for
which numpy and safetensors have writers in every language.
"""

from pathlib import Path

from ncscope.checkpoint.reading import read_checkpoint
from ncscope.errors import NcscopeError

_SIDES = ("image", "text")
_BESIDE = ("label", "logit_scale", "text_frozen")


def without_images(source: str | Path) -> str:
    """Why a source that is no feature file is not measured as it stands, with the remedy.

    A checkpoint needs images; a torch file of features needs another format.
    """
    held = _features_in(source)
    if not held:
        return (
            f"{source}: not a feature file (.safetensors or .npz), so say on which images it is "
            f"to be measured: --data FOLDER"
        )
    path = Path(source)
    return (
        f"{source}: holds {', '.join(held)}: features, saved by torch. Save them as a feature "
        f'file: python -c "import torch; from safetensors.torch import save_file; '
        f'save_file(torch.load({path.name!r}), {path.with_suffix(".safetensors").name!r})"'
    )


def _features_in(source: str | Path) -> list[str]:
    """The arrays of a torch file of features, with their shapes; nothing for any other file."""
    path = Path(source)
    if not path.is_file():
        return []
    try:
        tensors = read_checkpoint(path).tensors
    except NcscopeError:
        return []
    sides = [name for name in _SIDES if name in tensors and tensors[name].ndim >= 2]
    beside = [name for name in _BESIDE if name in tensors]
    if not sides or len(sides) + len(beside) < 2:
        return []
    return [f"{name} {tuple(tensors[name].shape)}" for name in (*sides, *beside)]
