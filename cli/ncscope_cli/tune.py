"""`ncscope tune`: trains a prompt learner, with or without NPT's terms."""

import importlib
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from ncscope.tuning.recipe import ALL_METHODS, METHODS, ONLY_ON_FEATURES, taken
from ncscope.tuning.recipe_table import help_table
from ncscope_cli import options
from ncscope_cli.help import BACKBONE, DATA, METHOD, OUTPUT, RUNNING, SOURCE, TERMS, TRAINING
from ncscope_cli.processes import first, processes
from ncscope_cli.terminal import answer, say
from ncscope_cli.tune_progress import tune_progress
from ncscope_cli.tune_table import accuracy_table
from ncscope_cli.unused import say_unused

_TITLE = """The recipes, which unset options take (SGD momentum 0.9, weight decay 0.0005, a cosine
after an epoch at 1e-5; a new crop of each picture every epoch). * is that of --recipe authors;
values in brackets depend on the data set or the shots. All values, and where each is published:
docs/recipes.md."""
EPILOG = f"""\b
Example:
  ncscope tune coop --data toy:colours --recipe toy --lcd-weight 0.1 --mid-weight 1 --out tuned

\b
{options.DATA_FORMS}

\b
{_TITLE}
{help_table()}"""
# Where Python's name is another one
_RENAMED = {"target": "targets", "tensorboard": "board"}
_data = partial(typer.Option, rich_help_panel=DATA)
_training = partial(typer.Option, rich_help_panel=TRAINING)
_terms = partial(typer.Option, rich_help_panel=TERMS)
_method = partial(typer.Option, rich_help_panel=METHOD)
_output = partial(typer.Option, rich_help_panel=OUTPUT)


