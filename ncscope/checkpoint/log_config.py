"""The configuration printed at the top of a Dassl log: an indented dump of names and values."""

import re
from dataclasses import dataclass

_LINE = re.compile(r"( *)([A-Z][A-Za-z0-9_]*):(?: (.*))?")  # TRAINER.TaskRes, TRAINER.MMRLpp
_ARGUMENT = re.compile(r"([a-z_]+): ?(.*)")
_LOADED = re.compile(r"(Loading trainer|Loading dataset|Loading CLIP \(backbone): (.*)")
_MAX_VALUE = 300
_MAX_LINES = 5000
# Trainers whose authors kept CoOp's section for their own settings
_USE_COOP = ("prograd", "tcp", "dekg", "nemesis", "textrefiner")


@dataclass(frozen=True)
class Settings:
    """Values by dotted name, as printed; arguments of the program have lower-case names."""

    values: dict[str, str]

    def text(self, *names: str) -> str | None:
        """The first of these names that has a value."""
        return next((value for name in names if (value := self.values.get(name))), None)

    def count(self, *names: str) -> int | None:
        """The first value, if it is a count; Dassl's -1 for "not set" is none."""
        value = self.text(*names)
        return int(value) if value is not None and re.fullmatch(r"\d{1,9}", value) else None

    def flag(self, name: str) -> bool | None:
        return {"True": True, "False": False}.get(self.values.get(name, ""))

    def of_trainer(self, *names: str) -> str | None:
        """The value in the section of the run's trainer; the other sections are defaults."""
        section = self.section()
        return self.text(*(f"TRAINER.{section}.{name}" for name in names)) if section else None

    def count_of_trainer(self, *names: str) -> int | None:
        value = self.of_trainer(*names)
        return int(value) if value is not None and re.fullmatch(r"\d{1,9}", value) else None

    def flag_of_trainer(self, name: str) -> bool | None:
        return {"True": True, "False": False}.get(self.of_trainer(name) or "")

    def context_words(self) -> str | None:
        """The words the context began as; True is KgCoOp's way to say "a photo of a"."""
        words = self.of_trainer("CTX_INIT")
        if words in (None, "False", "None"):
            return None
        return "a photo of a" if words == "True" else words.strip("'\"").replace("_", " ")

    def section(self) -> str | None:
        """The longest section name inside the trainer's name: COCOOP, not COOP, for CoCoOp."""
        trainer = _folded(self.text("TRAINER.NAME", "trainer") or "")
        names = [name.split(".") for name in self.values if name.startswith("TRAINER.")]
        sections = {parts[1] for parts in names if len(parts) > 2}
        inside = [section for section in sections if _folded(section) in trainer]
        if not inside and any(name in trainer for name in _USE_COOP):
            inside = ["COOP"]
        return max(inside, key=len) if inside else None


def settings_of(run: str) -> Settings:
    """Read the arguments, the configuration and the `Loading ...` lines of one run's text."""
    head, _, rest = run.partition("** Config **")
    values: dict[str, str] = {}
    for line in head.splitlines()[:_MAX_LINES]:
        if match := _ARGUMENT.fullmatch(line.strip()):
            values.setdefault(match[1], _clean(match[2]))
    values.update(_config_lines(rest))
    for match in _LOADED.finditer(run):
        values.setdefault(match[1], _clean(match[2].rstrip(")")))
    return Settings(values)


def _config_lines(text: str) -> dict[str, str]:
    """Dotted names from the indentation; ends at the first line that is no setting."""
    values: dict[str, str] = {}
    parents: list[tuple[int, str]] = []
    for line in text.splitlines()[:_MAX_LINES]:
        if not line.strip("* "):
            continue
        match = _LINE.fullmatch(line.rstrip().replace("\t", "  "))
        if match is None:
            break
        indent, name, value = len(match[1]), match[2], match[3]
        while parents and parents[-1][0] >= indent:
            parents.pop()
        dotted = ".".join([*(parent for _, parent in parents[-8:]), name])
        if value is None:
            parents.append((indent, name))
        values[dotted] = _clean(value or "")
    return values


def _folded(name: str) -> str:
    return re.sub(r"[^a-z0-9+]", "", name.lower())


def _clean(value: str) -> str:
    """Printable and short: the value may end up on a terminal."""
    kept = "".join(letter if letter.isprintable() else " " for letter in value[:_MAX_VALUE])
    return kept.strip()
