"""The forms that NPT's and CPT's terms come in, and which of them go together.

Nothing here needs torch: a grid refuses what no run can be before any is started. What the terms
are is in `ncscope.tuning.objective`.
"""

from dataclasses import dataclass

from ncscope.errors import DataError

LCD_FORMS = ("cosine", "frobenius", "anchored", "dispersion", "orthogonal")
MID_FORMS = (
    "push_pull",
    "push_pull_linear",
    "align",
    "dot_regression",
    "frobenius",
    "log",
    "anchored",
)
_CENTRED_LCD = ("cosine", "frobenius")
_CENTRED_MID = ("push_pull", "push_pull_linear", "dot_regression", "frobenius", "log")


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What is minimised beside the method's own loss.

    `regulariser` npt adds `lcd_weight` times the language-modality collapse and `mid_weight` times
    the multi-modality isomorphism, in the forms named; cpt adds CPT's three losses times
    `cpt_weights`; none adds nothing. `centred` takes both of NPT's terms between centred features.
    `relative_weights` states the weights as shares of the cross-entropy's gradient norm.
    """

    regulariser: str = "npt"
    lcd_weight: float = 0.0
    lcd_form: str = "cosine"
    mid_weight: float = 0.0
    mid_form: str = "push_pull"
    centred: bool = False
    relative_weights: bool = False
    cpt_weights: tuple[float, float, float] = (0.25, 0.15, 0.10)
    cpt_clusters: int = 1
    anchor: str = "nearest"  # or fixed: a random frame, for comparison only

    def __post_init__(self) -> None:
        _one_of("regulariser", self.regulariser, ("npt", "cpt", "none"))
        _one_of("lcd_form", self.lcd_form, LCD_FORMS)
        _one_of("mid_form", self.mid_form, MID_FORMS)
        _one_of("anchor", self.anchor, ("nearest", "fixed"))
        for name in ("lcd_weight", "mid_weight"):
            value = getattr(self, name)
            if not 0 <= value < float("inf"):
                raise DataError(f"`{name}` is {value}; expected a number of 0 or more")
        for name, known in (("lcd_form", _CENTRED_LCD), ("mid_form", _CENTRED_MID)):
            weight = getattr(self, name.replace("form", "weight"))
            if self.centred and weight and getattr(self, name) not in known:
                raise DataError(
                    f"`{name}` {getattr(self, name)!r} has no centred form; centred ones: "
                    f"{', '.join(known)}"
                )

    @property
    def remembers(self) -> bool:
        """Whether a term needs the class means of more images than a batch has."""
        mid = self.regulariser == "npt" and self.mid_weight > 0
        return mid and (self.centred or self.mid_form == "frobenius")

    @property
    def active(self) -> bool:
        """Whether anything is added to the method's own loss."""
        return self.regulariser == "cpt" or (
            self.regulariser == "npt" and (self.lcd_weight > 0 or self.mid_weight > 0)
        )


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise DataError(f"`{name}` is {value!r}; expected one of {', '.join(known)}")
