"""torchrun for a run of a sweep: it ends with the sweep, and says nothing of a failure itself.

Its processes have said what was wrong; torchrun's own words would bury them under its stack.
"""

import sys

from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.run import main

from ncscope.grids.sweep_child import end_with_sweep

if __name__ == "__main__":
    end_with_sweep()
    try:
        main()
    except ChildFailedError:
        sys.exit(1)
