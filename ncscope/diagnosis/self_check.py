"""Whether the features classify as well as the run's own log.txt says they do.

That is the one check of a whole chain (checkpoint, backbone, transform, class order, images) that a
run carries with it.
"""

from typing import Any

TOLERANCE = 0.3  # points of per cent: what half precision and another machine make of a run


def self_check(record: dict[str, Any]) -> dict[str, Any] | None:
    """Compare the accuracy of a measured run with the one in its log.txt.

    Args:
        record: the run's entry in metrics.json; `provenance.learner.run` is what log.txt says.

    Returns:
        `logged` and `found` in per cent, `agrees` (None where they are of different data), and
        `says`, the same as a sentence. None where either accuracy is absent.
    """
    learner = record["provenance"].get("learner")
    run = learner.get("run") if isinstance(learner, dict) else None
    run = run if isinstance(run, dict) else {}
    logged, top1 = run.get("accuracy"), record["summary"]["accuracy"]["top1"]
    if not isinstance(logged, int | float) or isinstance(logged, bool) or top1 is None:
        return None
    found = 100 * top1
    other = _other_data(run, record)
    agrees = None if other else abs(found - logged) <= TOLERANCE
    if other:
        says = f"{found:.2f} % here is not compared with {logged:.2f} % in log.txt, {other}"
    elif agrees:
        says = f"reproduces {logged:.2f} % (log) with {found:.2f} %"
    else:
        says = (
            f"does not reproduce {logged:.2f} % (log): {found:.2f} % here, more than {TOLERANCE} "
            f"points off; check backbone, transform, class order and images, and whether the "
            f"method decides by more than these features"
        )
    return {
        "logged": float(logged),
        "found": found,
        "tolerance": TOLERANCE,
        "agrees": agrees,
        "says": says,
    }


def warnings_of(check: dict[str, Any]) -> list[str]:
    """What a reader of the numbers must know of the comparison; nothing where it went well."""
    return [] if check["agrees"] else [check["says"]]


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
        if isinstance(logged := run.get(name), int) and logged != here:
            return f"which is of {logged} {what}: here are {here}"
    return None
