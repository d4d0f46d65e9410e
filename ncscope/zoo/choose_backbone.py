"""The backbone a checkpoint is run on: the caller's, the one its log or shapes name, or its own."""

from ncscope.checkpoint.inspect import Inspection
from ncscope.clip.backbone import Backbone, load_backbone
from ncscope.clip.device import choose_device
from ncscope.errors import BackboneError, CheckpointError
from ncscope.zoo.towers import (
    DRIFT_OF_ANOTHER,
    backbone_of_file,
    drift,
    has_vocabulary,
    tower_state,
    with_towers,
)

TOWERS = ("auto", "backbone", "checkpoint")
_BOTH = ("image", "text")


def choose_backbone(
    seen: Inspection,
    backbone: Backbone | None,
    *,
    towers: str = "auto",
    device: str = "cpu",
    precision: str = "fp32",
) -> tuple[Backbone, bool, list[str]]:
    """Return the backbone, whether it lacks a vocabulary of its own, and warnings.

    Args:
        backbone: the caller's; None looks for one.
        towers: as for `load_learner`.

    Raises:
        BackboneError: none was given and none could be found or loaded.
        CheckpointError: the file's towers are asked for or compared, and lack or do not fit.
    """
    if towers not in TOWERS:
        raise CheckpointError(f"`towers` is {towers!r}; expected {', '.join(TOWERS)}")
    where = str(seen.checkpoint.path)
    state = tower_state(seen.checkpoint.tensors)
    if towers == "checkpoint" and not state:
        raise CheckpointError(f"{where}: holds no towers; name its backbone: --backbone NAME")
    if backbone is not None:
        if towers == "checkpoint":
            return with_towers(backbone, state, where=where), False, []
        return backbone, False, _compared(backbone, state, where) if state else []
    if towers != "checkpoint" and (named := _named(seen, device, precision)) is not None:
        own = state and towers == "auto"
        return with_towers(named, state, where=where) if own else named, False, []
    place = choose_device(device)
    clip = backbone_of_file(state, where=where, device=place, precision=precision)
    return clip, not has_vocabulary(state), []


def _compared(backbone: Backbone, state: dict, where: str) -> list[str]:
    """A warning where the file's towers are not quite the backbone's."""
    distance = drift(backbone, state)
    if distance > DRIFT_OF_ANOTHER:
        raise CheckpointError(
            f"{where}: the towers in it are not those of the backbone "
            f"{backbone.description['name']} (relative distance {distance:.2g}); name the backbone "
            f"it was trained on, or take the file's: --backbone checkpoint"
        )
    if distance == 0:
        return []
    return [
        f"the towers in the file differ from the backbone's by {distance:.1e} of their length; "
        f"features of the run are exact only with the file's: --backbone checkpoint"
    ]


def _named(seen: Inspection, device: str, precision: str) -> Backbone | None:
    """OpenAI's model that log.txt or the shapes name; None where the file can do without."""
    both = seen.facts.towers == _BOTH
    logged = seen.log.backbone if seen.log else None
    names = (logged,) if logged else seen.facts.backbones
    if len(names) != 1:
        if both:
            return None
        raise BackboneError(
            f"{seen.checkpoint.path}: nothing tells its backbone"
            + (f"; its shapes fit {', '.join(names)}" if names else "")
            + ": name it: --backbone ViT-B-16 --pretrained openai"
        )
    name = names[0].replace("@336px", "-336")
    try:
        return load_backbone(name, pretrained="openai", device=device, precision=precision)
    except BackboneError:
        if both:
            return None
        raise
