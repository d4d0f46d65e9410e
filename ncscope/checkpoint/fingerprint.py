"""Which method wrote a checkpoint, told from its keys and shapes (never from folder names)."""

import difflib
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from ncscope.checkpoint.key_table import IN_TOWER, TABLE, TOWERS, Row, Shapes

_NEARLY = 0.8  # of two names' letters are the same: `ctxx` for `ctx`


@dataclass(frozen=True)
class Recognition:
    """The method found. `candidates` are all that the keys cannot tell apart, the first of them
    the usual one; `base` is the method that DePT was put on. `unexplained` keys belong to none.
    `method` is None for an unknown file; then `nearest`, `missing` and `unexplained` say what it
    is closest to and where it differs; without a key that is, or nearly is, one of a method's,
    it is close to none.
    """

    method: str | None
    candidates: tuple[str, ...] = ()
    base: str | None = None
    nearest: str | None = None
    missing: tuple[str, ...] = ()
    unexplained: tuple[str, ...] = ()


def recognise(shapes: Shapes) -> Recognition:
    """Name the method whose keys and shapes these are.

    Args:
        shapes: the shape of each tensor of a checkpoint, by key, `module.` already dropped.
    """
    probe = [key for key in shapes if key.startswith(("film_lp_", "linear_probe_proj."))]
    if probe:
        return _dept({key: shape for key, shape in shapes.items() if key not in probe})
    row = next((row for row in TABLE if _fits(row, shapes)), None)
    if row is None:
        return _nearest(shapes)
    return Recognition(row.methods[0], row.methods, unexplained=_unexplained(row, shapes))


def _dept(rest: Shapes) -> Recognition:
    """DePT saves its base method's whole model with a probe beside it."""
    base = recognise(rest)
    if base.method is None or base.method.startswith(("CoOp (whole", "CLIP backbone")):
        inside = {
            key.removeprefix("prompt_learner."): shape
            for key, shape in rest.items()
            if key.startswith("prompt_learner.")
        }
        base = recognise(inside)
    names = tuple(f"DePT over {name}" for name in base.candidates) or ("DePT",)
    return replace(base, method=names[0], candidates=names, base=base.method)


def _fits(row: Row, shapes: Shapes) -> bool:
    return (
        not _missing(row, shapes)
        and not any(fnmatchcase(key, pattern) for key in shapes for pattern in row.absent)
        and (row.fits is None or row.fits(shapes))
    )


def _missing(row: Row, shapes: Shapes) -> tuple[str, ...]:
    return tuple(
        pattern for pattern in row.keys if not any(fnmatchcase(key, pattern) for key in shapes)
    )


def _unexplained(row: Row, shapes: Shapes) -> tuple[str, ...]:
    known = (*row.keys, *row.others, "*tokenized_prompts")  # token ids are class names anywhere
    return tuple(key for key in shapes if not any(_explains(one, key) for one in known))


def _explains(pattern: str, key: str) -> bool:
    """Whether a pattern is about the key; those of whole towers are about what CLIP's have."""
    if not fnmatchcase(key, pattern):
        return False
    return pattern not in TOWERS or key == "logit_scale" or bool(IN_TOWER.fullmatch(key))


def _nearest(shapes: Shapes) -> Recognition:
    """The row with most of its keys present or nearly so, and fewest of the file's unexplained."""
    names = list(shapes)[:200]

    def presence(row: Row, pattern: str) -> float:
        if pattern not in _missing(row, shapes):
            return 1.0
        ratios = (difflib.SequenceMatcher(None, pattern, name).ratio() for name in names)
        return 0.9 * max(ratios, default=0.0)

    def likeness(row: Row) -> tuple[float, bool]:
        """How like, and whether any key is or nearly is one of the row's."""
        present = [presence(row, pattern) for pattern in row.keys]
        explained = len(shapes) - len(_unexplained(row, shapes))
        total = sum(present) / len(row.keys) + explained / max(len(shapes), 1)
        return total, explained > 0 or max(present) >= 0.9 * _NEARLY

    likenesses = [likeness(row) for row in TABLE]
    total, shares = max(likenesses)
    if not shares:
        return Recognition(None, unexplained=tuple(shapes))
    row = TABLE[likenesses.index((total, shares))]
    missing, unexplained = _missing(row, shapes), _unexplained(row, shapes)
    return Recognition(None, nearest=row.methods[0], missing=missing, unexplained=unexplained)
