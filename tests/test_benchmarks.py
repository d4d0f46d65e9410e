"""The scripts for a GPU run on the CPU, where parity is exact and ratios mean nothing."""

import re

import pytest
import torch

import benchmarks.gpu
from benchmarks.precision import tf32


def test_the_gpus_script_runs_on_the_cpu_and_finds_it_like_itself(monkeypatch, capsys):
    monkeypatch.setattr(benchmarks.gpu, "METHODS", ("coop",))
    monkeypatch.setattr(benchmarks.gpu, "REPEATS", 1)
    monkeypatch.setattr("sys.argv", ["gpu", "--device", "cpu", "--small"])
    benchmarks.gpu.main()
    printed = capsys.readouterr().out
    same = ("image features, fp32", "text features", "coop's gradient")
    for what in same:
        assert f"parity of {what}: 0.0e+00" in printed
    half = re.search(r"parity of image features, bf16: (.*)", printed)
    assert half
    assert 1e-4 < float(half[1]) < 0.05
    assert "waits in a step of coop: not to be seen on the CPU" in printed
    for line in (r"step of coop, 10 classes.*ms, \d+\.\dx; peak", r"extraction of 64 images, fp32"):
        assert re.search(line, printed)


def test_tf32s_imitation_rounds_to_ten_bits_of_mantissa_half_to_even():
    step = 2.0**-10
    given = torch.tensor([1.0, 1 + 0.4 * step, 1 + 0.5 * step, 1 + 1.5 * step, -(1 + 0.6 * step)])
    wanted = [1.0, 1.0, 1.0, 1 + 2 * step, -(1 + step)]
    assert tf32(given).tolist() == wanted
    some = torch.linspace(1, 2, 100_001)
    error = ((tf32(some) - some) / some).abs().max()
    assert float(error) == pytest.approx(2.0**-11, rel=0.05)
