"""A grid of sixteen runs, and the file of any."""


def spec(tmp_path, text):
    path = tmp_path / "spec.toml"
    path.write_text(text)
    return path


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
