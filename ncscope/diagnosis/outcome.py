"""One model on one data set, as every table and statistic over runs takes it."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from ncscope.data.known import one_name

Setting = str | float | int | bool | None

# What may differ between runs of one name beside data, tau and seed: the other options of tuning.
SETTINGS = (
    "backbone", "shots", "class_order", "recipe", "epochs", "batch_size", "lr", "optimizer",
    "views", "accumulate", "precision", "ctx", "ctx_vision", "ctx_init", "depth", "csc",
    "class_token_position", "sampler", "loss", "adjustment", "regulariser", "lcd_weight",
    "lcd_form", "mid_weight", "mid_form", "centred", "relative_weights", "cpt_weights",
    "cpt_clusters", "anchor", "test_part", "few_shot", "prograd_lambda", "knowledge_weight",
    "scl_text", "scl_image", "scl_logits", "gpa_mean", "gpa_std", "residual_scale",
    "adapter_ratio", "rank", "alpha", "beta",
)  # fmt: skip
_KNOWN_DATA = re.compile(r"([A-Za-z0-9][\w.@-]+):.+")
_SEED_FOLDER = re.compile(r"seed[-_]?(\d+)")


@dataclass(frozen=True, eq=False)
class Outcome:
    """One model on one data set.

    Args:
        name: of the method, as its run calls it.
        trained_on: its training data; None where it is not known or there was none.
        trained_split: the classes it was trained on: `base`, `new` or `all`.
        data: what it was tested on.
        tau: nominal imbalance ratio of the training set; `realised_tau` the actual one.
        settings: by the names in `SETTINGS`; weights are numbers.
        accuracy: top-1 as a share in [0, 1], by split: `base`, `new`, `all`.
        measures: numbers of the report by their flat name, by split.
        file: where it was read.
    """

    name: str
    trained_on: str | None
    trained_split: str | None
    data: str
    seed: int | None
    tau: float | None
    realised_tau: float | None
    settings: Mapping[str, Setting]
    accuracy: Mapping[str, float]
    measures: Mapping[str, Mapping[str, float]]
    file: str

    @property
    def own_data(self) -> bool:
        """Whether it was tested on the data set it was trained on, as far as is known."""
        return self.trained_on in (None, self.data)


def data_identity(data: str) -> str:
    """One name a data set: `oxford_pets` for `pets:/data`, however spelt and wherever it lies."""
    known = _KNOWN_DATA.fullmatch(data)
    if known is None or data.startswith("toy:") or "/" in known[1]:
        return data
    return one_name(known[1])


def is_domain_of(target: str, source: str) -> bool:
    """Whether a data set is the source's in another domain: `toy:shapes@night`, `imagenet-r`."""
    if target == source:
        return False
    family = source.partition("@")[0]
    if target.partition("@")[0] == family:
        return True
    return family == "imagenet" and target.startswith("imagenet")


def short_names(names: Iterable[str]) -> dict[str, str]:
    """Each name with the fewest last parts of its path that tell it from the others."""
    found = {name: PurePosixPath(name.replace("\\", "/")).parts or (name,) for name in names}
    count = 1
    while count < max(map(len, found.values()), default=0):
        shown = ["/".join(parts[-count:]) for parts in found.values()]
        if len(set(shown)) == len(shown):
            break
        count += 1
    return {name: "/".join(parts[-count:]) for name, parts in found.items()}


def without_seed(source: str, data: str = "") -> tuple[str, int | None]:
    """A source's name without its folders of a seed (`seed1`) and of the data set, and that seed.

    So the runs of one method are of one name, as `train_base/eurosat/shots_16/CoOp/vit_b16/seed1`
    and those of other data sets are.
    """
    parts = source.replace("\\", "/").split("/")
    kept = [part for part in parts if not part or one_name(part) != data]
    seeds = [place for place, part in enumerate(kept) if _SEED_FOLDER.fullmatch(part)]
    if not seeds:
        return "/".join(kept) or source, None
    found = _SEED_FOLDER.fullmatch(kept.pop(seeds[-1]))
    assert found is not None
    return "/".join(kept) or source, int(found[1])
