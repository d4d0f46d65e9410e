"""`ncscope inspect`: what a checkpoint is, without a backbone and without running it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ncscope_cli import options
from ncscope_cli.inspect_text import inspection_lines
from ncscope_cli.terminal import answer

if TYPE_CHECKING:
    from ncscope.checkpoint.inspect import Inspection


def inspect(
    checkpoint: Annotated[
        Path,
        typer.Argument(
            metavar="CHECKPOINT", help="A checkpoint, or the folder of its model, seed or run."
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON.")] = False,
    backbone: Annotated[
        str | None,
        typer.Option(metavar="NAME|PATH", help="Recover class names with this model's tokens."),
    ] = None,
    pretrained: options.Pretrained = None,
    trust_backbone: options.TrustBackbone = False,
    method: options.Method = None,
    classnames: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Check the class names against this list, one a line."),
    ] = None,
) -> None:
    """Say what a checkpoint is: method, shapes, classes, settings, and what it needs to run."""
    from ncscope.checkpoint.inspect import (
        inspect as inspect_checkpoint,  # here: it imports torch
    )

    if backbone is None:
        found = inspect_checkpoint(checkpoint, method=method)
    else:
        from ncscope.clip.backbone import load_backbone

        clip = load_backbone(backbone, pretrained=pretrained, trust_backbone=trust_backbone)
        decode = getattr(clip.tokenizer, "decode", None)
        table = clip.model.token_embedding.weight.detach()
        found = inspect_checkpoint(checkpoint, decode=decode, token_embedding=table, method=method)
    part = _part(found, classnames) if classnames is not None else None
    if as_json:
        answer(json.dumps({**found.to_json(), "part_of_list": part}, indent=2))
        return
    for line in inspection_lines(found, part):
        answer(line)


def _part(found: "Inspection", path: Path) -> str:
    from ncscope.checkpoint.class_names import check_class_names
    from ncscope.data.classes import read_classnames
    from ncscope.errors import CheckpointError

    if found.class_names is None:
        raise CheckpointError(
            f"{found.checkpoint.path}: no class names to compare with the list: {found.names_from}"
        )
    return check_class_names(found.class_names, read_classnames(path))
