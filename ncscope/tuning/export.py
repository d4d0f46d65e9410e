"""A tuned run in the layout that the methods' own code loads: Dassl's folders and files."""

import shutil
from pathlib import Path

import torch

from ncscope.checkpoint.zoo_inspect import inspect
from ncscope.errors import DataError
from ncscope.writing import replacing

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
FORMATS = ("dassl",)


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
    target.parent.mkdir(parents=True, exist_ok=True)
    tensors = seen.checkpoint.tensors
    content = {"state_dict": tensors, "epoch": epoch, "optimizer": None, "scheduler": None}
    with replacing(target) as temporary:
        torch.save({**content, "val_result": None}, temporary)
    for log in seen.located.logs[-1:]:
        if log.parent.resolve() != Path(out).resolve():
            shutil.copyfile(log, Path(out) / "log.txt")
    return target
