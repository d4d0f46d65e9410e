"""A SLURM of one node, started for a test from Debian's packages (slurmctld, slurmd, munge).

Its daemons, keys and ports are its own: it neither needs nor disturbs a SLURM of the machine.
"""

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

_PROGRAMS = ("munged", "slurmctld", "slurmd", "sinfo", "sbatch")
_CONF = """
ClusterName=ncscope
SlurmctldHost=localhost(127.0.0.1)
SlurmUser=root
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
KillWait=2
NodeName=localhost NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def why_not() -> str:
    """Why none can be started here; empty where one can."""
    missing = [name for name in _PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"no {', '.join(missing)} here (Debian: slurmctld slurmd slurm-client munge)"
    return "" if os.getuid() == 0 else "only root starts a SLURM"


@contextlib.contextmanager
def slurm_node(folder: Path, *, seconds: float = 30) -> Iterator[Path]:
    """Yields its slurm.conf, for `SLURM_CONF`, once the node takes jobs.

    Raises:
        RuntimeError: it does not within `seconds`; with what the daemons said.
    """
    for part in ("state", "spool"):
        (folder / part).mkdir()
    folder.chmod(0o755)  # munged refuses a socket in a folder that others may not enter
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o400)
    conf = folder / "slurm.conf"
    cpus = len(os.sched_getaffinity(0))
    conf.write_text(_CONF.format(folder=folder, ports=_free_ports(2), cpus=cpus))
    munge = [f"--{name}={folder}/munge.{name}" for name in ("socket", "log-file", "pid-file")]
    commands = [
        ["munged", "--foreground", "--force", f"--key-file={key}", *munge,
         f"--seed-file={folder}/munge.seed"],
        ["slurmctld", "-D", "-f", str(conf)],
        ["slurmd", "-D", "-N", "localhost", "-f", str(conf)],
    ]  # fmt: skip
    with contextlib.ExitStack() as stack:
        for words in commands:
            stack.enter_context(_daemon(words, folder / f"{words[0]}.txt"))
        _wait(conf, folder, seconds)
        yield conf


@contextlib.contextmanager
def _daemon(words: list[str], log: Path) -> Iterator[None]:
    with log.open("wb") as out:
        child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:
        yield
    finally:
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def _wait(conf: Path, folder: Path, seconds: float) -> None:
    environment = {**os.environ, "SLURM_CONF": str(conf)}
    end = time.monotonic() + seconds
    state = ""
    while time.monotonic() < end:
        done = subprocess.run(
            ["sinfo", "-h", "-o", "%T"], capture_output=True, text=True, env=environment,
            check=False, timeout=20,
        )  # fmt: skip
        state = (done.stdout or done.stderr).strip()
        if state == "idle":
            return
        time.sleep(0.3)
    said = "\n".join(path.read_text() for path in sorted(folder.glob("*.txt")))
    raise RuntimeError(f"no SLURM after {seconds:g} s (sinfo: {state}):\n{said}")


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
