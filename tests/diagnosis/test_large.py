"""Images that are never copied: a mapped file gives the numbers of the same arrays in memory."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ncscope.diagnosis import sweeps
from ncscope.features import bundle as checks
from ncscope.features.bundle import read_features
from ncscope.page.analyze import analyze


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
