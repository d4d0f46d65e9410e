"""All that decides a tuning run, as one flat record: what `tune` takes and `config.json` holds."""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from ncscope.errors import DataError
from ncscope.tuning.forms import Objective
from ncscope.tuning.recipe import IMAGE_FIXED, TAKEN_BY, TEXT_FIXED, WEIGHED_BY, check_applies
from ncscope.tuning.values import LOSSES, OPTIMIZERS, SAMPLERS, Recipe, parsed_views

_RECIPE = {field.name for field in fields(Recipe)}
# The least and the most of options of single methods where these are not 0 and any number
_RANGES = {"prograd_lambda": (0.0, 1.0), "adapter_ratio": (0.0, 1.0)}
_SAID = {
    "prograd_lambda": "0 to 1",
    "adapter_ratio": "0 to 1",
    "gpa_std": "a number of epochs above 0",
}


@dataclass(frozen=True)
class TuneOptions(Objective):
    """Options of `ncscope tune`, those of its objective too; None takes the recipe's value."""

    method: str
    data: str
    split: str = "base"
    shots: int | None = 16
    tau: float = 1.0
    seed: int = 1
    class_order: str = "index"
    recipe: str = "authors"
    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    optimizer: str | None = None
    views: int | str | None = None
    ctx: int | None = None
    ctx_vision: int | None = None
    ctx_init: str | None = None
    depth: int | None = None
    csc: bool = False
    class_token_position: str | None = None
    prograd_lambda: float | None = None
    knowledge_weight: float | None = None
    scl_text: float | None = None
    scl_image: float | None = None
    scl_logits: float | None = None
    gpa_mean: float | None = None
    gpa_std: float | None = None
    residual_scale: float | None = None
    adapter_ratio: float | None = None
    rank: int | None = None
    alpha: float | None = None
    beta: float | None = None
    loss: str = "ce"
    adjustment: float = 1.0
    sampler: str = "plain"
    accumulate: int = 1
    precision: str = "fp32"
    test_part: str = "test"
    label: str | None = None
    few_shot: str | None = None

    def __post_init__(self) -> None:
        if self.split not in ("base", "new", "all"):
            raise DataError(f"`split` is {self.split!r}; expected base, new or all")
        for name in ("epochs", "accumulate", "ctx", "ctx_vision", "depth", "rank", "cpt_clusters"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise DataError(f"`{name}` is {value}; expected 1 or more")
        for name, known in (("loss", LOSSES), ("sampler", SAMPLERS)):
            if getattr(self, name) not in known:
                value = getattr(self, name)
                raise DataError(f"`{name}` is {value!r}; expected one of {', '.join(known)}")
        if not 0 <= self.seed < 2**32:
            raise DataError(f"`seed` is {self.seed}; expected 0 to 2^32 - 1")
        if self.lr is not None and not 0 < self.lr < float("inf"):
            raise DataError(f"`lr` is {self.lr}; expected a number above 0")
        if self.batch_size is not None and self.batch_size < 0:
            raise DataError(f"`batch_size` is {self.batch_size}; expected 1 or more, or 0 for all")
        if self.optimizer not in (None, *OPTIMIZERS):
            known = ", ".join(OPTIMIZERS)
            raise DataError(f"`optimizer` is {self.optimizer!r}; expected one of {known}")
        if self.views is not None:
            parsed_views(self.views)
        check_applies(self.method, self.of_method)
        self._check_weights()
        self._check_terms(self.objective())

    def _check_terms(self, objective: Objective) -> None:
        """Refuse terms of what the method does not train: they would do nothing in silence."""
        npt = objective.regulariser == "npt"
        if self.method in TEXT_FIXED and npt and objective.lcd_weight:
            raise DataError(
                f"`lcd_weight` is {objective.lcd_weight:g}, and {self.method} trains no text, of "
                f"which this term is: it would do nothing; leave it out"
            )
        fixed = objective.mid_weight and objective.mid_form == "anchored"
        if self.method in IMAGE_FIXED and npt and fixed:
            raise DataError(
                f"`mid_form` anchored pulls images to a frame that is held fixed, and "
                f"{self.method} trains no images: it would do nothing; take another form"
            )
        if self.method == "tip-adapter-f" and objective.active:
            raise DataError(
                "tip-adapter-f trains its cache, and neither text nor image features: NPT's and "
                "CPT's terms would do nothing; leave --lcd-weight, --mid-weight and cpt out"
            )
        if self.method == "tip-adapter-f" and self.accumulate > 1:
            raise DataError("tip-adapter-f trains with whole batches: --accumulate 1")

    def _check_weights(self) -> None:
        for name, value in self.of_method.items():
            if not isinstance(value, float | int) or name in (
                "ctx",
                "ctx_vision",
                "depth",
                "csc",
                "rank",
            ):
                continue
            least, most = _RANGES.get(name, (0.0, float("inf")))
            if (
                not least <= value <= most
                or value == float("inf")
                or (name == "gpa_std" and value == 0)
            ):
                raise DataError(f"`{name}` is {value}; expected {_SAID.get(name, '0 or more')}")

    @property
    def of_method(self) -> dict[str, Any]:
        """The options that some methods have and others do not, by name."""
        return {name: getattr(self, name) for name in (*TAKEN_BY, *WEIGHED_BY)}

    def objective(self) -> Objective:
        """The regularisers that are asked for."""
        return Objective(**{field.name: getattr(self, field.name) for field in fields(Objective)})

    def over(self, recipe: Recipe) -> Recipe:
        """The recipe with what was said otherwise."""
        names = _RECIPE & {field.name for field in fields(self)} - {"csc"}
        said = {name: value for name in names if (value := getattr(self, name)) is not None}
        if "views" in said:
            said["views"] = parsed_views(said["views"])
        if "ctx_init" in said:
            words = said["ctx_init"].replace("_", " ").split()
            said["ctx_init"] = " ".join(words) or None
            if not recipe.ctx_pad:
                said.setdefault("ctx", len(words) or recipe.ctx)
        elif self.ctx is not None and not recipe.ctx_pad and self.ctx > len(recipe.words):
            said["ctx_init"] = None  # more context than words to begin with
        return replace(recipe, **said, csc=self.csc or recipe.csc)

    @property
    def name(self) -> str:
        """How tables call the run: its label, else the method and what was added to it."""
        if self.label:
            return self.label
        parts = [self.method]
        if self.loss != "ce":
            parts.append(self.loss)
        if self.regulariser == "cpt":
            parts.append("cpt")
        elif self.active:
            parts.append("npt")
        return "+".join(parts)


def config_of(options: TuneOptions, recipe: Recipe, found: dict[str, Any]) -> dict[str, Any]:
    """Every value in force, as JSON: options, the recipe's values over them, and what was found."""
    values = asdict(options) | asdict(recipe) | found
    return {
        key: list(value) if isinstance(value, tuple) else value for key, value in values.items()
    }
