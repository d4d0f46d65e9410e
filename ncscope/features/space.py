"""The space that stored features lie in, in the place of the CLIP that made them.

Methods behind the towers ask a backbone for two things: its width and multiplier, and the text
features of class names. A file of features has both.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from PIL import Image
from torch import Tensor

from ncscope.clip.backbone import Backbone, state_digest
from ncscope.data.classes import folded
from ncscope.errors import DataError
from ncscope.features.parts import StoredParts, stored_rows

AS_NAMED = "{}"  # the template by which a class is asked for: its own name


@dataclass(frozen=True, eq=False)
class FeatureSpace(Backbone):
    """A backbone without towers: texts are class names, which have a stored row each."""

    rows: Tensor | None  # (C, D) on the device; None where the file has no text features
    places: dict[str, int]
    scale: Tensor
    source: str  # of the features, for what is said of them
    others: dict[str, Tensor] = field(default_factory=dict)  # (D,) rows of other data sets' classes

    @property
    def logit_scale(self) -> Tensor:
        return self.scale

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """(B, D) of class names.

        Raises:
            DataError: the data hold no text features, or none for such a name.
        """
        name = f"features of {self.source}"
        if self.rows is None:
            raise DataError(
                f"{name}: no text features in it, which this method starts from; add `text` "
                f"(C, D), or text=FILE; linear-probe needs none"
            )
        found = []
        for text in texts:
            row = self._row(folded(text))
            if row is None:
                raise DataError(f"{name}: no text features for {text!r}")
            found.append(row)
        return torch.stack(found)

    def take_classes_of(self, source: str, stored: StoredParts) -> None:
        """Give the classes of another data set their rows, too.

        Raises:
            DataError: no text features, another width, or another row for a class of this space.
        """
        if self.rows is None:
            return  # nothing is asked for texts
        if stored.text is None or stored.text.shape[1] != self.width:
            held = "none" if stored.text is None else f"{stored.text.shape[1]} wide"
            raise DataError(
                f"{source}: text features are {held}; expected `text`, {self.width} wide"
            )
        for name, row in zip(stored.classnames, stored.text.to(self.device), strict=True):
            known = self._row(folded(name))
            if known is not None and not torch.equal(known, row):
                raise DataError(
                    f"{source}: its class {name!r} has other text features than that of "
                    f"{self.source}; expected one text for both, or two names"
                )
            self.others[folded(name)] = row

    def _row(self, key: str) -> Tensor | None:
        if self.rows is not None and key in self.places:
            return self.rows[self.places[key]]
        return self.others.get(key)


def feature_space(data: str, stored: StoredParts, *, device: torch.device) -> FeatureSpace:
    """The space of some stored features, on a device."""
    places = {folded(name): k for k, name in enumerate(stored.classnames)}
    scale = stored.logit_scale
    notes = [] if scale is not None else ["no `logit_scale`: CLIP's 100 is taken"]
    scale = torch.tensor(100.0) if scale is None else scale.float()
    text = stored.text
    kept = {} if text is None else {"text": text}
    rows = stored_rows(next(iter(stored.parts.values())))
    assert rows is not None
    return FeatureSpace(
        model=None,
        preprocess=_no_picture,
        tokenizer=_no_tokens,
        width=rows.shape[1],
        context_length=0,
        image_size=0,
        digest=state_digest(
            {"classnames": list(stored.classnames), "logit_scale": float(scale)}, kept
        ),
        device=device,
        precision="fp32",
        description={
            "name": "stored features", "weights": data, "preprocess": {},
            "warnings": [*stored.warnings, *notes],
        },
        rows=None if text is None else text.to(device),
        places=places,
        scale=scale,
        source=data,
    )  # fmt: skip


def _no_picture(_image: Image.Image) -> Tensor:
    raise DataError("stored features: no image tower is there to take a picture")


def _no_tokens(_texts: list[str]) -> Tensor:
    raise DataError("stored features: no text tower is there to take a prompt")
