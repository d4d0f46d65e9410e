"""A grid of sixteen runs, the file of any, and waiting for what a sweep does."""

import time


def spec(tmp_path, text):
    path = tmp_path / "spec.toml"
    path.write_text(text)
    return path


def until(happened, *, seconds=120):
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


GRID = """
[grid]
method = ["coop", "maple"]
data = ["toy:fish"]
tau = [1, 0.05]
seed = [0, 1]
weights = [{}, {lcd_weight = 0.1, mid_weight = 1}]
[fixed]
recipe = "toy"
csc = false
centred = true
target = ["toy:shapes", "toy:fish@sketch"]
"""
