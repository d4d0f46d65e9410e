"""What a reader must know beside the numbers: conventions in force, cautions, what has no number.

Also whether the features classify as well as the run's own log.txt says they do.

K classes, D embedding width.

That is the one check of a whole chain (checkpoint, backbone, transform, class order, images) that a
run carries with it.
"""

import math
from typing import Any, TypeGuard

from ncscope.diagnosis.prepare import Prepared
from ncscope.diagnosis.sides import UNIFORMITY_SAMPLES, ImageSide
from ncscope.errors import shown
from ncscope.metrics.pairs import Neighbours
from ncscope.metrics.spectrum import MOST_RANKED

MOST_PAIRED = 5000  # classes whose pairs are drawn: a (K, K) matrix of more is over 200 MB
TOLERANCE = 0.3  # points of per cent: what half precision and another machine make of a run


def conventions(prepared: Prepared, side: ImageSide | None, grouped_by: str) -> dict[str, Any]:
    """The conventions in force, in words and numbers."""
    found: dict[str, Any] = {
        "normalised_on_entry": prepared.normalise,
        "came_normalised": prepared.normalised,
        "averages": "class-balanced: every class counts once; population moments (ddof 0)",
        "class_means": "of normalised rows, not re-normalised",
        "centred": "minus the class-balanced mean of the same modality",
        "delta_lcd": "form cosine, power 1; own definition, after Definition 2 of arXiv:2306.15955",
        "delta_mid": "form cosine; own definition, after Definition 3 of arXiv:2306.15955",
        "nc1": "tr(Sigma_W Sigma_B^+) / K",
        "nc2": "centred vectors",
        "nc3": "self-duality of centred text and class means, not squared",
        "nc4": "over the classes with images",
        "effective_rank": "centred vectors",
        "ece": "15 equal-width bins, at the model's logit scale",
        "text_reduction": "none" if prepared.per_image is None else "mean over images",
        "groups": grouped_by,
    }
    if side is not None:
        counts, white = side.moments.counts[side.present], side.samples.white
        found |= {
            "samples_per_class": {"min": int(counts.min()), "max": int(counts.max())},
            "classes_with_images": len(side.present),
            "uniformity": f"samples: at most {UNIFORMITY_SAMPLES}, even over classes, seed 0",
            "nc1_inverse": {
                "rank": white.rank,
                "full_rank": white.full_rank,
                "rtol": white.rtol if white.rank else None,
                "condition": white.condition if white.rank else None,
            },
        }
    return found


def cautions(
    prepared: Prepared, side: ImageSide | None, limits: dict[str, Any], near: Neighbours | None
) -> list[str]:
    size = len(prepared.classnames)
    found = []
    if size == 2:
        found.append(
            "K = 2: centred vectors are opposite by construction, so centred delta_lcd, "
            "etf_distance, equinorm and equiangular are 0 whatever the features are"
        )
    if not limits["simplex_etf_exists"]:
        floor = limits["etf_distance"]["text"]["floor"]
        found.append(
            f"K = {size} > D + 1: no simplex ETF exists; etf_distance cannot fall below "
            f"{floor:.3f} (bounds)"
        )
    if size > MOST_PAIRED:
        found.append(
            f"K = {size}: the page has no cosine maps and no distribution of angles, which are "
            f"drawn for at most {MOST_PAIRED} classes; the measures are of all pairs"
        )
    found += _same_names(prepared.classnames)
    found += [] if near is None else _twins(near, prepared.classnames)
    if prepared.frozen is not None and size > MOST_RANKED:
        found.append(
            f"K = {size}: hierarchy_retention/spearman was left out, as the ranks of all pairs of "
            f"more than {MOST_RANKED} classes do not fit; pearson is there"
        )
    if side is not None:
        white = side.samples.white
        if not white.rank and white.full_rank:
            found.append(
                "the class means of the images differ by no more than the rounding of the "
                "features: image measures that are centred, NC1, CDNV and NC4 have no number; "
                "features in float64, or less what all have in common, may have one"
            )
        elif white.rank < white.full_rank:
            found.append(
                f"the class means span {white.rank} of {white.full_rank} directions "
                f"(rtol {white.rtol:.0e}): classes coincide or depend on one another; NC1 ignores "
                f"the missing directions"
            )
    return found


def no_number(flat: dict[str, float]) -> list[str]:
    """One line for the flat measures that are infinite, one for those that are undefined."""
    infinite = [name for name, value in flat.items() if math.isinf(value)]
    undefined = [name for name, value in flat.items() if math.isnan(value)]
    found = [f"measures that are infinite: {', '.join(sorted(infinite))}"] if infinite else []
    if undefined:
        found.append(
            f"measures undefined on these features (equal vectors, or one image a class): "
            f"{', '.join(sorted(undefined))}"
        )
    return found