def tune(
    method: Annotated[
        str,
        typer.Argument(
            metavar="METHOD",
            rich_help_panel=SOURCE,
            help=f"{', '.join(METHODS)}; or a checkpoint to go on from. "
            f"Of features only: {', '.join(ONLY_ON_FEATURES)}.",
        ),
    ],
    data: options.RequiredData,
    out: Annotated[Path, _output(metavar="DIR", help="A new folder for everything written.")],
    split: Annotated[
        str,
        options.one_of(
            *("base", "all"), group=DATA, help="Classes to train on; base tests new ones, too."
        ),
    ] = "base",
    shots: Annotated[
        int, _data(min=0, help="Training images of a class at most; 0 takes all there are.")
    ] = 16,
    few_shot: Annotated[
        str | None,
        _data(metavar="FILE", help="Images drawn already: CoOp's .pkl, or a .json list."),
    ] = None,
    tau: Annotated[
        float, _data(help="Fewest over most images of a class, exponential; 1 is balanced.")
    ] = 1.0,
    class_order: Annotated[
        str,
        options.one_of("index", "frequency", "random", group=DATA, help="From head to tail class."),
    ] = "index",
    target: Annotated[
        list[str] | None,
        _data(metavar="DATA", help="Another data set to test on, all classes; repeatable."),
    ] = None,
    test_part: Annotated[
        str,
        options.one_of(
            *("test", "val"), group=DATA, help="Images tested on; val to choose settings by."
        ),
    ] = "test",
    recipe: Annotated[
        str,
        options.one_of(
            *("authors", "authors-fewshot", "authors-cross", "toy", "NAME"),
            group=TRAINING,
            help="Where unset options come from: for base-to-new, few shots of all classes, other "
            "data sets; one of those below.",
        ),
    ] = "authors",
    seed: Annotated[
        int, _training(min=0, max=options.MOST_SEED, help="Of draws, views, batches and weights.")
    ] = 1,
    epochs: Annotated[int | None, _training(min=1, help="Passes over the images.")] = None,
    batch_size: Annotated[
        int | None, _training(min=0, help="Images of a step; 0 is all at once.")
    ] = None,
    accumulate: Annotated[int, _training(min=1, help="Parts to compute a batch in.")] = 1,
    lr: Annotated[float | None, _training(help="Learning rate.")] = None,
    optimizer: Annotated[
        str | None, options.one_of("sgd", "adam", "adamw", group=TRAINING, help="What steps.")
    ] = None,
    views: Annotated[
        str | None,
        _training(
            metavar="V|online",
            help="Augmented views kept of a picture; 1: centre crop; online: a new one an epoch.",
        ),
    ] = None,
    loss: Annotated[
        str,
        options.one_of(
            *("ce", "balanced", "logit-adjusted", "balanced-softmax"),
            group=TRAINING,
            help="Cross-entropy, or one of its forms against imbalance.",
        ),
    ] = "ce",
    adjustment: Annotated[float, _training(help="Strength of logit-adjusted.")] = 1.0,
    sampler: Annotated[
        str,
        options.one_of(
            *("plain", "balanced"), group=TRAINING, help="balanced: classes equally often."
        ),
    ] = "plain",
    ctx: Annotated[int | None, _training(min=1, help="Context tokens.")] = None,
    ctx_vision: Annotated[int | None, _training(min=1, help="Image tokens.")] = None,
    ctx_init: Annotated[
        str | None, _training(metavar="TEXT", help="Words the context begins as.")
    ] = None,
    depth: Annotated[int | None, _training(min=1, help="Blocks with own prompts.")] = None,
    regulariser: Annotated[
        str,
        options.one_of(
            *("npt", "cpt", "none"), group=TERMS, help="NPT's two terms, CPT's three, or none."
        ),
    ] = "npt",
    lcd_weight: Annotated[float, _terms(min=0, help="w1, of language-modality collapse.")] = 0.0,
    lcd_form: Annotated[
        str,
        options.one_of(
            *("cosine", "frobenius", "anchored", "dispersion", "orthogonal"),
            group=TERMS,
            help="Which form of it.",
        ),
    ] = "cosine",
    mid_weight: Annotated[float, _terms(min=0, help="w2, of multi-modality isomorphism.")] = 0.0,
    mid_form: Annotated[
        str,
        options.one_of(
            *("push_pull", "push_pull_linear", "align", "dot_regression", "frobenius", "log"),
            *("anchored",),
            group=TERMS,
            help="Which form of it.",
        ),
    ] = "push_pull",
    centred: Annotated[bool, _terms("--centred", help="Both terms on centred features.")] = False,
    relative_weights: Annotated[
        bool, _terms("--relative-weights", help="Weights as shares of cross-entropy's gradient.")
    ] = False,
    anchor: Annotated[
        str,
        options.one_of(
            *("nearest", "fixed"), group=TERMS, help="Simplex that anchored forms pull to."
        ),
    ] = "nearest",
    cpt_clusters: Annotated[int, _terms(min=1, help="Of CPT's clustered simplex.")] = 1,
    backbone: options.Backbone = "auto",
    pretrained: options.Pretrained = None,
    trust_backbone: options.TrustBackbone = False,
    template: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT", rich_help_panel=BACKBONE, help="Of the data set, with one {} in it."
        ),
    ] = None,
    device: options.Device = "auto",
    precision: options.Precision = "fp32",
    workers: options.Workers = None,
    cache: options.Cache = "auto",
    compile: Annotated[
        bool,
        typer.Option("--compile", rich_help_panel=RUNNING, help="Compile the towers' blocks."),
    ] = False,
    resume: Annotated[bool, _output("--resume", help="Go on with the run in --out.")] = False,
    extend: Annotated[
        bool,
        _output("--extend", help="With --resume, to more --epochs than the run was begun for."),
    ] = False,
    eval_every: Annotated[
        int, _output(min=0, help="Steps between evaluations; 0: before and after only.")
    ] = 0,
    log_every: Annotated[int, _output(min=0, help="Steps between logged ones; 0: none.")] = 10,
    tensorboard: Annotated[bool, _output("--tensorboard", help="Write its files, too.")] = False,
    wandb: Annotated[
        str | None, _output(metavar="PROJECT", help="Log to Weights & Biases, if installed.")
    ] = None,
    quiet: options.Quiet = False,
    csc: Annotated[bool, _method("--csc", help="CoOp: a context for every class.")] = False,
    class_token_position: options.ClassTokenPosition = None,
    prograd_lambda: Annotated[
        float | None, _method(help="ProGrad: share of the opposing gradient it takes out.")
    ] = None,
    knowledge_weight: Annotated[
        float | None, _method(help="KgCoOp, TCP: weight of their term.")
    ] = None,
    scl_text: Annotated[float | None, _method(help="PromptSRC: weight of its text term.")] = None,
    scl_image: Annotated[float | None, _method(help="PromptSRC: of its image term.")] = None,
    scl_logits: Annotated[float | None, _method(help="PromptSRC: of its logits term.")] = None,
    gpa_mean: Annotated[
        float | None, _method(help="PromptSRC: mean, in epochs, of its averaging.")
    ] = None,
    gpa_std: Annotated[float | None, _method(help="PromptSRC: deviation, in epochs.")] = None,
    residual_scale: options.ResidualScale = None,
    adapter_ratio: Annotated[
        float | None, _method(help="CLIP-Adapter: the adapter's share in its mixture.")
    ] = None,
    rank: Annotated[int | None, _method(min=1, help="shared-text: rank of its change.")] = None,
    alpha: Annotated[
        float | None, _method(help="Tip-Adapter: weight of its cache, before the search.")
    ] = None,
    beta: Annotated[
        float | None, _method(help="Tip-Adapter: sharpness of its cache, before the search.")
    ] = None,
) -> None:
    """Train a prompt learner on few shots; test base and new classes before and after."""
    said = {_RENAMED.get(name, name): value for name, value in locals().items()}
    import ncscope  # here, so that --help does not wait for torch

    del said["method"], said["quiet"]
    said |= {"shots": shots or None, "targets": target or ()}
    for names, why in _without_effect(said):
        say_unused(names, why)
    if not quiet and method in ALL_METHODS and first():
        found = taken(method, recipe)
        say(f"recipe {found.name}: {found.source}")
    with processes(device) as spread:
        with tune_progress(quiet=quiet or not spread.first) as listener:
            tuned = ncscope.tune(method, **said, listener=listener)
        if not spread.first:
            return
        for warning in tuned.warnings:
            say(warning)
        answer(accuracy_table(tuned.record, tuned.report.records))
        if not quiet:
            say(f"wrote {out}")


