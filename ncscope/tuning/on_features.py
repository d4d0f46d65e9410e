"""What tuning on stored features asks for, and what of it is refused. V images, D width."""

import torch
from torch import Tensor

from ncscope.data.classes import select_classes
from ncscope.errors import DataError
from ncscope.features.parts import StoredParts, stored_rows
from ncscope.features.processes import ALONE, Spread
from ncscope.tuning.data import Machine
from ncscope.tuning.options import TuneOptions
from ncscope.tuning.recipe import check_data


def check_kind(
    options: TuneOptions, machine: Machine, *, on_features: bool, spread: Spread = ALONE
) -> None:
    """Refuse a method that needs pictures where there are features, and the other way round.

    Raises:
        DataError: names what would do; or an option that nothing is done by.
    """
    check_data(options.method, on_features)
    if not on_features:
        return
    if options.method == "tip-adapter-f" and spread.world > 1:
        raise DataError("tip-adapter-f trains in one process; start it without torchrun")
    said = {
        "backbone": str(machine.backbone) != "auto", "pretrained": machine.pretrained is not None,
        "template": machine.template is not None, "compile": machine.compiled,
        "few_shot": options.few_shot is not None, "views": options.views not in (None, 1, "1"),
    }  # fmt: skip
    for name in said:
        if said[name]:
            raise DataError(f"`{name}` has no effect on features, of which `data` is a file")


def validation_of(
    options: TuneOptions, stored: StoredParts, device: torch.device
) -> tuple[tuple[Tensor, Tensor] | None, tuple[str, ...]]:
    """(V, D) validation images of the training classes and labels; else what is done without."""
    images = stored.parts.get("val")
    if images is None or options.test_part == "val":
        why = "there are no validation images" if images is None else "they are tested on"
        return None, (f"{why}: alpha and beta are not searched and stay as they are",)
    images = select_classes(images, options.split)
    rows = stored_rows(images)
    assert rows is not None
    return (rows.to(device), torch.tensor(images.labels, device=device)), ()
