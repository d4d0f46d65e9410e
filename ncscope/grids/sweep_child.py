"""A process of a sweep: `ncscope` as it is by itself, but it ends when the sweep does.

`python -m ncscope.grids.sweep_child tune ...` is started by a sweep, or by torchrun for one.
A sweep that is killed can tell nobody, and processes of torchrun are not among its own: so each
looks every second whether the sweep and its own parent still live.
"""

import os
import runpy
import sys
import threading
import time

from ncscope.grids.alive import began, is_alive

_VARIABLE = "NCSCOPE_SWEEP"
_EVERY = 1.0  # seconds


def of_this_sweep() -> dict[str, str]:
    """What tells the processes that this one starts that it is their sweep."""
    return {_VARIABLE: f"{os.getpid()} {began(os.getpid()) or ''}"}


def end_with_sweep() -> None:
    """End this process when its sweep or its parent has ended, also if that was before."""
    sweep, _, since = os.environ.get(_VARIABLE, "").partition(" ")
    if not sweep:
        return
    parent, noted = os.getppid(), int(since) if since else None

    def look() -> None:
        if os.getppid() != parent or not is_alive(int(sweep), noted):
            print("ncscope: the sweep has ended, and this run of it does", file=sys.stderr)
            sys.stderr.flush()
            os._exit(1)

    def watch() -> None:
        while True:
            time.sleep(_EVERY)
            look()

    look()
    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    end_with_sweep()
    runpy.run_module("ncscope_cli.main", run_name="__main__", alter_sys=True)
