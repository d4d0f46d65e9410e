"""How `--help` is laid out: options in groups, in one order over all verbs; summaries uncut."""

import importlib
import re
from typing import Any

import typer
from typer.core import TyperGroup

from ncscope_cli.unused import Verb

SOURCE, DATA, BACKBONE = "Source", "Data", "Backbone"
TRAINING, TERMS, MEASURES = "Training", "Terms of the loss", "Measures"
RUNNING, OUTPUT, METHOD = "Running", "Output", "Of single methods"
_ORDER = (SOURCE, DATA, BACKBONE, TRAINING, TERMS, MEASURES, RUNNING, OUTPUT, METHOD)

# What each verb is for, said here so that `ncscope --help` imports none of them
VERBS = {
    "analyze": "Measure neural collapse of features or checkpoints: a verdict, numbers, a report.",
    "extract": "Encode images and class names with a CLIP or a checkpoint into a feature file.",
    "compare": "Many runs in tables: paired tests, and which measures go with accuracy.",
    "inspect": "Say what a checkpoint is: method, shapes, classes, settings, what it needs.",
    "tune": "Train a prompt learner on few shots, with or without NPT's terms; test it.",
    "sweep": "Do a grid of tuning runs, resumable, here or on a SLURM cluster.",
    "export": "Write a tuned run as the methods' own code loads it.",
    "demo": "The whole of it on the embedded toy world: offline, no arguments, a minute.",
}
_RANGE = r"(; )?(\d+<=x(<=\d+)?|x[<>]=?[\d.]+)"
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class Grouped(Verb):
    """A command whose help has its options in their groups."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            if (record := parameter.get_help_record(ctx)) is not None:
                groups.setdefault(_group(parameter), []).append(_plain(*record))
        for title in sorted(groups, key=_ORDER.index):
            with formatter.section(title):
                formatter.write_dl(groups[title], col_max=34)


def _group(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return SOURCE
    return getattr(parameter, "rich_help_panel", None) or OUTPUT  # --help itself has none


def _plain(name: str, help: str) -> tuple[str, str]:
    """A row without the parser's words: N for an integer, X for a number, no open ranges."""
    name = re.sub(r" <int( range)?>", " N", re.sub(r" <float( range)?>", " X", name))
    name = re.sub(r" <[^>|]*>", "", re.sub(r"<(\S*\|\S*)>", r"\1", name))
    return name, re.sub(r"  \[\]", "", re.sub(_RANGE, "", help))


class Verbs(TyperGroup):
    """The verbs, each in a module of its name that is imported when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"ncscope_cli.{cmd_name}")
        alone = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings=CONTEXT)
        alone.command(
            cmd_name, cls=getattr(module, "COMMAND", Grouped), epilog=module.EPILOG,
            short_help=VERBS[cmd_name],
        )(getattr(module, cmd_name))  # fmt: skip
        return typer.main.get_command(alone)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))
