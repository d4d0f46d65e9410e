"""Reads log.txt, which Dassl writes beside a checkpoint: the configuration and the accuracies.

The log is text anybody may have edited, cut or appended to. It is parsed and no more: what is not
found is None, and nothing in it is executed or looked up.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ncscope.checkpoint.log_sections import Entry, first_value, own_entries
from ncscope.checkpoint.methods import row_of
from ncscope.checkpoint.trainers import method_of
from ncscope.opening import open_regular

_MAX_BYTES = 16 * 2**20  # read at each end of a longer file
_MAX_LINES, _MAX_VALUE = 5000, 300
_MAX_PROMPTS_LINE = 2**20
_START = "** Arguments **"
_LINE = re.compile(r"( *)([A-Z][A-Za-z0-9_]*):(?: (.*))?")  # TRAINER.TaskRes, TRAINER.MMRLpp
_ARGUMENT = re.compile(r"([a-z_]+): ?(.*)")
_LOADED = re.compile(r"(Loading trainer|Loading dataset|Loading CLIP \(backbone): (.*)")
_SPLIT = re.compile(r"[Ee]valuate on the \*(\w+)\* set")
_NUMBER = r"(\d[\d,]{0,15}(?:\.\d{1,15})?)"
_RESULT = re.compile(rf"\* (total|correct|accuracy|macro_f1): {_NUMBER}%?")
_EPOCH = re.compile(r"epoch \[(\d{1,9})/\d{1,9}\]")
_CLASSES = re.compile(r"# classes +(\d{1,9})")
_PER_CLASS = re.compile(r"\* class: (\d{1,9}) \((.*)\)\ttotal: ")
_QUOTED = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"")
_WEIGHTS = re.compile(r'Loading weights to .{1,80} from ".{0,300}" \(epoch = (\d{1,9})\)')
_INITIAL = re.compile(r'Initial context: "(.*)"')


@dataclass(frozen=True)
class Evaluation:
    """One block of results. Percentages as printed."""

    split: str | None
    accuracy: float
    macro_f1: float | None = None
    total: int | None = None
    correct: int | None = None


@dataclass(frozen=True)
class RunLog:
    """What the logs of one run say. `None` where they do not say it.

    `class_token_position` is end, middle or front; `subsample` all, base or new; `transform` is
    current (resize, centre crop) or squash (before October 2021); accuracies are in per cent, over
    `images_tested`, of the model `accuracy_of` (the last epoch's, the best on validation, or one
    that was loaded) and of `accuracy_epoch`. `context_length` is the one in force: where initial
    words set it, N_CTX counts for nothing.
    `settings` are all lines of the configuration, by dotted name (`TRAINER.COOP.N_CTX`).
    """

    trainer: str | None
    backbone: str | None
    dataset: str | None
    subsample: str | None
    shots: int | None
    seed: int | None
    precision: str | None
    context_words: str | None
    context_length: int | None
    vision_context_length: int | None
    class_specific: bool | None
    class_token_position: str | None
    text_depth: int | None
    vision_depth: int | None
    transform: str | None
    max_epoch: int | None
    epochs_logged: int | None
    num_classes: int | None
    class_names: tuple[str, ...] | None
    accuracy: float | None
    macro_f1: float | None
    images_tested: int | None
    accuracy_of: str
    accuracy_epoch: int | None
    evaluations: tuple[Evaluation, ...]
    settings: dict[str, str]
    notes: tuple[str, ...]


def read_runlog(paths: Sequence[Path]) -> RunLog | None:
    """Read the logs of a run, oldest first. None if there is none, or none that says anything.

    Where several runs were appended, the last that trained is taken; the accuracy is that of its
    last evaluation on the test split.
    """
    notes: list[str] = []
    texts = [text for path in paths if (text := _text(path, notes))]
    runs = [run for text in texts for run in _runs(text)]
    if not runs:
        return None
    settings = [settings_of(run) for run in runs]
    trained = [i for i, found in enumerate(settings) if not found.flag("eval_only")]
    chosen = trained[-1] if trained else len(runs) - 1
    if len(runs) > 1:
        notes.append(f"log.txt holds {len(runs)} runs; read number {chosen + 1}")
    return _runlog(runs[chosen], settings[chosen], notes)


def _text(path: Path, notes: list[str]) -> str:
    """The file's text, whatever its encoding; of a very long file its beginning and its end."""
    try:
        with open_regular(path) as file:
            content = file.read(_MAX_BYTES)
            size = path.stat().st_size
            if size > 2 * _MAX_BYTES:
                file.seek(size - _MAX_BYTES)
                notes.append(f"{path.name} is very long; its middle was not read")
                content += b"\n"
            content += file.read(_MAX_BYTES)
    except OSError as error:
        notes.append(f"{path.name} could not be read: {error.strerror}")
        return ""
    wide = content[:2] in (b"\xff\xfe", b"\xfe\xff")
    text = content.decode("utf-16" if wide else "utf-8-sig", errors="replace")
    return text.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n")


def _runs(text: str) -> list[str]:
    """The text cut where a program began: at the stars above its arguments."""
    first, *rest = text.split(_START)
    return rest or [first]


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

    def flag(self, *names: str) -> bool | None:
        """The first value, if it is True or False."""
        return {"True": True, "False": False}.get(self.text(*names) or "")

    def trainer(self) -> str | None:
        return self.text("TRAINER.NAME", "Loading trainer", "trainer")


