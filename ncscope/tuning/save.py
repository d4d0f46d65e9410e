"""A tuned learner on disk: tensors under the authors' keys, a log as Dassl writes it, an export.

The folder is what the zoo expects of a run, so that every command that takes a checkpoint takes it.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from ncscope.checkpoint.inspect import inspect
from ncscope.checkpoint.methods import sections_of
from ncscope.errors import DataError
from ncscope.tuning.trainee import PUBLISHED, Trainee
from ncscope.writing import make_folder, replacing, write_text

Right = tuple[str, int, int]  # a class: its name, images that are right, all its images
FORMATS = ("dassl",)
_WHOLE = ("maple", "ivlp", "promptsrc")  # their prompts lie under `prompt_learner.`
# Sections of a Dassl configuration
_SECTION = {
    "coop": "COOP",
    "cocoop": "COCOOP",
    "kgcoop": "COOP",
    "prograd": "COOP",
    "vpt": "VPT",
    "ivlp": "IVLP",
    "maple": "MAPLE",
    "promptsrc": "PROMPTSRC",
    "tcp": "COOP",
    "taskres": "TaskRes",
    "clip-adapter": "CLIPADAPTER",
}
# Names under which the authors register their prompts, by the method's published name
_FOLDERS = {
    "CoOp": "prompt_learner",
    "CoCoOp": "prompt_learner",
    "ProGrad": "prompt_learner",
    "KgCoOp": "prompt_learner",
    "TCP": "prompt_learner",
    "TaskRes": "prompt_learner",
    "VPT": "prompt_learner",
    "MaPLe": "MultiModalPromptLearner",
    "IVLP": "VLPromptLearner",
    "PromptSRC": "VLPromptLearner",
    "CLIP-Adapter": "clip_adapter",
}


def checkpoint_tensors(trainee: Trainee) -> dict[str, Tensor]:
    """The learned tensors, and the token ids by which class names can be read again."""
    tensors = {key: value.detach().cpu().clone() for key, value in trainee.trained.items()}
    tensors |= {
        key: value.cpu()
        for key, value in trainee.fixed.items()
        if key == "base_text_features" or key.startswith("tip_adapter.")
    }
    prefix = "prompt_learner." if trainee.method in _WHOLE else ""
    context = tensors.get(f"{prefix}ctx")
    names = trainee.settings.classnames
    if context is not None and names is not None and not trainee.settings.stored:
        stand_in = _stand_in(trainee, context)
        after = trainee.settings.after
        texts = [f"{stand_in} {name.replace('_', ' ')}{after}" for name in names]
        tensors[f"{prefix}tokenized_prompts"] = trainee.backbone.tokenizer(texts).long()
    return {key: value.contiguous() for key, value in tensors.items()}


def _stand_in(trainee: Trainee, context: Tensor) -> str:
    """A word for each vector of the context, and the initial words beyond it that still stand."""
    return " ".join(["X"] * context.shape[-2] + trainee.settings.words.split())


def write_checkpoint(trainee: Trainee, folder: Path) -> Path:
    """Write `checkpoint.safetensors`."""
    path = folder / "checkpoint.safetensors"
    with replacing(path) as temporary:
        # one entry: safetensors writes several in an order that changes from run to run
        save_file(checkpoint_tensors(trainee), temporary, {"format": "pt"})
    return path


def write_dassl_log(
    trainee: Trainee,
    folder: Path,
    *,
    data: str,
    split: str,
    shots: int | None,
    seed: int,
    backbone: str,
    epochs: int,
    correct: Sequence[Right],
) -> Path:
    """Write `log.txt` as Dassl does, as far as readers of such logs look at it.

    Args:
        backbone: its name.
        correct: of each class in label order, as of `right_by_class`.
    """
    right, total = sum(r for _, r, _ in correct), sum(n for _, _, n in correct)
    lines = [
        *_banner("Arguments"),
        f"seed: {seed}",
        f"trainer: {PUBLISHED[trainee.method]}",
        *_banner("Config"),
        *_config(trainee, data=data, split=split, shots=shots, seed=seed, epochs=epochs),
        f"Loading trainer: {PUBLISHED[trainee.method]}",
        f"Loading dataset: {data}",
        "Building transform_test",
        "+ resize the smaller edge to the input size",
        "+ center crop",
        "+ to torch tensor of range [0, 1]",
        "+ normalization",
        f"Loading CLIP (backbone: {backbone})",
        f"# classes  {len(correct)}",
        f"epoch [{epochs}/{epochs}]",
        "Evaluate on the *test* set",
        "=> result",
        f"* total: {total:,}",
        f"* correct: {right:,}",
        f"* accuracy: {100 * right / max(total, 1):.2f}%",
        "=> per-class result",
        *(_class_line(label, *one) for label, one in enumerate(correct)),
    ]
    path = folder / "log.txt"
    write_text(path, "\n".join(lines) + "\n")
    return path


def _config(
    trainee: Trainee, *, data: str, split: str, shots: int | None, seed: int, epochs: int
) -> list[str]:
    context = trainee.trained.get("ctx", trainee.trained.get("prompt_learner.ctx"))
    settings = trainee.settings
    known = {k for part in sections_of(PUBLISHED[trainee.method]) for k in part.keys}
    length = "N_CTX" if "N_CTX" in known else "N_CTX_TEXT"
    said = {
        length: None if context is None else context.shape[-2],
        "CSC": None if context is None else context.ndim == 3,
        "CLASS_TOKEN_POSITION": settings.class_token_position,
        "CTX_INIT": None if context is None or not settings.words else _stand_in(trainee, context),
        "PREC": "fp32",
        "RESIDUAL_SCALE": settings.residual_scale if trainee.method == "taskres" else None,
        "ADAPTER_SCALE": settings.adapter_scale if trainee.method == "clip-adapter" else None,
    }
    return [
        "DATASET:",
        f"  NAME: {data}",
        f"  NUM_SHOTS: {-1 if shots is None else shots}",
        f"  SUBSAMPLE_CLASSES: {split}",
        *(f"  TEMPLATE: {template}" for template in settings.templates[:1]),
        "OPTIM:",
        f"  MAX_EPOCH: {epochs}",
        f"SEED: {seed}",
        "TRAINER:",
        f"  {_SECTION[trainee.method]}:",
        *(f"    {k}: {value}" for k, value in said.items() if value is not None and k in known),
        f"  NAME: {PUBLISHED[trainee.method]}",
    ]


def _banner(title: str) -> list[str]:
    stars = "*" * (len(title) + 6)
    return [stars, f"** {title} **", stars]


def _class_line(label: int, name: str, right: int, total: int) -> str:
    share = 100 * right / max(total, 1)
    return f"* class: {label} ({name})\ttotal: {total:,}\tcorrect: {right:,}\tacc: {share:.1f}%"


def right_by_class(chosen: Tensor, labels: Tensor, classnames: Sequence[str]) -> list[Right]:
    """Name, images that are right, and all images of each class; label -1 does not count.

    `chosen` (N,) is the class that was decided for.
    A list, since two classes may have one name: ImageNet has two of `missile`.
    """
    known = labels >= 0
    hit = (chosen == labels)[known].cpu()
    labels = labels[known].cpu()
    total = torch.bincount(labels, minlength=len(classnames)).tolist()
    right = torch.bincount(labels[hit], minlength=len(classnames)).tolist()
    return list(zip(classnames, right, total, strict=True))


def export(run: str | Path, out: str | Path, *, format: str = "dassl") -> Path:
    """Write `OUT/<registered name>/model.pth.tar-<epoch>` and `OUT/log.txt`; returns the file.

    The authors' `load_model` reads `state_dict` and `epoch` and fills in what is there
    (`strict=False`); towers are not part of the file, so a backbone with changed towers loses them.

    Args:
        run: the folder of a tuned run, or its checkpoint.

    Raises:
        DataError: another format, or a method that has no such layout here.
        CheckpointError: no checkpoint there.
    """
    if format not in FORMATS:
        raise DataError(f"`format` is {format!r}; expected {', '.join(FORMATS)}")
    seen = inspect(run)
    method = (seen.method or "").split(" (")[0]
    if method not in _FOLDERS:
        raise DataError(f"{run}: {seen.method or 'of no known method'}; cannot be exported")
    epoch = (seen.log.max_epoch if seen.log else None) or 1
    target = Path(out) / _FOLDERS[method] / f"model.pth.tar-{epoch}"
    make_folder(target.parent)
    tensors = seen.checkpoint.tensors
    content = {"state_dict": tensors, "epoch": epoch, "optimizer": None, "scheduler": None}
    with replacing(target) as temporary:
        torch.save({**content, "val_result": None}, temporary)
    for log in seen.located.logs[-1:]:
        if log.parent.resolve() != Path(out).resolve():
            shutil.copyfile(log, Path(out) / "log.txt")
    return target
