"""A training run's folder as `ncscope tune` leaves it, made without training."""

import json

import torch
from safetensors.torch import save_file

from tests.shapes import simplex_etf


def write_run(folder, *, steps=5, num_classes=4, width=8, names=None, split="base"):
    """A run whose text moves from random rows to a simplex ETF, and its measures to 0."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(num_classes, width, generator=generator).double()
    start = start / start.norm(dim=1, keepdim=True)
    end = simplex_etf(num_classes, width)
    lines, text = [], []
    for place in range(steps):
        part = place / max(1, steps - 1)
        text.append((1 - part) * start + part * end)
        lines.append(
            {
                "event": "step",
                "epoch": place,
                "step": place,
                "loss": 3 - part,
                "ce": 2 - part,
                "lcd": 0.5,
                "mid": 0.5,
                "lr": 1e-3,
                "grad": {"all": 1.0},
            }
        )
        both = {"raw": 1 - part / 2, "centred": 1 - part}
        numbers = {
            "accuracy": part,
            "ece": 0.1,
            "delta_lcd": both,
            "delta_mid": both,
            "etf_distance": {"text": both, "image": both},
            "modality_gap": 0.7,
        }
        lines.append({"event": "eval", "epoch": place, "step": place, split: numbers,
                      "new": numbers})  # fmt: skip
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows = torch.stack(text)
    tensors = {"text": rows, "image_mean": 0.8 * rows.flip(2), "step": torch.arange(steps) * 10}
    listed = list(names) if names else [f"class {k}" for k in range(num_classes)]
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "trajectory.safetensors",
              {"classnames": json.dumps(listed)})  # fmt: skip
    return folder
