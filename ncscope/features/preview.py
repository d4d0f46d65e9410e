"""The pictures behind image features, at hand while the data set they came from is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, eq=False)
class Preview:
    """The picture of row i of the image features, a `PIL.Image.Image` in RGB.

    `load` loads image j of the data set, `kept` says which j each row is. DataError where the
    file cannot be read any more.
    """

    load: Callable[[int], Any]
    kept: tuple[int, ...]

    def __call__(self, row: int) -> Any:
        return self.load(self.kept[row])
