"""Several processes on one job, started by torchrun: who we are, how rows are brought together.

And how all end where one fails: what is told goes as JSON and tensors, never as pickled objects.
Every exchange begins with whether somebody refused; a refusal in one process is raised in all of
them, whatever they were about to do.
"""

import hashlib
import itertools
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any
from weakref import WeakSet

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import PrefixStore, Store  # pyright: ignore[reportPrivateImportUsage]
from torch.distributed.rendezvous import rendezvous

from ncscope.errors import DataError, NcscopeError

WAIT = timedelta(minutes=30)  # for the slowest process at each exchange


@dataclass(frozen=True)
class Spread:
    """This process's place among `world`."""

    rank: int = 0
    world: int = 1
    local: int = 0  # among the processes of this machine, for the choice of a device
    beside: int = 1  # processes of this machine, which share its cores
    began: bool = False  # the group was begun by `join`, and not by the caller's own program

    @property
    def first(self) -> bool:
        """Whether this process writes files."""
        return self.rank == 0


ALONE = Spread()
_GROUPS = itertools.count()


class _ToldError(DataError):
    """Another process's refusal, or its end; it is not told again."""


def join(device: str) -> Spread:
    """Join the processes that torchrun started; alone otherwise.

    Raises:
        DataError: torchrun's variables are incomplete, or the caller's group exchanges nothing on
            the CPU.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        return ALONE
    try:
        rank, local = int(os.environ["RANK"]), int(os.environ["LOCAL_RANK"])
        _ = os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"]
    except KeyError as error:
        raise DataError(
            f"WORLD_SIZE is {world} but {error.args[0]} is not set; start several processes with "
            f"torchrun --nproc-per-node N --module ncscope_cli.main VERB ..."
        ) from None
    began = not dist.is_initialized()
    if not began and "cpu" not in dist.get_backend_config():
        raise DataError(
            f"torch's process group is of {dist.get_backend_config()} only, and what processes "
            f"tell each other is on the CPU; begin it as 'cpu:gloo,cuda:nccl'"
        )
    if began:
        cuda = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if cuda else "gloo",
            timeout=WAIT,
            # a program's second group would find the addresses of its first under the same keys
            store=PrefixStore(f"ncscope {next(_GROUPS)}", _store()),
            rank=rank,
            world_size=world,
        )
    return Spread(rank, world, local, int(os.environ.get("LOCAL_WORLD_SIZE", "1")), began)


@cache
def _store() -> Store:
    """Where torchrun's processes leave words for each other."""
    store, _, _ = next(rendezvous("env://", timeout=WAIT))
    return store


def leave(spread: Spread) -> None:
    """End what `join` began; not waiting for the others, who may wait for one that failed."""
    if spread.began and dist.is_initialized():
        dist.destroy_process_group()


def own_device(device: str, spread: Spread) -> str:
    """The device named, or one of the machine's GPUs for each process where none is named."""
    if spread.world > 1 and device in ("auto", "cuda") and torch.cuda.is_available():
        return f"cuda:{spread.local % torch.cuda.device_count()}"
    return device


@contextmanager
def joined(
    device: str = "cpu", *, say: Callable[[NcscopeError], object] | None = None
) -> Iterator[Spread]:
    """Join for a job of several processes, and refuse together; within another, as the same ones.

    Args:
        device: where tensors are that are exchanged; features are on the CPU.
        say: called in the first process with the refusal, whoever it came from, while the others
            still wait: torchrun ends all as soon as one is gone.

    Raises:
        NcscopeError: the body's in any process.
    """
    within = bool(_JOINED)
    spread = _JOINED[-1] if within else join(device)
    _JOINED.append(spread)
    try:
        yield spread
        exchanged(None, spread)
    except NcscopeError as error:
        if spread.world > 1:
            _refuse(error, spread, say)
        raise
    finally:
        _JOINED.pop()
        if not within:
            leave(spread)


_JOINED: list[Spread] = []
_KNOWN = WeakSet[NcscopeError]()  # refusals that all have been told, on their way out


def _refuse(
    error: NcscopeError, spread: Spread, say: Callable[[NcscopeError], object] | None
) -> None:
    """Tell the others, unless they told; say it; wait until it is said. Some may be gone."""
    if not isinstance(error, _ToldError) and error not in _KNOWN:
        _KNOWN.add(error)
        with suppress(_ToldError):
            _told(None, error, spread)
    if spread.first and say is not None:
        say(error)
    with suppress(_ToldError):
        _told(None, None, spread)


def exchanged(value: Any, spread: Spread) -> list[Any]:
    """The JSON value of every process, rank after rank.

    Raises:
        DataError: another process refused, ended or kept silent for `WAIT`.
    """
    if spread.world == 1:
        return [value]
    found = _told(value, None, spread)
    refused = [said["refusal"] for said in found if said["refusal"] is not None]
    if refused:
        raise _ToldError(str(refused[0]))
    return [said["value"] for said in found]


def require_same(said: Mapping[str, Any], spread: Spread) -> None:
    """Refuse processes, maybe of several machines, that do not work on the same.

    Args:
        said: JSON values by what they are, as `images` with their digest.

    Raises:
        DataError: names the first process that has another, and what.
    """
    first, *others = exchanged(dict(said), spread)
    for rank, other in enumerate(others, 1):
        names = [name for name in first if other.get(name) != first[name]]
        if names:
            raise DataError(
                f"process {rank} has other {' and '.join(names)} than the first; expected the same "
                f"files and options on every machine"
            )


