"""Runs forked from one process that has imported all they need, for which torch takes seconds.

`python -m ncscope.grids.forking FD` waits at a socket for what runs are to do. Each run is a
process of its own all the same: its log, its memory, its end. On Linux only, where a process that
has computed nothing yet may be forked; elsewhere, and where it breaks, every run is started anew.
"""

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from ncscope.grids.children import TUNE, end_with_sweep

_MOST = 1 << 20  # bytes of a request
_LOST = -signal.SIGKILL  # what became of a run when nobody is left who could say it


class Forked:
    """A run, as far as a sweep asks a `subprocess.Popen`."""

    def __init__(self, line: socket.socket, number: int, status: int) -> None:
        self._line, self._number, self._status = line, number, status
        self._lock = threading.Lock()
        self.returncode: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status; of several threads each gets it."""
        if self.returncode is None and not select.select([self._status], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired("ncscope tune", timeout or 0.0)
        with self._lock:
            if self.returncode is None:
                said = os.read(self._status, 16)  # nothing, where the parent was killed
                os.close(self._status)
                self.returncode = int(said) if said else _LOST
        return self.returncode

    def terminate(self) -> None:
        """End it, as `Popen.terminate`."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once; nothing where it has ended."""
        self._send(signal.SIGKILL)

    def _send(self, sign: int) -> None:
        if self.returncode is None:
            with contextlib.suppress(OSError):  # the parent has ended, and so does the run
                self._line.send(json.dumps({"number": self._number, "signal": sign}).encode())


class Parent:
    """The process that runs are forked from, started with the first of them."""

    def __init__(self, surroundings: Mapping[str, str]) -> None:
        self._surroundings, self._line = dict(surroundings), None
        self._process: subprocess.Popen[bytes] | None = None
        self._count, self._broken = 0, sys.platform != "linux"

    def fork(self, words: Sequence[str], how: Mapping[str, Any]) -> Forked | None:
        """A run of `ncscope tune`, from the arguments of `Popen`; None where it is to start one."""
        if self._broken or tuple(words[: len(TUNE)]) != TUNE:
            return None
        ours, theirs = os.pipe()
        try:
            line = self._line = self._line or self._started()
            own = {k: v for k, v in how["env"].items() if self._surroundings.get(k) != v}
            self._count += 1
            asked = {"number": self._count, "words": words[len(TUNE) - 1 :], "env": own}
            socket.send_fds(line, [json.dumps(asked).encode()], [how["stdout"].fileno(), theirs])
        except OSError:
            os.close(ours)
            self._broken = True
            return None
        finally:
            os.close(theirs)
        return Forked(line, self._count, ours)

    def close(self) -> None:
        """Let the process end."""
        if self._line is not None:
            self._line.close()
        if self._process is not None:
            self._process.wait()

    def _started(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            words = [sys.executable, "-m", "ncscope.grids.forking", str(theirs.fileno())]
            self._process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL, pass_fds=[theirs.fileno()], env=self._surroundings,
            )  # fmt: skip
        if not ours.recv(16):
            ours.close()
            raise OSError("the process ended before it was ready")
        return ours


class _Forking:
    """What the process does: it forks, ends and mourns runs, and computes nothing."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._awake, self._wake = os.pipe()
        self._running: dict[int, tuple[int, int]] = {}  # by number: process, where its end is told

    def serve(self) -> NoReturn:
        """Until the sweep has ended."""
        os.set_blocking(self._wake, False)
        signal.set_wakeup_fd(self._wake)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for sign in (signal.SIGINT, signal.SIGTERM):  # they are the sweep's and the runs'
            signal.signal(sign, signal.SIG_IGN)
        self._line.send(b"ready")
        while True:
            ready = select.select([self._line, self._awake], [], [])[0]
            if self._awake in ready:
                os.read(self._awake, 4096)
                self._mourn()
            if self._line in ready:
                question, handed, *_ = socket.recv_fds(self._line, _MOST, 2)
                if not question:
                    os._exit(0)
                self._answer(json.loads(question), handed)

    def _answer(self, asked: dict[str, Any], handed: list[int]) -> None:
        number = asked["number"]
        if "signal" in asked:
            if number in self._running:  # it is no other's process: nobody has mourned it
                os.kill(self._running[number][0], asked["signal"])
            return
        log, told = handed
        with contextlib.suppress(OSError):  # no memory: an end without a status says it
            process = os.fork()
            if process == 0:
                self._become(asked, log)
            self._running[number] = process, told
        os.close(log)
        if number not in self._running:
            os.close(told)

    def _mourn(self) -> None:
        for number, (process, told) in list(self._running.items()):
            found, status = os.waitpid(process, os.WNOHANG)
            if found:
                del self._running[number]
                with contextlib.suppress(OSError):  # nobody asks any more
                    os.write(told, str(os.waitstatus_to_exitcode(status)).encode())
                os.close(told)

    def _become(self, asked: dict[str, Any], log: int) -> NoReturn:
        """The run, in the process that was forked for it."""
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self._line.close()
            for one in (self._awake, self._wake, *(told for _, told in self._running.values())):
                os.close(one)
            for stream in (1, 2):
                os.dup2(log, stream)
            os.close(log)
            os.environ.update(asked["env"])
            sys.argv = ["ncscope", *asked["words"]]
            end_with_sweep()
            importlib.import_module("ncscope_cli.main").entry()
        except BaseException:  # what `entry` lets pass, it would say at the end of a process
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(1)


def main() -> NoReturn:
    """Import what runs need, and wait for them."""
    importlib.import_module("ncscope_cli.main")
    importlib.import_module("ncscope_cli.tune").prepare()
    gc.collect()
    gc.freeze()  # what is imported is shared with the runs as long as nobody touches it
    _Forking(socket.socket(fileno=int(sys.argv[1]))).serve()


if __name__ == "__main__":
    main()
