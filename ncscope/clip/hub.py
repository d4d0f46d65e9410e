"""Whether the hub that publishes weights can be reached, asked once before anything is fetched.

Without a network its client retries every file five times, a minute of lines for one answer. Here
the name of its host is looked up first; if nobody knows it, the client is told that it is offline:
it takes what is in the cache, and refuses at once what is not.
"""

import contextlib
import os
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

from huggingface_hub import constants

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
