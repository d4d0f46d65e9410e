"""`ncscope inspect`: what a checkpoint is, without a backbone and without running it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ncscope_cli import options
from ncscope_cli.help import BACKBONE, DATA, SOURCE
from ncscope_cli.inspect_table import Inspected, table_lines
from ncscope_cli.inspect_text import inspection_lines
from ncscope_cli.terminal import answer, say
from ncscope_cli.unused import say_unused

EPILOG = """\b
Examples:
  ncscope inspect output/imagenet/CoOp/vit_b16_16shots/seed1
  ncscope inspect output --json"""

if TYPE_CHECKING:
    from ncscope.checkpoint.inspect import Inspection


def inspect(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            metavar="CHECKPOINT",
            rich_help_panel=SOURCE,
            help="A checkpoint, the folder of its model, seed or run, or a folder with several "
            "runs at any depth: a table.",
        ),
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="Everything, as JSON; of several runs a list.")
    ] = False,
    backbone: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|PATH",
            rich_help_panel=BACKBONE,
            help="Recover class names with this model's tokens.",
        ),
    ] = None,
    pretrained: options.Pretrained = None,
    trust_backbone: options.TrustBackbone = False,
    method: options.Method = None,
    load_epoch: options.LoadEpoch = None,
    classnames: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=DATA,
            help="Check the class names against this list, one a line.",
        ),
    ] = None,
) -> None:
    """Say what a checkpoint is: method, shapes, classes, settings, and what it needs to run."""
    from ncscope.checkpoint.inspect import (
        inspect as inspect_checkpoint,  # here: it imports torch
    )
    from ncscope.checkpoint.runs import find_runs

    known: dict[str, Any] = {}
    if backbone is None:
        say_unused(["pretrained", "trust_backbone"], "without --backbone")
    if backbone is not None:
        from ncscope.clip.backbone import load_backbone

        clip = load_backbone(backbone, pretrained=pretrained, trust_backbone=trust_backbone)
        known = {
            "decode": getattr(clip.tokenizer, "decode", None),
            "token_embedding": clip.model.token_embedding.weight.detach(),
        }

    def look(path: Path) -> tuple["Inspection", str | None]:
        found = inspect_checkpoint(path, method=method, epoch=load_epoch, **known)
        return found, None if classnames is None else _part(found, classnames)

    runs = find_runs(checkpoint)
    if len(runs.paths) > 1:
        _several(checkpoint, runs.paths, look, runs.notes, as_json=as_json)
        return
    found, part = look(checkpoint)
    if as_json:
        answer(json.dumps({**found.to_json(), "part_of_list": part}, indent=2))
        return
    for line in inspection_lines(found, part):
        answer(line)
    for note in runs.notes:
        say(note)


def _several(
    top: Path,
    paths: tuple[Path, ...],
    look: Callable[[Path], tuple["Inspection", str | None]],
    notes: tuple[str, ...],
    *,
    as_json: bool,
) -> None:
    """A row a run; those that cannot be read are named on stderr, and the exit status is 1."""
    from ncscope.checkpoint.run_facts import run_facts
    from ncscope.checkpoint.runs import run_name
    from ncscope.errors import NcscopeError

    found: list[Inspected] = []
    for path in paths:
        name = run_name(path, top)
        try:
            seen, part = look(path)
        except NcscopeError as error:
            found.append(Inspected(name, str(path), reason=str(error)))
            continue
        whole = {**seen.to_json(), "part_of_list": part} if as_json else None
        found.append(Inspected(name, str(path), run_facts(seen), whole))
    if as_json:
        keys = next((one.whole for one in found if one.whole is not None), {})
        listed = [
            {**dict.fromkeys(keys), "path": one.path, **(one.whole or {}), "error": one.reason}
            for one in found
        ]
        answer(json.dumps(listed, indent=2))
    else:
        for line in table_lines(found, notes):
            answer(line)
    bad = [one for one in found if one.reason is not None]
    for one in bad:
        say(f"{one.name} cannot be read: {one.reason}")
    if bad:
        say(f"{len(bad)} of {len(found)} runs cannot be read")
        raise typer.Exit(1)


def _part(found: "Inspection", path: Path) -> str:
    from ncscope.checkpoint.class_names import check_class_names
    from ncscope.data.classes import read_classnames
    from ncscope.errors import CheckpointError

    if found.class_names is None:
        raise CheckpointError(
            f"{found.checkpoint.path}: no class names to compare with the list: {found.names_from}"
        )
    return check_class_names(found.class_names, read_classnames(path))
