"""Writes checkpoints and run folders as Dassl, CLIP-LoRA and LIFT write them, around given tensors.

The optimiser's and scheduler's live objects are in the files, on storages tagged `cuda:0`, as in
real ones. For tests of whatever reads such files.
"""

import json
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor


def save_dassl(
    path: Path,
    state: dict[str, Tensor],
    *,
    epoch: int = 50,
    zipped: bool = True,
    val_result: float | None = None,
    module: bool = False,
    live: bool = True,
    **others: Any,
) -> Path:
    """Write what Dassl's `save_checkpoint` writes; `others` are further top-level entries."""
    path.parent.mkdir(parents=True, exist_ok=True)
    named = {f"module.{key}" if module else key: value for key, value in state.items()}
    blob: dict[str, Any] = {
        "state_dict": OrderedDict(named),
        "epoch": epoch,
        "optimizer": None,
        "scheduler": None,
        "val_result": val_result,
        **others,
    }
    blob["state_dict"]._metadata = OrderedDict({"": {"version": 1}})
    if live:
        blob["optimizer"], blob["scheduler"] = _live_objects(state)
    save_on_cuda(blob, path, zipped=zipped)
    return path


def save_on_cuda(blob: object, path: Path, *, zipped: bool = True) -> None:
    """torch.save with every storage tagged `cuda:0`, as after training on a GPU."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.serialization, "location_tag", lambda _: "cuda:0")
        torch.save(blob, path, _use_new_zipfile_serialization=zipped)


def _live_objects(state: dict[str, Tensor]) -> tuple[dict[str, Any], dict[str, Any]]:
    """An SGD state and a warm-up scheduler's, which holds its successor as a live object."""
    learned = [key for key in state if key.endswith("ctx")] or list(state)[:1]
    parameters = [torch.nn.Parameter(state[key].float()) for key in learned]
    optimiser = torch.optim.SGD(parameters, lr=0.002, momentum=0.9)
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    optimiser.step()
    successor = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, 50)
    scheduler = {
        "successor": successor,
        "warmup_epoch": 1,
        "base_lrs": [0.002],
        "last_epoch": 50,
        "verbose": False,
        "cons_lr": 1e-05,
        "_step_count": 51,
        "_last_lr": [1e-06],
    }
    return optimiser.state_dict(), scheduler


def save_lora(
    path: Path, flat: dict[str, Tensor], *, rank: int = 2, alpha: int = 1, **others: Any
) -> Path:
    """Write CLIP-LoRA's `lora_weights.pt` from the dotted keys of `learner_states.clip_lora`."""
    usual = {"encoder": "both", "params": ["q", "k", "v"], "position": "all"}
    metadata = {"r": rank, "alpha": alpha, **usual, **others}
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({**nested(flat), "metadata": metadata}, path)
    return path