def _same_names(names: tuple[str, ...]) -> list[str]:
    """Names that stand for several labels, whatever file they came from: labels decide."""
    places: dict[str, list[int]] = {}
    for label, name in enumerate(names):
        places.setdefault(name, []).append(label)
    twice = [f"{name!r} ({shown([*map(str, at)])})" for name, at in places.items() if len(at) > 1]
    if not twice:
        return []
    return [
        f"class names that stand for several labels, which are classes of their own: {shown(twice)}"
    ]


def _twins(near: Neighbours, names: tuple[str, ...]) -> list[str]:
    """Classes whose text features point the same way: no image can be told between them."""
    if not near.twins:
        return []
    first = "; ".join(f"{names[a]} and {names[b]}" for a, b in near.first_twins)
    more = "; …" if near.twins > 3 else ""
    return [f"{near.twins} pairs of classes have the same text feature: {first}{more}"]


def self_check(record: dict[str, Any]) -> dict[str, Any] | None:
    """Compare the accuracy of a measured run with the one in its log.txt.

    Args:
        record: the run's entry in metrics.json; `provenance.learner.run` is what log.txt says, and
            by which rule: `by_rule` is the accuracy by the method's own, `not_by_cosine` why there
            is none, `image_feature` the one that decided, `accuracy_is` the other model it is of.

    Returns:
        `logged` and `found` in per cent, `agrees` (None where they are of different data), and
        `says`, the same as a sentence. None where either accuracy is absent.
    """
    learner = record["provenance"].get("learner")
    learner = learner if isinstance(learner, dict) else {}
    run = learner.get("run")
    run = run if isinstance(run, dict) else {}
    logged, top1 = run.get("accuracy"), record["summary"]["accuracy"]["top1"]
    if not _is_number(logged) or top1 is None:
        return None
    ruled = run.get("by_rule")
    ruled = ruled if isinstance(ruled, dict) and _is_number(ruled.get("accuracy")) else None
    found = 100 * top1 if ruled is None else float(ruled["accuracy"])
    other = _other_model(run) or _other_data(run, record)
    reason = None if other or ruled else _other_rule(run, learner)
    agrees = None if other or reason else abs(found - logged) <= TOLERANCE
    by = "" if ruled is None else f", decided by {ruled.get('rule')}"
    if reason:
        says = f"{logged:.2f} % in log.txt: not applicable to these features: {reason}"
    elif other:
        says = f"{found:.2f} % here is not compared with {logged:.2f} % in log.txt, {other}"
    elif agrees:
        says = f"reproduces {logged:.2f} % (log) with {found:.2f} %{by}"
    else:
        says = (
            f"does not reproduce {logged:.2f} % (log): {found:.2f} % here{by}, more than "
            f"{TOLERANCE} points off; check backbone, transform, class order and images"
        )
    return {
        "logged": float(logged),
        "found": found,
        "tolerance": TOLERANCE,
        "agrees": agrees,
        "says": says,
    }


def _is_number(value: object) -> TypeGuard[float]:
    """What a stranger's provenance may hold under the name of a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def warnings_of(check: dict[str, Any]) -> list[str]:
    """What a reader of the numbers must know of the comparison; nothing where it went well."""
    return [] if check["agrees"] else [check["says"]]


def _other_model(run: dict[str, Any]) -> str | None:
    """In which way the log's accuracy is of another epoch's model than the file's."""
    other = run.get("accuracy_is")
    return f"which is {other}" if isinstance(other, str) else None


def _other_rule(run: dict[str, Any], learner: dict[str, Any]) -> str | None:
    """Why the method's decision is not by the cosine of these features; None if it is."""
    reason, wanted = run.get("not_by_cosine"), run.get("image_feature")
    if isinstance(reason, str):
        return reason
    if isinstance(wanted, str) and learner.get("image_feature", wanted) != wanted:
        return f"the task in log.txt decides by the {wanted} feature, and these are the " + (
            f"{learner['image_feature']} ones: --image-feature {wanted}"
        )
    return None


def _other_data(run: dict[str, Any], record: dict[str, Any]) -> str | None:
    """In which way the log's accuracy is of other images or classes; None if it is not."""
    provenance = record["provenance"]
    part = provenance.get("part", "all")
    if part in ("train", "val"):
        return f"which is of the test images: these are part {part}"
    subset, split = run.get("subsample"), provenance.get("split")
    halves = ("base", "new")
    if subset in halves and split in halves and subset != split:
        return f"which is of the {subset} classes: these are the {split} ones"
    for name, here, what in (
        ("classes", record["classes"], "classes"),
        ("images", record["samples"], "images"),
    ):
        if _is_number(logged := run.get(name)) and logged != here:
            return f"which is of {logged} {what}: here are {here}"
    return None