@dataclass(frozen=True)
class _Own:
    """The settings in the sections of the run's trainer."""

    entries: tuple[Entry, ...]
    usual_words: str
    words_decide: bool

    def text(self, *keys: str) -> str | None:
        return first_value(self.entries, *keys)

    def count(self, *keys: str) -> int | None:
        value = self.text(*keys)
        return int(value) if value is not None and re.fullmatch(r"\d{1,9}", value) else None

    def context_words(self) -> str | None:
        """The words the context began as; True stands for the method's usual ones."""
        words = self.text("CTX_INIT")
        if words in (None, "False", "None"):
            return None
        return self.usual_words if words == "True" else words.strip("'\"").replace("_", " ")

    def context_length(self) -> int | None:
        """The number of initial words where they decide, else what N_CTX says."""
        words = self.context_words()
        if words and self.words_decide:
            return len(words.split())
        return self.count("N_CTX", "N_CTX_TEXT")


def _own(found: Settings) -> _Own:
    trainer = found.trainer()
    row = row_of(method) if trainer and (method := method_of(trainer)) else None
    entries = own_entries(found.values, trainer)
    return _Own(entries, *(("a photo of a", False) if row is None else row.words))


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


def _clean(value: str) -> str:
    """Printable and short: the value may end up on a terminal."""
    kept = "".join(letter if letter.isprintable() else " " for letter in value[:_MAX_VALUE])
    return kept.strip()


def _runlog(run: str, found: Settings, notes: list[str]) -> RunLog | None:
    evaluations = evaluations_of(run)
    if not found.values and not evaluations:
        return None
    tested = [e for e in evaluations if e.split == "test"] or list(evaluations)
    classes = _CLASSES.search(run)
    own = _own(found)
    judged, epoch = tested_model(run, found)
    if not evaluations:
        notes.append("log.txt has no finished evaluation: the run was cut short, or not tested")
    return RunLog(
        trainer=found.trainer(),
        backbone=found.text("MODEL.BACKBONE.NAME", "Loading CLIP (backbone"),
        dataset=found.text("DATASET.NAME", "Loading dataset"),
        subsample=found.text("DATASET.SUBSAMPLE_CLASSES"),
        shots=found.count("DATASET.NUM_SHOTS"),
        seed=found.count("SEED", "seed"),
        precision=own.text("PREC"),
        context_words=own.context_words(),
        context_length=own.context_length(),
        vision_context_length=own.count("N_CTX_VISION"),
        class_specific={"True": True, "False": False}.get(own.text("CSC") or ""),
        class_token_position=own.text("CLASS_TOKEN_POSITION"),
        text_depth=own.count("PROMPT_DEPTH", "PROMPT_DEPTH_TEXT"),
        vision_depth=own.count("PROMPT_DEPTH", "PROMPT_DEPTH_VISION"),
        transform=transform_of(run),
        max_epoch=found.count("OPTIM.MAX_EPOCH"),
        epochs_logged=max((int(match[1]) for match in _EPOCH.finditer(run)), default=None),
        num_classes=int(classes[1]) if classes else None,
        class_names=class_names_of(run),
        accuracy=tested[-1].accuracy if tested else None,
        macro_f1=tested[-1].macro_f1 if tested else None,
        images_tested=tested[-1].total if tested else None,
        accuracy_of=judged,
        accuracy_epoch=epoch,
        evaluations=evaluations,
        settings=found.values,
        notes=tuple(notes),
    )


def tested_model(run: str, found: Settings) -> tuple[str, int | None]:
    """Which model the last test is of: `last`, `best` or `loaded`; and its epoch, if it is said.

    What was loaded before the training began (a base prompt) is not what was tested.
    """
    after = run[max((m.start() for m in _EPOCH.finditer(run)), default=0) :]
    if loaded := _WEIGHTS.findall(after):
        return "loaded", int(loaded[-1])
    if found.flag("eval_only"):
        return "loaded", found.count("load_epoch")
    if found.text("TEST.FINAL_MODEL") == "best_val":
        return "best", None
    return "last", found.count("OPTIM.MAX_EPOCH")


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
    plain = {name: value.replace(",", "") for name, value in values.items()}
    counts = [plain.get(name, "") for name in ("total", "correct")]
    total, correct = (int(c) if re.fullmatch(r"\d{1,12}", c) else None for c in counts)
    macro_f1 = float(plain["macro_f1"]) if "macro_f1" in plain else None
    return Evaluation(split, float(plain["accuracy"]), macro_f1, total, correct)


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


def class_names_of(run: str) -> tuple[str, ...] | None:
    """Class names in label order, from results by class or from the list of initial prompts."""
    lines = [line for line in run.splitlines() if len(line) < 1000]
    by_label = {int(m[1]): m[2] for line in lines if (m := _PER_CLASS.match(line))}
    if by_label and sorted(by_label) == list(range(len(by_label))):
        return _clean_names([by_label[label] for label in range(len(by_label))])
    context = ""
    for line in run.splitlines():
        if match := _INITIAL.fullmatch(line.strip()):
            context = match[1]
        elif context and line.startswith(("['", '["')) and len(line) < _MAX_PROMPTS_LINE:
            prompts = [(m[1] or m[2] or "").replace("\\'", "'") for m in _QUOTED.finditer(line)]
            around = (f"{context} ", ".")
            if all(p.startswith(around[0]) and p.endswith(around[1]) for p in prompts):
                return _clean_names([p[len(around[0]) : -1] for p in prompts])
    return None


def _clean_names(names: list[str]) -> tuple[str, ...] | None:
    """None if one is empty or not printable: such a list is not to be relied on."""
    fit = bool(names) and all(name and name.isprintable() and len(name) < 300 for name in names)
    return tuple(names) if fit else None
