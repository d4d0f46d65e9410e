"""Which method a trainer's name in log.txt means; it parts methods that have the same keys."""

import re
from collections.abc import Sequence

# Patterns for the trainer's name in lower case, letters, digits and + only
_TRAINERS = {
    "CoOp": r"(csc)?coop",
    "ProGrad": r"prograd.*",
    "Nemesis": r"(?!plot).*nemesis.*",
    "DPC": r".*(dpc|sple).*",
    "CoCoOp": r"cocoop",
    "KgCoOp": r"kgcoop.*",
    "DeKg": r"dekg(coop)?",
    "TCP": r"tcp",
    "DeKg_TCP": r"dekg.*tcp",
    "PLOT": r"plot",
    "PLOTNemesis": r"plotnemesis",
    "PLOT++": r"plot(pp|\+\+)",
    "MaPLe": r"maple",
    "MaPLe_ATP": r"maple.*at(p|t|prompt).*",
    "CoOp_ATP": r"coop.*at(p|t|prompt).*",
    "CoCoOp_ATP": r"cocoop.*at(p|t|prompt).*",
    "AnchorOPT": r"coop.*(dyntoken|anchor).*",
    "CoCoOp_AnchorOPT": r"cocoop.*(dyntoken|anchor).*",
    "IVLP": r"(ivlp|independentvl.*)",
    "PromptSRC": r"promptsrc",
    "ProMetaR": r"prometar",
    "DPC-PromptSRC": r".*(dpc|sple).*promptsrc.*",
    "DPC-PromptKD": r".*(dpc|sple).*(promptkd|kd).*",
    "VPT": r"vpt.*",
    "CoPrompt": r"coprompt",
    "PromptKD": r"promptkd",
    "HiCroPL": r"hicropl",
    "TextRefiner": r".*textrefiner.*",
    "TaskRes": r"taskres.*",
    "CLIP-Adapter": r"clipadapter.*",
    "MMA": r"mma|multimodaladapter",
    "MMRL": r"mmrl",
    "MMRL++": r"mmrl(pp|\+\+|plus.*)",
}


def plain_method(method: str) -> str:
    """A method's name without remarks: `CoOp (class-specific)` and `DePT over CoOp` are CoOp."""
    return re.sub(r" \(.*\)$", "", method).removeprefix("DePT over ")


def named_by(trainer: str, candidates: Sequence[str]) -> str | None:
    """The candidate that the trainer's name means, if it means just one of them."""
    wanted = [c for c in candidates if re.fullmatch(_pattern(c), _folded(trainer))]
    return wanted[0] if len(wanted) == 1 else None


def other_method(trainer: str, candidates: Sequence[str]) -> str | None:
    """The method, none of the candidates, that the trainer's name is known to mean."""
    own = {plain_method(candidate) for candidate in candidates}
    meant = [m for m, pattern in _TRAINERS.items() if re.fullmatch(pattern, _folded(trainer))]
    return meant[0] if meant and not own & set(meant) else None


def named_in(parts: Sequence[str], candidates: Sequence[str]) -> tuple[str, str] | None:
    """The candidate, other than the first, that a folder is called after, and that folder."""
    for part in reversed(parts):
        named = [c for c in candidates[1:] if re.fullmatch(_pattern(c), _folded(part))]
        if len(named) == 1:
            return named[0], part
    return None


def _pattern(candidate: str) -> str:
    pattern = _TRAINERS.get(plain_method(candidate), r"(?!)")
    over = r"(extraslinearprobe|elp|dept).*" if candidate.startswith("DePT") else ""
    return f"{over}(?:{pattern})"


def _folded(name: str) -> str:
    return re.sub(r"[^a-z0-9+]", "", name.lower())
