"""Images that are never copied: a mapped file gives the numbers of the same arrays in memory."""

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch.utils._python_dispatch import TorchDispatchMode

from ncscope.diagnosis import redecided, resampling, sides, sweeps
from ncscope.diagnosis.measure import measure
from ncscope.features import checked as checks
from ncscope.features.bundle import Features, read_features
from ncscope.metrics import margin, pairs, sweep
from ncscope.page.analyze import analyze
from tests.made_features import named


@pytest.fixture
def written(tmp_path):
    """A function that writes 600 images of 5 classes in a dtype, every ninth unlabelled or not."""

    def write(dtype, unlabelled):
        generator = torch.Generator().manual_seed(0)
        label = torch.randint(5, (600,), generator=generator)
        image = 2 + torch.randn(5, 12, generator=generator)[label]
        image += torch.randn(600, 12, generator=generator)
        text = torch.randn(5, 12, generator=generator)
        if unlabelled:
            label[::9] = -1
        path = tmp_path / "f.safetensors"
        arrays = {"image": image.to(dtype), "label": label, "text": text}
        save_file({**arrays, "logit_scale": torch.tensor(30.0)}, path)
        return path

    return write


@pytest.mark.parametrize("unlabelled", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_large_images_measure_as_small_ones_do(written, monkeypatch, dtype, unlabelled):
    path = written(dtype, unlabelled)
    small = analyze(path, bootstrap=10).records[0]
    monkeypatch.setattr(checks, "LARGE_BYTES", 1000)
    monkeypatch.setattr(sweeps, "BLOCK_ROWS", 64)
    features = read_features(path)
    assert features.image is not None
    assert features.image.dtype == dtype
    assert not any("float32" in warning for warning in features.warnings)
    large = analyze(path, bootstrap=10).records[0]
    # Blocks of 64 rows round otherwise; `unc3` and the Riesz energy make 3e-7 a few 1e-6.
    assert large["measures"] == pytest.approx(small["measures"], abs=1e-6, rel=5e-6)
    assert large["samples"] == small["samples"]
    for name, interval in small["intervals"]["values"].items():
        assert large["intervals"]["values"][name] == pytest.approx(interval, abs=1e-6, rel=5e-6)


def test_large_images_stay_a_map_of_their_file(written, monkeypatch):
    monkeypatch.setattr(checks, "LARGE_BYTES", 1000)
    path = written(torch.float32, False)
    image = read_features(path).image
    assert image is not None
    address = image.data_ptr()
    maps = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
    spans = [[int(end, 16) for end in one[0].split("-")] for one in maps if one[-1] == str(path)]
    assert any(start <= address < end for start, end in spans)


class Largest(TorchDispatchMode):
    """The most entries that any tensor made meanwhile has, and by which operation."""

    size, name = 0, ""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        for one in found if isinstance(found, tuple | list) else (found,):
            if isinstance(one, torch.Tensor) and one.numel() > self.size:
                self.size, self.name = one.numel(), str(func)
        return found


@pytest.fixture
def few_kept(monkeypatch):
    """Blocks so small that 400 classes are many."""
    for module, name, value in (
        (pairs, "BLOCK", 32), (pairs, "MOST_KEPT", 32), (margin, "_SCORES", 1 << 12),
        (resampling, "_SCORES", 1 << 12), (redecided, "_SCORES", 1 << 12),
        (redecided, "_VALUES", 1 << 12), (sweep, "_CACHED_VALUES", 1 << 12),
        (sweep, "_LEAST_ROWS", 64),
        (sides, "UNIFORMITY_SAMPLES", 100),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, value)


def many_classes(size=400, width=8):
    """Three images a class, overlapping; the last class without an image, two texts alike."""
    generator = torch.Generator().manual_seed(0)
    text = torch.randn(size, width, generator=generator, dtype=torch.float64)
    text[7] = text[5]
    label = torch.arange(3 * size) % (size - 1)
    noise = torch.randn(3 * size, width, generator=generator, dtype=torch.float64)
    scale = torch.tensor(20.0, dtype=torch.float64)
    return Features(text[label] + noise, label, text, named(size), logit_scale=scale)


@pytest.mark.usefixtures("few_kept")
def test_nothing_is_of_all_pairs_of_many_classes():
    with Largest() as largest:
        measure(many_classes(), bootstrap=2)
    assert largest.size < 400 * 400 / 2, largest.name


def all_numbers(record):
    """The measures, intervals and class rows of a record in one table, null as NaN."""
    found = dict(record["measures"])
    del found["uniformity/samples"]  # of as many images as `few_kept` says
    for name, interval in record["intervals"]["values"].items():
        found |= {f"{name} {end}": interval[end] for end in ("low", "high")}
    for row in record["per_class"]:
        found |= {f"{row['name']} {n}": v for n, v in row.items() if not isinstance(v, str)}
    return {name: math.nan if value is None else value for name, value in found.items()}


def test_many_classes_measure_as_few_do(request):
    whole = all_numbers(measure(many_classes(), bootstrap=5).record)
    request.getfixturevalue("few_kept")
    blocked = all_numbers(measure(many_classes(), bootstrap=5).record)
    assert blocked == pytest.approx(whole, rel=1e-11, abs=1e-12, nan_ok=True)
