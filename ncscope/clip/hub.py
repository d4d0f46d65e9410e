"""Models of the hub that publishes weights, and whether it can be reached, asked once before.

Without a network its client retries every file five times, a minute of lines for one answer. Here
the name of its host is looked up first; if nobody knows it, the client is told that it is offline:
it takes what is in the cache, and refuses at once what is not.
"""

import contextlib
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import huggingface_hub
from huggingface_hub import constants

from ncscope.errors import BackboneError

HUB = "hf-hub:"
_NAME = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}(@[\w./-]{1,100})?", re.ASCII)
_SMALL = ["*.json", "vocab*", "merges.txt"]
_WEIGHTS = {  # by whether it is open_clip's folder: what is preferred, and what else there is
    True: (["open_clip_model.safetensors", "open_clip_pytorch_model.safetensors"],
           ["open_clip_pytorch_model.bin", "open_clip_pytorch_model.pt"]),
    False: (["model.safetensors", "model-*.safetensors"], ["pytorch_model*.bin"]),
}  # fmt: skip
_PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


def reachable(address: str) -> bool:
    """Whether the host of an address has a known name; behind a proxy the proxy finds it.

    A name that resolves may still not answer: then the client finds out as before.
    """
    if any(os.environ.get(name) for name in _PROXIES):
        return True
    parts = urlsplit(address)
    try:
        socket.getaddrinfo(parts.hostname, parts.port or 443)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def one_attempt() -> Iterator[None]:
    """Inside, the hub's client takes the cache alone where the hub cannot be reached."""
    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not reachable(constants.ENDPOINT)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def fetched(name: str) -> Path:
    """The folder of `hf-hub:OWNER/NAME[@REVISION]`, from the cache or by the hub's own client.

    Only configurations, vocabularies and one format of weights are fetched.

    Raises:
        BackboneError: no such form of a name, or neither in the cache nor to be had.
    """
    said = name.removeprefix(HUB)
    if not _NAME.fullmatch(said):
        raise BackboneError(f"`backbone` {name!r}; expected {HUB}OWNER/NAME or with @REVISION")
    repo, _, revision = said.partition("@")
    try:
        with one_attempt():
            folder = _snapshot(repo, revision, _SMALL)
            for patterns in _WEIGHTS[(folder / "open_clip_config.json").exists()]:
                folder = _snapshot(repo, revision, patterns)
                if any(next(folder.glob(pattern), None) for pattern in patterns):
                    break
    except Exception as error:  # of any of the libraries between here and the network
        raise BackboneError(
            f"{name} is not in the cache and could not be fetched ({type(error).__name__}); give a "
            f"folder of its files: --backbone DIR"
        ) from None
    return folder


def _snapshot(repo: str, revision: str, patterns: list[str]) -> Path:
    found = huggingface_hub.snapshot_download(
        repo, revision=revision or None, allow_patterns=patterns
    )
    return Path(str(found))