def prepare() -> None:
    """Import all that a run may need, and compute nothing: runs are forked from this process."""
    needed = ("ncscope.tuning.tune", "ncscope.toy.images", "ncscope.toy.model", "sklearn.cluster")
    for name in needed:
        importlib.import_module(name)
    from ncscope.clip.installed import clip_tokenizer

    clip_tokenizer(77)  # of CLIP itself, which is kept


def _without_effect(said: Mapping[str, Any]) -> Iterator[tuple[list[str], str]]:
    """Options that nothing reads beside the others, and why; those of methods are refused."""
    npt, cpt = said["regulariser"] == "npt", said["regulariser"] == "cpt"
    lcd, mid = npt and said["lcd_weight"] > 0, npt and said["mid_weight"] > 0
    if not npt:
        weights = ["lcd_weight", "lcd_form", "mid_weight", "mid_form", "centred", "anchor"]
        yield weights, f"with --regulariser {said['regulariser']}"
    else:
        if not lcd:
            yield ["lcd_form"], "without --lcd-weight"
        if not mid:
            yield ["mid_form"], "without --mid-weight"
        if not (lcd or mid):
            yield ["centred"], "without --lcd-weight or --mid-weight"
        forms = [said[f"{name}_form"] for name, on in (("lcd", lcd), ("mid", mid)) if on]
        if "anchored" not in forms:
            yield ["anchor"], "without a form that is anchored"
    if not (cpt or lcd or mid):
        yield ["relative_weights"], "without a term to weigh"
    if not cpt:
        yield ["cpt_clusters"], "without --regulariser cpt"
    if said["loss"] != "logit-adjusted":
        yield ["adjustment"], "without --loss logit-adjusted"
    if said["tau"] == 1:
        yield ["class_order"], "where --tau is 1"
