import json

import pytest
import torch
from safetensors.torch import save_file

from ncscope.errors import BackboneError
from ncscope.toy.making.pretrain import PROGRESS
from ncscope.toy.making.shipping import (
    Geometry,
    best_scale,
    load_progress,
    measure_geometry,
    solve_shifts,
)


def random_pairs(count=300, width=32):
    generator = torch.Generator().manual_seed(1)
    common = torch.randn(count, width, generator=generator)
    return tuple(common + 0.7 * torch.randn(count, width, generator=generator) for _ in range(2))


def test_the_shifts_give_the_wanted_geometry():
    text, image = random_pairs()
    wanted = Geometry()
    shifts = solve_shifts(text, image, wanted)
    got = measure_geometry(text + shifts["text"], image + shifts["image"])
    assert got.text == pytest.approx(wanted.text, abs=1e-4)
    assert got.image == pytest.approx(wanted.image, abs=1e-4)
    assert got.gap == pytest.approx(wanted.gap, abs=1e-4)


def test_geometry_is_that_of_the_loop_over_pairs():
    text, image = random_pairs(20, 5)
    got = measure_geometry(text, image)
    unit = [rows / rows.norm(dim=1, keepdim=True) for rows in (text.double(), image.double())]
    others = [(a, b) for a in range(20) for b in range(20) if a != b]
    assert got.text == pytest.approx(sum((unit[0][a] @ unit[0][b]).item() for a, b in others) / 380)
    assert got.paired == pytest.approx(sum((t @ i).item() for t, i in zip(*unit, strict=True)) / 20)
    assert got.gap == pytest.approx((unit[0].mean(0) - unit[1].mean(0)).norm().item())


def test_the_best_scale_has_the_smallest_loss():
    text, image = random_pairs(100)
    unit = [torch.nn.functional.normalize(rows) for rows in (text, image)]

    def loss(scale):
        logits = scale * unit[0] @ unit[1].T
        own = torch.arange(100)
        cross = torch.nn.functional.cross_entropy
        return (cross(logits, own) + cross(logits.T, own)).item()

    best = best_scale(text, image)
    assert 10 < best < 100
    assert loss(best) <= min(loss(best * 0.95), loss(best * 1.05))


def test_resuming_nothing_is_refused(tmp_path):
    with pytest.raises(BackboneError, match="nothing to resume; run without --resume first"):
        load_progress(tmp_path / PROGRESS)


@pytest.mark.parametrize("content", [b"", b"not tensors", json.dumps({}).encode() * 10])
def test_a_damaged_save_is_refused(tmp_path, content):
    (tmp_path / PROGRESS).write_bytes(content)
    with pytest.raises(BackboneError, match="not the progress of a pretraining run"):
        load_progress(tmp_path / PROGRESS)


def test_another_safetensors_file_is_refused(tmp_path):
    save_file({"weight/a": torch.zeros(2)}, tmp_path / PROGRESS)
    with pytest.raises(BackboneError, match="not the progress of a pretraining run"):
        load_progress(tmp_path / PROGRESS)
