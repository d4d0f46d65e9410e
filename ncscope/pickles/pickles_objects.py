"""What stands for the classes that a pickle names and for their objects."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, eq=False)
class Name:
    """A class or function the file names, as text. It is never looked up."""

    text: str


@dataclass(frozen=True, eq=False)
class Opaque:
    """Stands where the file wants an object of a class that is not read."""

    name: str


@dataclass(eq=False)
class Record:
    """An object of a class the reader asked for by its last name, as plain attributes."""

    attributes: dict[Any, Any] = field(default_factory=dict)
