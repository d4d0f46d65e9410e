"""Tunes a prompt learner, with or without NPT's terms, and measures it before and after."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import fields
from pathlib import Path

from ncscope.clip.backbone import Backbone
from ncscope.errors import DataError
from ncscope.features.cache import cache_folder
from ncscope.features.processes import Spread, exchanged, joined
from ncscope.tuning.data import Data, Machine, named_data
from ncscope.tuning.lock import sole_owner
from ncscope.tuning.log import tensorboard, weights_and_biases
from ncscope.tuning.options import TuneOptions
from ncscope.tuning.plan import make_plan
from ncscope.tuning.run import Tuned, finish, start
from ncscope.tuning.state import Listener
from ncscope.tuning.state_file import kept_states
from ncscope.tuning.train import train
from ncscope.writing import make_folder
from ncscope.zoo.settings import LearnerOptions


def tune(
    method: str,
    *,
    data: Data,
    out: str | Path | None = None,
    split: str = "base",
    shots: int | None = 16,
    few_shot: str | Path | None = None,
    tau: float = 1.0,
    seed: int = 1,
    class_order: str = "index",
    recipe: str = "authors",
    epochs: int | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    optimizer: str | None = None,
    views: int | str | None = None,
    ctx: int | None = None,
    ctx_vision: int | None = None,
    ctx_init: str | None = None,
    depth: int | None = None,
    csc: bool = False,
    class_token_position: str | None = None,
    prograd_lambda: float | None = None,
    knowledge_weight: float | None = None,
    scl_text: float | None = None,
    scl_image: float | None = None,
    scl_logits: float | None = None,
    gpa_mean: float | None = None,
    gpa_std: float | None = None,
    residual_scale: float | None = None,
    adapter_ratio: float | None = None,
    rank: int | None = None,
    alpha: float | None = None,
    beta: float | None = None,
    loss: str = "ce",
    adjustment: float = 1.0,
    sampler: str = "plain",
    regulariser: str = "npt",
    lcd_weight: float = 0.0,
    lcd_form: str = "cosine",
    mid_weight: float = 0.0,
    mid_form: str = "push_pull",
    centred: bool = False,
    relative_weights: bool = False,
    cpt_weights: tuple[float, float, float] = (0.25, 0.15, 0.10),
    cpt_clusters: int = 1,
    anchor: str = "nearest",
    accumulate: int = 1,
    test_part: str = "test",
    eval_every: int = 0,
    log_every: int = 10,
    targets: Sequence[str] = (),
    resume: bool = False,
    extend: bool = False,
    backbone: str | Path | Backbone = "auto",
    pretrained: str | None = None,
    template: str | None = None,
    device: str = "auto",
    precision: str = "fp32",
    workers: int | None = None,
    cache: str | Path | None = "auto",
    trust_backbone: bool = False,
    compile: bool = False,
    board: bool = False,
    wandb: str | None = None,
    bootstrap: int | None = 0,
    listener: Listener | None = None,
    options: LearnerOptions | None = None,
) -> Tuned:
    """Train a prompt learner on few shots and measure it on base and new classes.

    Args:
        method: coop, cocoop, kgcoop, prograd, vpt, ivlp, maple, promptsrc, tcp, taskres or
            clip-adapter; or a checkpoint of one of them, to go on from.
        data: as for `extract`; training images are its part `train`, test images its part `test`.
            Objects by part, `{"train": ..., "test": ...}` and maybe `"val"`, as a Hugging Face
            `DatasetDict` is; records call them by the name of the training images.
        out: a folder for checkpoint.safetensors, log.jsonl, metrics.json, config.json, log.txt,
            trajectory.safetensors and the state; None writes nothing.
        split: classes to train on: `base` (then new ones are tested, too) or `all`.
        shots, tau, seed, class_order: as for `ncscope.data.draw.draw_training`.
        few_shot: a list of images drawn already, as of `ncscope.data.fewshot_file`, in place of
            `shots`; `tau` and `split` cut it as they cut a draw.
        recipe: `authors` (base-to-new), `authors-fewshot`, `authors-cross` (to other data sets and
            domains), one of the authors' by its own name as in docs/recipes.md, or `toy`, measured
            for the embedded toy. What is None below takes the recipe's value.
        epochs, batch_size, lr, optimizer, views, ctx, ctx_vision, ctx_init, depth, csc,
            class_token_position, prograd_lambda, knowledge_weight, scl_text, scl_image,
            scl_logits, gpa_mean, gpa_std, residual_scale, adapter_ratio, rank, alpha, beta: see
            `ncscope.tuning.values.Recipe`.
        loss, adjustment: see `ncscope.tuning.losses`; sampler: `plain` or `balanced`.
        regulariser, lcd_weight, lcd_form, mid_weight, mid_form, centred, relative_weights,
            cpt_weights, cpt_clusters, anchor: see `ncscope.tuning.objective.Objective`.
        accumulate: parts that a batch is computed in.
        test_part: `test`, or `val` to choose settings by.
        eval_every, log_every: steps between evaluations and between logged steps; 0 is never.
        targets: more data sets to test on, with all their classes, after training.
        resume: go on from the last state in `out`.
        extend: with `resume`, to more epochs than the run was begun for; the epochs that are added
            take the learning rates of a run of the new length.
        compile: compile the towers' blocks; board: write TensorBoard's files into `out`;
            wandb: a project of Weights & Biases to log to, where that is installed.
        bootstrap: replicates for the intervals of the report.
        listener: called with every event of the log.
        options: what a checkpoint may not tell.

    Raises:
        BackboneError, CheckpointError, DataError: what is named does not exist or fit.
        NcscopeError: training diverged; the last good state is kept.
    """
    said = dict(locals())
    name, given = named_data(data)
    said |= {"method": str(method), "data": name}
    said["few_shot"] = None if few_shot is None else str(few_shot)
    names = {field.name for field in fields(TuneOptions)} - {"label"}  # that only a sweep has
    chosen = TuneOptions(**{name: said[name] for name in names})
    machine = Machine(
        backbone=backbone,
        pretrained=pretrained,
        template=template,
        device=device,
        workers=workers,
        cache=cache_folder(cache),
        trust_backbone=trust_backbone,
        compiled=compile,
    )
    folder = None if out is None else Path(out)
    if extend and not resume:
        raise DataError("`extend` needs `resume`: it goes on with the run in `out`")
    _check_folder(folder, resume=resume)
    with joined(device) as spread, _sole_owner(folder, spread):
        _check_folder(folder, resume=resume)  # since then another may have done the run
        learner = options or LearnerOptions()
        plan = make_plan(chosen, machine, spread=spread, learner=learner, given=given)
        started = start(
            chosen,
            plan,
            machine,
            targets=targets,
            folder=folder,
            bootstrap=bootstrap,
            resume=resume,
            extend=extend,
        )
        project = wandb if spread.first else None
        with (
            tensorboard(folder, wanted=board and spread.first) as writer,
            weights_and_biases(project, started.config) as sender,
        ):
            run = started.run(
                eval_every=eval_every,
                log_every=log_every,
                listener=_all(writer, sender, listener),
                resume=resume,
            )
            trained = train(run)
        return finish(started, trained)


@contextmanager
def _sole_owner(folder: Path | None, spread: Spread) -> Iterator[None]:
    """Have the folder alone; of several processes the first one has it for all.

    Raises:
        DataError: another process, or set of them, has it.
    """
    with ExitStack() as held:
        if folder is not None and spread.first:
            held.enter_context(sole_owner(folder))
        exchanged(None, spread)  # the others wait for it
        yield


def _check_folder(folder: Path | None, *, resume: bool) -> None:
    """Refuse a folder that holds a run, unless it is to be resumed.

    Raises:
        DataError: what is in it would be lost.
    """
    if folder is None:
        if resume:
            raise DataError("`resume` needs `out`, the folder of the run to go on with")
        return
    if not resume and (kept_states(folder) or (folder / "log.jsonl").exists()):
        raise DataError(f"{folder}: holds a run; go on with it by --resume, or name another --out")
    make_folder(folder)


def _all(*listeners: Listener | None) -> Listener | None:
    wanted = [listener for listener in listeners if listener is not None]
    if not wanted:
        return None
    return lambda event: [listener(event) for listener in wanted]
