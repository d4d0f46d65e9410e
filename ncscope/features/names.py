"""Which array of somebody's file is which of ours: the usual other names.

A name of ours counts first, then names that say the side (`image_features`), then loose ones
(`features`, `X`). Two of a kind are refused: which is meant, only their owner knows.
"""

import difflib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from ncscope.errors import DataError, shown

PARTS = ("train", "val", "test")
OURS = ("image", "label", "text", "logit_scale", "text_frozen", "classnames")
_OF_PARTS = {f"{side}_{part}" for side in ("image", "label") for part in PARTS}
_PART = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
_WHAT = ("features", "feature", "feats", "feat", "embeddings", "embedding", "embeds", "embed",
         "embs", "emb")  # fmt: skip
WEIGHTS = (  # (D, C) by custom
    "zeroshot_weights", "zero_shot_weights", "zeroshot_classifier", "zero_shot_classifier",
    "zs_weights", "clip_weights", "text_weights", "classifier", "classifier_weights",
)  # fmt: skip
KEYS = re.compile(r"keys_\d+_?shots?")  # Tip-Adapter's: (D, N), and one-hot labels beside it
_VALUES = re.compile(r"values_\d+_?shots?")
# Tiers of other names: in each, one may be there
_OTHERS: dict[str, tuple[tuple[str, ...], ...]] = {
    "image": (
        ("images", *(f"{side}_{what}" for side in ("image", "img", "visual") for what in _WHAT)),
        (*_WHAT, "x"),
    ),
    "label": (
        ("labels", "image_labels", "image_label", "targets", "target", "y", "class_ids"),
    ),
    "text": (
        ("texts", *(f"{side}_{what}" for side in ("text", "txt", "class") for what in _WHAT)),
        WEIGHTS,
    ),
    "classnames": (("class_names", "classes", "label_names", "category_names", "categories"),),
}  # fmt: skip
_OF_A_PART = {"f": "image", "l": "label"}  # Tip-Adapter's `test_f.pt`, `test_l.pt`


@dataclass
class Found:
    """Our names and theirs, and what is to be said of that."""

    theirs: dict[str, str] = field(default_factory=dict)  # ours -> theirs
    said: list[str] = field(default_factory=list)


def resolve(present: Collection[str], where: str) -> Found:
    """Which of the names that are present is which of ours.

    Raises:
        DataError: two that could be the same one.
    """
    found = Found({name: name for name in present if name in OURS or name in _OF_PARTS})
    kinds: dict[str, dict[int, list[str]]] = {}
    for name in present:
        if name not in found.theirs and (known := _kind(name)) is not None:
            ours, tier = known
            kinds.setdefault(ours, {}).setdefault(tier, []).append(name)
    for ours, tiers in kinds.items():
        if ours in found.theirs:
            continue
        names = tiers[min(tiers)]
        if len(names) > 1:
            raise DataError(
                f"{where}: {' and '.join(f'`{name}`' for name in names)} could each be `{ours}`; "
                f"leave one, or call it `{ours}`"
            )
        found.theirs[ours] = names[0]
        found.said.append(f"`{names[0]}` is read as `{ours}`")
    return found


def _kind(name: str) -> tuple[str, int] | None:
    """Our name for one of theirs, and how far from it that is; None for any other."""
    tokens = [token for token in re.split(r"[^a-z0-9]+", name.lower()) if token]
    whole = "_".join(tokens)
    if KEYS.fullmatch(whole):
        return "image_train", 0
    if _VALUES.fullmatch(whole):
        return "label_train", 0
    parts = [token for token in tokens if token in _PART]
    if len(parts) > 1:
        return None
    rest = "_".join(token for token in tokens if token not in _PART)
    ours = rest if rest in ("image", "label") else _OF_A_PART.get(rest) if parts else None
    tier = 0
    for known, tiers in _OTHERS.items():
        for number, names in enumerate(tiers):
            if rest in names:
                ours, tier = known, number
    if ours is None and whole in OURS:
        ours = whole  # in another case
    if ours is None or not parts:
        return None if ours is None else (ours, tier)
    return (f"{ours}_{_PART[parts[0]]}", tier) if ours in ("image", "label") else None


def one_part(
    arrays: Mapping[str, Tensor], part: str | None, *, where: str
) -> tuple[dict[str, Tensor], list[str]]:
    """Of arrays by our names those of one part, as `image` and `label`, and what to say of that.

    Args:
        part: None takes `image` as it stands, else test, val or train, the first there is.

    Raises:
        DataError: no such part.
    """
    have = [name for name in PARTS if f"image_{name}" in arrays]
    plain = {name: value for name, value in arrays.items() if name in OURS}
    if part is None and ("image" in arrays or not have):
        return plain, [f"parts passed over: {', '.join(have)}"] if have else []
    chosen = part or next(name for name in reversed(PARTS) if name in have)
    if chosen not in have:
        held = f"it has {', '.join(have)}" if have else "it has no parts"
        raise DataError(f"{where}: no part {chosen!r} (`image_{chosen}`); {held}")
    plain.pop("label", None)
    for side in ("image", "label"):
        if f"{side}_{chosen}" in arrays:
            plain[side] = arrays[f"{side}_{chosen}"]
    said = (
        [f"of its parts {', '.join(have)}: {chosen} is taken; --part says otherwise"]
        if part is None
        else []
    )
    return plain, said if len(have) > 1 else []


def refusal(shapes: Mapping[str, Sequence[int]] | Iterable[str]) -> str:
    """What a file without features holds, and what of it may be one."""
    names = list(shapes)
    listed = [f"{n} {tuple(shapes[n])}" for n in names] if isinstance(shapes, Mapping) else names
    words = f"neither image nor text features among its arrays ({shown(listed) or 'none'})"
    known = [*OURS, *(name for tiers in _OTHERS.values() for names in tiers for name in names)]
    for name in names:
        close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.7)
        if close and (kind := _kind(close[0])) is not None:
            return f"{words}; is `{name}` what is called `{kind[0]}` here? Then save it so"
    return f"{words}; expected `image` (N, D) with `label` (N,), `text` (C, D), or both"
