"""One thread a worker, and property tests that draw the same examples on every run."""

import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("ncscope", max_examples=25, deadline=None, derandomize=True)
settings.load_profile("ncscope")