def save_peft(folder: Path, state: dict[str, Tensor], *, rank: int = 2, **config: Any) -> Path:
    """Write an adapter's folder as PEFT does; `config` is more of its `adapter_config.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    written = {"peft_type": "LORA", "r": rank, "lora_alpha": 3, "target_modules": ["q_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps({**written, **config}))
    save_file(state, folder / "adapter_model.safetensors")
    return folder


def nested(flat: dict[str, Tensor]) -> dict[str, Any]:
    """Dictionaries in dictionaries from dotted keys; the last two parts of `head.weight` split."""
    tree: dict[str, Any] = {}
    for key, value in flat.items():
        *folders, name = key.split(".")
        place = tree
        for folder in folders:
            place = place.setdefault(folder, {})
        place[name] = value
    return tree


def save_lift(path: Path, flat: dict[str, Tensor]) -> Path:
    """Write LIFT's checkpoint: a tuner's and a head's state dict side by side."""
    parts = {
        part: {k.removeprefix(f"{part}."): v for k, v in flat.items() if k.startswith(f"{part}.")}
        for part in ("tuner", "head")
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(parts, path)
    return path


def save_run(
    folder: Path,
    state: dict[str, Tensor],
    *,
    model: str = "prompt_learner",
    epoch: int = 50,
    log: str | None = None,
) -> Path:
    """Write one seed's output folder: the model's folder, its `checkpoint` file, and log.txt."""
    path = save_dassl(folder / model / f"model.pth.tar-{epoch}", state, epoch=epoch)
    (folder / model / "checkpoint").write_text(f"{path.name}\n")
    if log is not None:
        (folder / "log.txt").write_text(log)
    return path


def _defined(section: str) -> tuple[str, ...]:
    """Which of CoOp's keys the authors' train.py defines in a section."""
    if section.upper() in ("MMRL", "MMRLPP", "MMADAPTER", "LWEIB"):
        return ("PREC",)
    if section.upper() in ("IVLP", "PROMPTSRC", "PROMETAR", "PROMPTKD", "VPT", "TAC"):
        return ("CTX_INIT", "PREC")
    if section.upper() in ("COCOOP", "MAPLE", "COPROMPT", "HICROPL"):
        return ("CTX_INIT", "N_CTX", "PREC")
    return ("CLASS_TOKEN_POSITION", "CSC", "CTX_INIT", "N_CTX", "PREC")


def log_text(
    *,
    trainer: str = "CoOp",
    section: str = "COOP",
    settings: dict[str, Any] | None = None,
    backbone: str = "ViT-B/16",
    dataset: str = "OxfordPets",
    shots: int = 16,
    seed: int = 1,
    subsample: str = "base",
    max_epoch: int = 50,
    accuracy: float | None = 95.12,
    macro_f1: float = 94.98,
    squash: bool = False,
    names: tuple[str, ...] = (),
    classes: int = 19,
    images: int = 1881,
) -> str:
    """The log.txt of a training run, in the order and wording of Dassl and CoOp's train.py."""
    chosen = {
        "CLASS_TOKEN_POSITION": "end",
        "CSC": False,
        "CTX_INIT": "",
        "N_CTX": 4,
        "PREC": "fp16",
    }
    chosen = {key: value for key, value in chosen.items() if key in _defined(section)}
    chosen |= settings or {}
    lines = [
        "***************\n** Arguments **\n***************\nbackbone: ",
        f"eval_only: False\nload_epoch: None\nseed: {seed}\ntrainer: {trainer}",
        "************\n** Config **\n************",
        f"DATASET:\n  NAME: {dataset}\n  NUM_SHOTS: {shots}\n  ROOT: /data\n"
        f"  SUBSAMPLE_CLASSES: {subsample}",
        "INPUT:\n  INTERPOLATION: bicubic\n  SIZE: (224, 224)\n"
        "  TRANSFORMS: ('random_resized_crop', 'random_flip', 'normalize')",
        f"MODEL:\n  BACKBONE:\n    NAME: {backbone}\n    PRETRAINED: True\n  INIT_WEIGHTS: ",
        f"OPTIM:\n  LR: 0.002\n  MAX_EPOCH: {max_epoch}\n  NAME: sgd",
        f"SEED: {seed}\nTEST:\n  FINAL_MODEL: last_step\n  SPLIT: test",
        "TRAINER:\n  CDAC:\n    P_THRESH: 0.95\n  COCOOP:\n    CTX_INIT: \n    N_CTX: 99",
        f"  {section}:",
        *(f"    {key}: {value}" for key, value in sorted(chosen.items())),
        f"  NAME: {trainer}\nUSE_CUDA: True\nVERSION: 1",
        f"Loading trainer: {trainer}\nLoading dataset: {dataset}",
        f"SUBSAMPLE {subsample.upper()} CLASSES!" if subsample != "all" else "",
        "Building transform_train\n+ random resized crop (size=(224, 224), scale=(0.08, 1.0))",
        "Building transform_test",
        "+ resize to 224x224" if squash else "+ resize the smaller edge to 224",
        "" if squash else "+ 224x224 center crop",
        "+ to torch tensor of range [0, 1]\n---------  ----------",
        f"Dataset    {dataset}\n# classes  {classes}\n# train_x  304\n# val      76",
        f"# test     {images:,}",
        f"---------  ----------\nLoading CLIP (backbone: {backbone})\nBuilding custom CLIP",
        f"Number of context words (tokens): {chosen.get('N_CTX', 4)}",
        str([f"X X X X {name}." for name in names]) if names else "",
        "Loading evaluator: Classification\nNo checkpoint found, train from scratch",
        f"epoch [1/{max_epoch}] batch [5/9] time 0.279 (0.4) loss 1.02 (1.5) lr 1.0000e-05",
        f"epoch [{max_epoch}/{max_epoch}] batch [5/9] time 0.2 (0.4) loss nan (nan) lr 1.0e-05",
    ]
    if accuracy is not None:
        lines += [
            f"Checkpoint saved to output/prompt_learner/model.pth.tar-{max_epoch}",
            "Finish training\nDeploy the last-epoch model\nEvaluate on the *test* set\n=> result",
            f"* total: {images:,}\n* correct: {round(images * accuracy / 100):,}",
            f"* accuracy: {accuracy:.2f}%",
            f"* error: {100 - accuracy:.2f}%\n* macro_f1: {macro_f1:.2f}%\nElapsed: 0:06:45",
        ]
    return "\n".join(line for line in lines if line) + "\n"
