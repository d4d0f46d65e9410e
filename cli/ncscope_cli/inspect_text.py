"""The text that `ncscope inspect` prints: one thing a row, the longest lists cut short."""

import re
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from ncscope.checkpoint.inspect import Inspection

_COLUMN = 16
_WIDTH = 100
_SHOWN_NAMES = 12
_SHOWN_TENSORS = 40


def inspection_lines(found: "Inspection", part: str | None) -> Iterator[str]:
    """The lines to print; `part` is the part of the user's class list that the names are."""
    yield from _method(found)
    yield from _shapes(found)
    yield from _classes(found, part)
    yield from _run(found)
    yield ""
    yield from _tensors(found.checkpoint.tensors)
    if found.needs:
        yield ""
        yield "needs"
    for need in found.needs:
        value = need.value if need.value is not None else f"give {need.option}"
        yield from _row(f"  {need.what}", f"{value} ({need.origin})", column=26)
    for title, texts in (("warnings", found.warnings), ("notes", found.notes)):
        if texts:
            yield ""
            yield title
        for text in texts:
            yield from textwrap.wrap(text, _WIDTH, initial_indent="  - ", subsequent_indent="    ")


def _method(found: "Inspection") -> Iterator[str]:
    recognition, checkpoint = found.recognition, found.checkpoint
    size = checkpoint.path.stat().st_size
    count = len(checkpoint.tensors)
    yield from _row("file", f"{checkpoint.path}")
    yield from _row("", f"{checkpoint.format}, {_megabytes(size)}, {count} tensors")
    yield from _row("method", _judgement(found))
    others = [name for name in recognition.candidates if name != found.method]
    if others:
        yield from _row("same keys", ", ".join(others))
    if recognition.nearest is not None:
        yield from _row("nearest", recognition.nearest)
        yield from _row("  it lacks", ", ".join(recognition.missing) or "nothing")
        yield from _row("  it has too", _some(recognition.unexplained) or "nothing")


def _judgement(found: "Inspection") -> str:
    if found.method is None:
        return f"unknown: {found.decided_by}"
    return f"{found.method} (by {found.decided_by})"


def _shapes(found: "Inspection") -> Iterator[str]:
    facts = found.facts
    sides = [
        f"{name} {length} tokens, depth {depth or 1}"
        for name, length, depth in (
            ("text", facts.context_length, facts.text_depth),
            ("image", facts.vision_context_length, facts.vision_depth),
        )
        if length is not None
    ]
    if facts.prompt_sets:
        sides.append(f"{facts.prompt_sets} prompts a class")
    if facts.class_specific:
        sides.append("one context for each class")
    if sides:
        yield from _row("prompts", "; ".join(sides))
    widths = [
        f"{name} {width}"
        for name, width in (
            ("text tower", facts.text_width),
            ("image tower", facts.vision_width),
            ("embedding", facts.embed_width),
            ("patch", facts.patch_size),
        )
        if width is not None
    ]
    if widths:
        yield from _row("widths", ", ".join(widths))
    if facts.towers:
        yield from _row("towers", f"{' and '.join(facts.towers)} tower in the file")


def _classes(found: "Inspection", part: str | None) -> Iterator[str]:
    count, names = found.facts.num_classes, found.class_names
    if count is None and names is None:
        return
    subset = f", the {found.subset} classes" if found.subset in ("base", "new") else ""
    yield from _row("classes", f"{len(names.names) if names else count}{subset}")
    if names is None:
        yield from _row("  names", found.names_from)
        return
    yield from _row("  names", f"{_some(names.names, _SHOWN_NAMES)} (from {found.names_from})")
    fixed = " ... ".join(word for word in (names.before, names.after) if word)
    if fixed:
        yield from _row("  fixed words", fixed)
    if part is not None:
        yield from _row("  your list", f"the same names in order: {part} of it")


def _run(found: "Inspection") -> Iterator[str]:
    log, extras = found.log, found.checkpoint.extras
    if extras.get("epoch") is not None:
        yield from _row("epoch", str(extras["epoch"]))
    if log is None:
        yield from _row("log.txt", "none beside the checkpoint or one level above")
        return
    said = [
        f"{name} {value}"
        for name, value in (
            ("trainer", log.trainer),
            ("backbone", log.backbone),
            ("data", log.dataset),
            ("classes", log.subsample),
            ("shots", log.shots),
            ("seed", log.seed),
            ("epochs", log.max_epoch),
            ("precision", log.precision),
            ("position", log.class_token_position),
            ("context", repr(log.context_words) if log.context_words else None),
            ("transform", log.transform),
        )
        if value is not None
    ]
    yield from _row("log.txt", ", ".join(said))
    if log.accuracy is not None:
        macro = f", macro F1 {log.macro_f1} %" if log.macro_f1 is not None else ""
        yield from _row("accuracy", f"{log.accuracy} %{macro} (log.txt)")


def _tensors(tensors: dict[str, "Tensor"]) -> Iterator[str]:
    """Learned tensors, those of one kind in one line; the towers in sums."""
    kinds, towers = dict[tuple[str, str, str], int](), dict[str, list[int]]()
    for key, tensor in tensors.items():
        if tower := _tower(key):
            towers.setdefault(tower, []).append(tensor.numel())
        else:
            name = re.sub(r"(?<=\.)\d+(?=\.|$)", "*", key)
            kind = (name, str(tensor.dtype).removeprefix("torch."), str(tuple(tensor.shape)))
            kinds[kind] = kinds.get(kind, 0) + 1
    shown = list(kinds.items())[:_SHOWN_TENSORS]
    column = max([len(name) for (name, _, _), _ in shown] + [len(t) for t in towers], default=0) + 4
    yield "tensors"
    for (name, dtype, shape), count in shown:
        yield f"  {name:<{column}}{dtype:<10}{shape}" + (f" x {count}" if count > 1 else "")
    if len(kinds) > len(shown):
        yield f"  and {len(kinds) - len(shown)} more kinds"
    for tower, sizes in towers.items():
        yield f"  {tower:<{column}}{len(sizes)} tensors, {sum(sizes):,} values"


def _tower(key: str) -> str | None:
    """The part of a whole model a key belongs to, unless it is a learned prompt in it."""
    if "VPT" in key:
        return None
    marks = ("ZS_image_encoder.", "image_encoder.", "text_encoder.", "model_distill.")
    return next((key[: key.index(mark)] + mark + "*" for mark in marks if mark in key), None)


def _row(name: str, text: str, *, column: int = _COLUMN) -> Iterator[str]:
    lines = textwrap.wrap(text, _WIDTH - column, break_on_hyphens=False) or [""]
    yield f"{name:<{column}}{lines[0]}"
    for line in lines[1:]:
        yield " " * column + line


def _some(names: tuple[str, ...], count: int = 8) -> str:
    return ", ".join(names[:count]) + (f", ... ({len(names)} in all)" if names[count:] else "")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"