def of_first(value: Any, spread: Spread) -> Any:
    """The JSON value of the first process, in every one; the others' is not looked at.

    Raises:
        DataError: as `exchanged`.
    """
    if spread.world == 1:
        return value
    text = bytearray(json.dumps(value).encode() if spread.first else b"")
    size = exchanged(len(text), spread)[0]
    mine = torch.frombuffer(text, dtype=torch.uint8) if spread.first else None
    found = sent(mine, (size,), 0, spread, dtype=torch.uint8)
    return value if spread.first else json.loads(found.numpy().tobytes())


def _told(value: Any, refusal: NcscopeError | None, spread: Spread) -> list[dict[str, Any]]:
    """What each says; that nobody says anything takes one exchange of one number."""
    said = {"value": value, "refusal": None if refusal is None else str(refusal)}
    silent = value is None and refusal is None
    mine = b"" if silent else json.dumps(said).encode()
    sizes = [int(size) for size in everyones(torch.tensor([len(mine)]), spread)]
    if not any(sizes):
        return [said] * spread.world
    padded = torch.frombuffer(bytearray(mine.ljust(max(sizes))), dtype=torch.uint8)
    texts = everyones(padded, spread)
    nothing = {"value": None, "refusal": None}
    return [
        json.loads(text.numpy().tobytes()) if size else nothing
        for text, size in zip(texts, sizes, strict=True)
    ]


def everyones(tensor: Tensor, spread: Spread) -> list[Tensor]:
    """The tensor of every process, of one shape and dtype, rank after rank."""
    if spread.world == 1:
        return [tensor]
    parts = [torch.empty_like(tensor) for _ in range(spread.world)]
    with _reached():
        dist.all_gather(parts, tensor.contiguous())
    return parts


def added(tensor: Tensor, spread: Spread) -> Tensor:
    """The sum of every process's tensor."""
    total = tensor.clone()
    if spread.world > 1:
        with _reached():
            dist.all_reduce(total)
    return total


def sent(
    tensor: Tensor | None,
    shape: tuple[int, ...],
    source: int,
    spread: Spread,
    *,
    dtype: torch.dtype,
) -> Tensor:
    """Process `source`'s tensor of this shape and dtype, in every process; alone, as it is."""
    mine = torch.empty(shape, dtype=dtype) if tensor is None else tensor.contiguous()
    if spread.world > 1:
        with _reached():
            dist.broadcast(mine, source)
    return mine


@contextmanager
def _reached() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        silent = "timed out" in str(error).lower()
        what = f"was silent for {WAIT.seconds // 60} minutes" if silent else "has ended"
        raise _ToldError(f"another of the processes {what}; see its own words") from None


def in_order(rows: Tensor, places: Tensor, spread: Spread) -> tuple[Tensor, Tensor]:
    """The rows (M, ...) of all processes by ascending place (M,), and the places.

    Args:
        rows: this process's; of any width and dtype where it has none.
        places: of each row among all, in the order of `rows`.
    """
    if spread.world == 1:
        return rows, places
    kinds = exchanged([list(rows.shape), _name(rows.dtype)], spread)
    counts = [shape[0] for shape, _ in kinds]
    shape, name = next((kind for kind in kinds if kind[0][0]), kinds[0])
    width, dtype = tuple(shape[1:]), getattr(torch, name)
    every = [
        sent(places if r == spread.rank else None, (count,), r, spread, dtype=torch.int64)
        for r, count in enumerate(counts)
    ]
    ascending = torch.cat(every).sort().values
    out = torch.empty(len(ascending), *width, dtype=dtype)
    for r, count in enumerate(counts):  # one share at a time beside the whole
        mine = rows if r == spread.rank else None
        if count:
            part = sent(mine, (count, *width), r, spread, dtype=dtype)
            out[torch.searchsorted(ascending, every[r])] = part
    return out, ascending


def own_parts(count: int, size: int, spread: Spread) -> list[Tensor]:
    """This process's parts of `count` places, `size` (or what is left) in each: every world-th."""
    return list(torch.arange(count).split(size)[spread.rank :: spread.world])


def put_together(
    found: Sequence[Tensor], parts: Sequence[Tensor], spread: Spread, device: torch.device
) -> Tensor:
    """Rows that each process found for its `own_parts`, in order, in every one, on the device."""
    if spread.world == 1:
        return torch.cat(list(found))
    rows = torch.cat(list(found)).cpu() if found else torch.empty(0, 0)
    places = torch.cat(list(parts)) if parts else torch.empty(0, dtype=torch.int64)
    return in_order(rows, places, spread)[0].to(device)


def from_one(
    rows: Tensor | None, places: Tensor | None, spread: Spread
) -> tuple[Tensor, Tensor] | None:
    """Rows and places of the first process that has any, in all; None where none has."""
    if spread.world == 1:
        return None if rows is None or places is None else (rows, places)
    mine = None
    if rows is not None and places is not None:
        which = hashlib.sha256(places.cpu().numpy().tobytes()).hexdigest()
        mine = [list(rows.shape), _name(rows.dtype), which]
    kinds = exchanged(mine, spread)
    owners = [r for r, kind in enumerate(kinds) if kind is not None]
    if not owners:
        return None
    if rows is not None and places is not None and all(kind == kinds[0] for kind in kinds):
        return rows, places
    owner = owners[0]
    if spread.rank != owner:
        rows = places = None
    shape, name = tuple(kinds[owner][0]), kinds[owner][1]
    return (
        sent(rows, shape, owner, spread, dtype=getattr(torch, name)),
        sent(places, shape[:1], owner, spread, dtype=torch.int64),
    )


def _name(dtype: torch.dtype) -> str:
    """As torch calls it, `float32`."""
    return str(dtype).removeprefix("torch.")
