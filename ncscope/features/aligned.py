"""Features brought to one order of classes, matched by name, so that runs can be compared.

N images, C classes, D width. `_` for a space, case and how accents are composed do not tell names
apart.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch

from ncscope.data.classes import folded
from ncscope.features.bundle import Features


def in_order_of(features: Features, names: Sequence[str]) -> Features | None:
    """The features with their classes in the order, and spelling, of `names`.

    None where the two do not name the same classes, or a name stands for several.
    """
    places = _places(features.classnames, names)
    if places is None or len(places) != len(names) or len(names) != features.num_classes:
        return None
    if features.classnames == tuple(names):
        return features
    kept = _kept(features, names, places)
    if places == sorted(places):
        return kept
    said = "classes were put in the order of the first source, matched by name"
    warnings = [*kept.provenance.get("warnings", []), said]
    return replace(kept, provenance={**kept.provenance, "warnings": warnings})


def common_classes(names: Sequence[str], others: Sequence[str]) -> list[str]:
    """Those of `names` that `others` have too; none where a name stands for several."""
    if (key := _key(others, names)) is None:
        return []
    theirs = {key(name) for name in others}
    return [name for name in names if key(name) in theirs]


def only(features: Features, names: Sequence[str]) -> Features:
    """The features of these classes alone, in this order; images of others are left out."""
    places = _places(features.classnames, names)
    assert places is not None
    assert len(places) == len(names)
    kept = _kept(features, names, places)
    if kept.label is None or kept.image is None:
        return kept
    shown = kept.label >= 0
    text = kept.text
    if text is not None and text.ndim == 3:
        text = text[shown]
    return replace(kept, image=kept.image[shown], label=kept.label[shown], text=text, preview=None)


def _places(theirs: Sequence[str], names: Sequence[str]) -> list[int] | None:
    """Where each of `names` that `theirs` has is among them; None where a name is there twice."""
    if (key := _key(theirs, names)) is None:
        return None
    where = {key(name): place for place, name in enumerate(theirs)}
    return [where[key(name)] for name in names if key(name) in where]


def _key(theirs: Sequence[str], names: Sequence[str]) -> Callable[[str], str] | None:
    """What tells names apart; of equal lists their spelling, where only that does: ImageNet has a
    cardigan that is worn and a Cardigan that barks."""
    if all(len({folded(name) for name in one}) == len(one) for one in (theirs, names)):
        return folded
    same = set(theirs) == set(names) and len(set(names)) == len(names) == len(theirs)
    return str if same else None


def _kept(features: Features, names: Sequence[str], places: Sequence[int]) -> Features:
    index = torch.tensor(places)
    old = features.label
    label = None
    if old is not None:
        new = torch.full((features.num_classes + 1,), -1, dtype=torch.int64)  # the last for -1
        new[index] = torch.arange(len(index))
        label = new[old]
    text, frozen = features.text, features.text_frozen
    return replace(
        features,
        label=label,
        text=None if text is None else text.index_select(text.ndim - 2, index),
        text_frozen=None if frozen is None else frozen[index],
        classnames=tuple(names),
    )
