"""What a Dassl log says below its configuration: transform, classes, epochs and accuracies."""

import re
from dataclasses import dataclass

_SPLIT = re.compile(r"[Ee]valuate on the \*(\w+)\* set")
_NUMBER = r"(\d[\d,]{0,15}(?:\.\d{1,15})?)"
_RESULT = re.compile(rf"\* (total|correct|accuracy|macro_f1): {_NUMBER}%?")
_EPOCH = re.compile(r"epoch \[(\d{1,9})/\d{1,9}\]")
_CLASSES = re.compile(r"# classes +(\d{1,9})")
_PER_CLASS = re.compile(r"\* class: (\d{1,9}) \((.*)\)\ttotal: ")
_QUOTED = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"")
_INITIAL = re.compile(r'Initial context: "(.*)"')
_MAX_PROMPTS_LINE = 2**20


@dataclass(frozen=True)
class Evaluation:
    """One block of results. Percentages as printed."""

    split: str | None
    accuracy: float
    macro_f1: float | None = None
    total: int | None = None
    correct: int | None = None


def evaluations_of(run: str) -> tuple[Evaluation, ...]:
    """Every finished evaluation, in order; a block cut off before its accuracy is none."""
    split, found, values = None, list[Evaluation](), dict[str, str]()

    def close() -> None:
        if "accuracy" in values:
            found.append(_evaluation(split, values))
        values.clear()

    for line in run.splitlines():
        line = line.strip()
        if match := _SPLIT.search(line):
            close()
            split = match[1]
        elif line.startswith("=> result"):
            close()
        elif match := _RESULT.fullmatch(line):
            values.setdefault(match[1], match[2])
    close()
    return tuple(found)


def _evaluation(split: str | None, values: dict[str, str]) -> Evaluation:
    total, correct = (_count(values.get(name)) for name in ("total", "correct"))
    accuracy = float(values["accuracy"].replace(",", ""))
    macro_f1 = float(values["macro_f1"].replace(",", "")) if "macro_f1" in values else None
    return Evaluation(split, accuracy, macro_f1, total, correct)


def _count(value: str | None) -> int | None:
    digits = (value or "").replace(",", "")
    return int(digits) if re.fullmatch(r"\d{1,12}", digits) else None


def transform_of(run: str) -> str | None:
    """ "current" (resize the shorter edge, centre crop) or "squash" (to the square, no crop)."""
    _, found, rest = run.partition("Building transform_test")
    steps = []
    for line in rest.splitlines()[1:] if found else []:
        if not line.startswith("+"):
            break
        steps.append(line)
    if any("resize the smaller edge" in step for step in steps):
        return "current" if any("center crop" in step for step in steps) else None
    return "squash" if any(re.match(r"\+ resize to \d+x\d+", step) for step in steps) else None


def epochs_of(run: str) -> int | None:
    """The highest epoch that the training printed."""
    epochs = [int(match[1]) for match in _EPOCH.finditer(run)]
    return max(epochs) if epochs else None


def num_classes_of(run: str) -> int | None:
    match = _CLASSES.search(run)
    return int(match[1]) if match else None


def class_names_of(run: str) -> tuple[str, ...] | None:
    """Class names in label order, from results by class or from the list of initial prompts."""
    lines = [line for line in run.splitlines() if len(line) < 1000]
    by_label = {int(m[1]): m[2] for line in lines if (m := _PER_CLASS.match(line))}
    if by_label and sorted(by_label) == list(range(len(by_label))):
        return _clean([by_label[label] for label in range(len(by_label))])
    context = ""
    for line in run.splitlines():
        if match := _INITIAL.fullmatch(line.strip()):
            context = match[1]
        elif context and line.startswith(("['", '["')) and len(line) < _MAX_PROMPTS_LINE:
            prompts = [(m[1] or m[2] or "").replace("\\'", "'") for m in _QUOTED.finditer(line)]
            around = (f"{context} ", ".")
            if all(p.startswith(around[0]) and p.endswith(around[1]) for p in prompts):
                return _clean([p[len(around[0]) : -1] for p in prompts])
    return None


def _clean(names: list[str]) -> tuple[str, ...] | None:
    """None if one is empty or not printable: such a list is not to be relied on."""
    fit = bool(names) and all(name and name.isprintable() and len(name) < 300 for name in names)
    return tuple(names) if fit else None
