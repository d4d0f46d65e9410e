"""From the name of a trainer, in log.txt or a folder's name, to the method that is meant."""

import re
from collections.abc import Sequence

from ncscope.checkpoint.methods import ROWS, plain_method, row_of

_OVER = r"(extraslinearprobe|elp|dept)"  # DePT's trainers are called after the one below
_DEPT = {  # those that are not, in other repositories
    "dept": "CoOp",
    "deptatp": "CoOp_ATP",
    "deptanchoropt": "AnchorOPT",
    "kgdept": "KgCoOp",
}


def method_of(trainer: str) -> str | None:
    """The method that a trainer's name is known to mean; None for an unknown name."""
    name = folded(trainer)
    if base := _DEPT.get(name):
        return f"DePT over {base}"
    meant = [row.name for row in ROWS if re.fullmatch(row.trainers, name)]
    if meant:
        return meant[0]
    if below := re.fullmatch(rf"{_OVER}(.+?)(stats)?", name):
        base = [row.name for row in ROWS if re.fullmatch(row.trainers, below[2])]
        return f"DePT over {base[0]}" if base else None
    return None


def named_by(trainer: str, candidates: Sequence[str]) -> str | None:
    """The candidate that the trainer's name means, if it means just one of them."""
    meant = method_of(trainer)
    wanted = [c for c in candidates if meant is not None and _same(c, meant)]
    return wanted[0] if len(wanted) == 1 else None


def other_method(trainer: str, candidates: Sequence[str]) -> str | None:
    """The method, none of the candidates, that the trainer's name is known to mean."""
    meant = method_of(trainer)
    if meant is None or any(_same(c, meant) or may_be(c, trainer) for c in candidates):
        return None
    return meant


def may_be(method: str, trainer: str) -> bool:
    """Whether the method's trainer goes by this name, too (BIP's scripts call it TCP)."""
    row = None if method.startswith("DePT") else row_of(method)
    return row is not None and re.fullmatch(row.trainers, folded(trainer)) is not None


def named_in(parts: Sequence[str], candidates: Sequence[str]) -> tuple[str, str] | None:
    """The candidate, other than the first, that a folder is called after, and that folder."""
    for part in reversed(parts):
        if (named := named_by(part, candidates[1:])) is not None:
            return named, part
    return None


def _same(candidate: str, meant: str) -> bool:
    """Whether both are one method, put on by DePT or not; remarks aside."""
    over = candidate.startswith("DePT") == meant.startswith("DePT")
    return over and plain_method(candidate) == plain_method(meant)


def folded(name: str) -> str:
    """The name of a trainer or folder in lower case: letters, digits and + only."""
    return re.sub(r"[^a-z0-9+]", "", name.lower())
