"""`ncscope tune`: trains a prompt learner, with or without NPT's terms."""

import os
from pathlib import Path
from typing import Annotated

import typer

from ncscope.tuning.recipe import ALL_METHODS, METHODS, ONLY_ON_FEATURES, taken
from ncscope.tuning.recipe_table import help_table
from ncscope_cli import options
from ncscope_cli.terminal import answer, say
from ncscope_cli.tune_progress import tune_progress
from ncscope_cli.tune_table import accuracy_table

_TITLE = """The recipes, which unset options take (SGD momentum 0.9, weight decay 0.0005, a cosine
after an epoch at 1e-5; a new crop of each picture every epoch). * is that of --recipe authors;
values in brackets depend on the data set or the shots. All values, and where each is published:
docs/recipes.md."""
EPILOG = f"\b\n{_TITLE}\n{help_table()}"


def tune(
    method: Annotated[
        str,
        typer.Argument(
            metavar="METHOD",
            help=f"{', '.join(METHODS)}; or a checkpoint to go on from. "
            f"Of features only: {', '.join(ONLY_ON_FEATURES)}.",
        ),
    ],
    data: options.RequiredData,
    out: Annotated[Path, typer.Option(metavar="DIR", help="A new folder for everything written.")],
    split: Annotated[
        str, typer.Option(metavar="base|all", help="Classes to train on; base tests new ones, too.")
    ] = "base",
    shots: Annotated[
        int, typer.Option(min=0, help="Training images of a class at most; 0 takes all there are.")
    ] = 16,
    few_shot: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="CoOp's .pkl or a .json list of the training images."),
    ] = None,
    tau: Annotated[
        float, typer.Option(help="Fewest over most images of a class, exponential; 1 is balanced.")
    ] = 1.0,
    seed: Annotated[
        int,
        typer.Option(min=0, max=options.MOST_SEED, help="Of draws, views, batches and weights."),
    ] = 1,
    class_order: Annotated[
        str, typer.Option(metavar="index|frequency|random", help="From head to tail class.")
    ] = "index",
    recipe: Annotated[
        str,
        typer.Option(
            metavar="authors|authors-fewshot|authors-cross|toy|NAME",
            help="Where unset options come from: the authors' for base-to-new, for few shots of "
            "all classes, for other data sets after ImageNet; or one of those below.",
        ),
    ] = "authors",
    epochs: Annotated[int | None, typer.Option(min=1)] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=0, help="Images of a step; 0 is all at once.")
    ] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate.")] = None,
    optimizer: Annotated[str | None, typer.Option(metavar="sgd|adam|adamw")] = None,
    views: Annotated[
        str | None,
        typer.Option(
            metavar="V|online",
            help="Augmented views of a picture that are kept; 1 is the centre crop, online a new "
            "one every epoch, as the authors have it.",
        ),
    ] = None,
    ctx: Annotated[int | None, typer.Option(min=1, help="Context tokens.")] = None,
    ctx_vision: Annotated[int | None, typer.Option(min=1, help="Image tokens.")] = None,
    ctx_init: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Words the context begins as.")
    ] = None,
    depth: Annotated[int | None, typer.Option(min=1, help="Blocks with own prompts.")] = None,
    csc: Annotated[bool, typer.Option("--csc", help="A context for every class (CoOp).")] = False,
    class_token_position: options.ClassTokenPosition = None,
    prograd_lambda: Annotated[
        float | None, typer.Option(help="Share of the opposing gradient ProGrad takes out.")
    ] = None,
    knowledge_weight: Annotated[
        float | None, typer.Option(help="Of KgCoOp's and TCP's term.")
    ] = None,
    scl_text: Annotated[float | None, typer.Option(help="Of PromptSRC's text term.")] = None,
    scl_image: Annotated[float | None, typer.Option(help="Of PromptSRC's image term.")] = None,
    scl_logits: Annotated[float | None, typer.Option(help="Of PromptSRC's logits term.")] = None,
    gpa_mean: Annotated[
        float | None, typer.Option(help="Mean, in epochs, of PromptSRC's averaging.")
    ] = None,
    gpa_std: Annotated[
        float | None, typer.Option(help="Deviation, in epochs, of PromptSRC's averaging.")
    ] = None,
    residual_scale: Annotated[float | None, typer.Option(help="Of TaskRes.")] = None,
    adapter_ratio: Annotated[
        float | None, typer.Option(help="The adapter's share in CLIP-Adapter's mixture.")
    ] = None,
    rank: Annotated[
        int | None, typer.Option(min=1, help="Of the change that shared-text makes.")
    ] = None,
    alpha: Annotated[
        float | None, typer.Option(help="Weight of Tip-Adapter's cache, before the search.")
    ] = None,
    beta: Annotated[
        float | None, typer.Option(help="Sharpness of Tip-Adapter's cache, before the search.")
    ] = None,
    loss: Annotated[
        str, typer.Option(metavar="ce|balanced|logit-adjusted|balanced-softmax")
    ] = "ce",
    adjustment: Annotated[float, typer.Option(help="Strength of logit-adjusted.")] = 1.0,
    sampler: Annotated[
        str, typer.Option(metavar="plain|balanced", help="balanced: classes equally often.")
    ] = "plain",
    regulariser: Annotated[str, typer.Option(metavar="npt|cpt|none")] = "npt",
    lcd_weight: Annotated[
        float, typer.Option(min=0, help="w1, of language-modality collapse.")
    ] = 0.0,
    lcd_form: Annotated[
        str, typer.Option(metavar="cosine|frobenius|anchored|dispersion|orthogonal")
    ] = "cosine",
    mid_weight: Annotated[
        float, typer.Option(min=0, help="w2, of multi-modality isomorphism.")
    ] = 0.0,
    mid_form: Annotated[
        str,
        typer.Option(
            metavar="push_pull|push_pull_linear|align|dot_regression|frobenius|log|anchored"
        ),
    ] = "push_pull",
    centred: Annotated[
        bool, typer.Option("--centred", help="Both terms on centred features.")
    ] = False,
    anchor: Annotated[
        str, typer.Option(metavar="nearest|fixed", help="ETF that anchored forms pull to.")
    ] = "nearest",
    cpt_clusters: Annotated[int, typer.Option(min=1, help="Of CPT's clustered ETF.")] = 1,
    relative_weights: Annotated[
        bool,
        typer.Option(
            "--relative-weights", help="Weights as shares of cross-entropy's gradient norm."
        ),
    ] = False,
    eval_every: Annotated[
        int, typer.Option(min=0, help="Steps between evaluations; 0: before and after only.")
    ] = 0,
    log_every: Annotated[int, typer.Option(min=0, help="Steps between logged ones; 0: none.")] = 10,
    target: Annotated[
        list[str] | None,
        typer.Option(metavar="DATA", help="Another data set to test on, all classes; repeatable."),
    ] = None,
    test_part: Annotated[
        str, typer.Option(metavar="test|val", help="Images tested on; val to choose settings by.")
    ] = "test",
    accumulate: Annotated[int, typer.Option(min=1, help="Parts to compute a batch in.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    extend: Annotated[
        bool,
        typer.Option(
            "--extend",
            help="With --resume, go on to more --epochs than the run was begun for; those added "
            "take the rates of a cosine of the new length.",
        ),
    ] = False,
    wandb: Annotated[
        str | None, typer.Option(metavar="PROJECT", help="Log to Weights & Biases, if installed.")
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write its files, too.")
    ] = False,
    compile: Annotated[bool, typer.Option("--compile", help="Compile the towers' blocks.")] = False,
    backbone: options.Backbone = "auto",
    pretrained: options.Pretrained = None,
    template: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Of the data set, with one {} in it.")
    ] = None,
    device: options.Device = "auto",
    precision: options.Precision = "fp32",
    workers: options.Workers = None,
    cache: options.Cache = "auto",
    trust_backbone: options.TrustBackbone = False,
    quiet: options.Quiet = False,
) -> None:
    """Train a prompt learner on few shots; test base and new classes before and after."""
    import ncscope  # here, so that --help does not wait for torch

    if not quiet and method in ALL_METHODS and os.environ.get("RANK", "0") == "0":
        found = taken(method, recipe)
        say(f"recipe {found.name}: {found.source}")
    with tune_progress(quiet=quiet) as listener:
        tuned = ncscope.tune(
            method,
            data=data,
            out=out,
            split=split,
            shots=shots or None,
            few_shot=few_shot,
            tau=tau,
            seed=seed,
            class_order=class_order,
            recipe=recipe,
            epochs=epochs,
            batch_size=batch_size,
            lr=lr,
            optimizer=optimizer,
            views=views,
            ctx=ctx,
            ctx_vision=ctx_vision,
            ctx_init=ctx_init,
            depth=depth,
            csc=csc,
            class_token_position=class_token_position,
            prograd_lambda=prograd_lambda,
            knowledge_weight=knowledge_weight,
            scl_text=scl_text,
            scl_image=scl_image,
            scl_logits=scl_logits,
            gpa_mean=gpa_mean,
            gpa_std=gpa_std,
            residual_scale=residual_scale,
            adapter_ratio=adapter_ratio,
            rank=rank,
            alpha=alpha,
            beta=beta,
            loss=loss,
            adjustment=adjustment,
            sampler=sampler,
            regulariser=regulariser,
            lcd_weight=lcd_weight,
            lcd_form=lcd_form,
            mid_weight=mid_weight,
            mid_form=mid_form,
            centred=centred,
            relative_weights=relative_weights,
            anchor=anchor,
            cpt_clusters=cpt_clusters,
            eval_every=eval_every,
            log_every=log_every,
            targets=target or (),
            accumulate=accumulate,
            test_part=test_part,
            resume=resume,
            extend=extend,
            board=tensorboard,
            wandb=wandb,
            compile=compile,
            backbone=backbone,
            pretrained=pretrained,
            template=template,
            device=device,
            precision=precision,
            workers=workers,
            cache=cache,
            trust_backbone=trust_backbone,
            listener=listener,
        )
    if tuned.first:
        for warning in tuned.warnings:
            say(warning)
        answer(accuracy_table(tuned.record, tuned.report.records))
        if not quiet:
            say(f"wrote {out}")
