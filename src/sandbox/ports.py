"""Ports that stay free until a server listens there."""

import random
import socket
from typing import Final

# Below those that systems give to outgoing connections: one of them could take it before the server does.
_QUIET_PORTS: Final = range(18_000, 32_000)
_TRIES: Final = 100


def free_port(host: str, port: int = 0) -> int | None:
    """`port`, or any for 0, if it can be had now."""
    if port == 0:
        tries = random.sample(_QUIET_PORTS, _TRIES)
        return next((found for candidate in tries if (found := _bindable(host, candidate))), None)
    return _bindable(host, port)


def _bindable(host: str, port: int) -> int | None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError):
            return None
        return port
