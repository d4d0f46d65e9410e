"""The recipes as tables: short for `tune --help`, and whole, with their sources, for the docs."""

from collections.abc import Sequence
from typing import Any

from ncscope.tuning.published import PUBLISHED_RECIPES, Published
from ncscope.tuning.recipe import ALL_METHODS, IN_FORCE, MEANT

_SHORT = {
    "lr": "lr", "batch_size": "batch", "epochs": "epochs", "optimizer": "optimizer", "ctx": "ctx",
    "ctx_vision": "image ctx", "depth": "depth",
}  # fmt: skip
# Rows of the whole table: what everybody has, then what single methods have
_ROWS = {
    "epochs": "epochs", "lr": "learning rate", "optimizer": "optimiser", "batch_size": "batch",
    "ctx": "text tokens", "ctx_vision": "image tokens", "depth": "blocks with prompts",
}  # fmt: skip
_OWN: dict[str, tuple[str, ...]] = {
    "kgcoop": ("knowledge_weight",),
    "tcp": ("adam_eps", "knowledge_weight"),
    "prograd": ("prograd_lambda",),
    "promptsrc": ("scl_text", "scl_image", "scl_logits", "gpa_mean", "gpa_std"),
    "taskres": ("adam_eps", "residual_scale"),
    "clip-adapter": ("adapter_ratio",),
    "tip-adapter-f": ("adam_eps", "weight_decay", "alpha", "beta"),
    "shared-text": ("rank",),
}


def help_table() -> str:
    """A line a recipe, its name starred where `authors` means it."""
    rows = [["recipe", *_SHORT.values()]]
    for name, found in PUBLISHED_RECIPES.items():
        changed = {key for change in found.changes for key in change.values}
        star = "*" if IN_FORCE["authors"][found.method] == name else ""
        cells = {key: _shown(getattr(found.recipe, key)) for key in _SHORT}
        marked = [f"[{cell}]" if key in changed else cell for key, cell in cells.items()]
        rows.append([f"{name}{star}", *marked])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)


def document() -> str:
    """Markdown: for every method a table of values, a column a recipe, with sources below."""
    return "\n\n".join(_method(method) for method in ALL_METHODS)


def _method(method: str) -> str:
    named = {name: one for name, one in PUBLISHED_RECIPES.items() if one.method == method}
    rows: list[Sequence[str]] = [["", *(f"`{name}`" for name in named)]]
    rows.append(["---"] * (len(named) + 1))
    rows.append(["for", *(", ".join(one.protocols) or "nothing" for one in named.values())])
    rows.append(["`--recipe`", *(_groups(name, method) for name in named)])
    rows.append(["shots", *(", ".join(map(str, one.shots)) for one in named.values())])
    for key, title in {**_ROWS, **{key: f"`{key}`" for key in _OWN.get(method, ())}}.items():
        rows.append([title, *(_cell(one, key) for one in named.values())])
    rows.insert(
        -len(_OWN.get(method, ())) or len(rows), ["begins as", *map(_begins, named.values())]
    )
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    said = []
    for name, one in named.items():
        said.append(f"* `{name}`: {'; '.join([one.source, *one.notes])}")
    return "\n".join([f"### {method}", "", *lines, "", *said])


def _groups(name: str, method: str) -> str:
    found = []
    for group, named in IN_FORCE.items():
        if named[method] == name:
            meant = MEANT[group] in PUBLISHED_RECIPES[name].protocols
            found.append(group if meant else f"{group} (nothing else is published)")
    return ", ".join(found)


def _cell(found: Published, key: str) -> str:
    """A value, and where it is another."""
    other = [
        f"{_shown(change.values[key])} ({change.when})"
        for change in found.changes
        if key in change.values
    ]
    return "; ".join([_shown(getattr(found.recipe, key)), *other])


def _begins(found: Published) -> str:
    if found.recipe.ctx_pad:
        return "zeros, then the words of its own template"
    if found.recipe.words:
        return f'"{" ".join(found.recipe.words)}"'
    known = {"taskres": "zero", "shared-text": "no change", "linear-probe": "class means",
             "tip-adapter-f": "the training images"}  # fmt: skip
    return known.get(found.method, "at random")


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
