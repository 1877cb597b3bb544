"""The HTTP server and its orderly end."""

import asyncio
import logging
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn

from costagg.api.observe import AsgiApp
from llmplatform.errors import ConfigFault

logger = logging.getLogger("costagg.api")

GRACE_S: Final = 28
"""Longer than any answer may take."""
_KEEP_ALIVE_S: Final = 75
"""Longer than a load balancer's idle timeout (60 s), so that it is never the server that hangs up first."""
_MOST_AT_ONCE: Final = 256
"""Connections; what comes on top gets a 503 from uvicorn."""


async def serve(app: AsgiApp, *, host: str, port: int, grace_s: int = GRACE_S) -> None:
    """Serve until SIGTERM or SIGINT; then stop accepting and let requests finish for `grace_s`.

    Raises ConfigFault when the port cannot be had.
    """
    listener = _listen(host, port)
    config = uvicorn.Config(
        app,
        loop="none",
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_MOST_AT_ONCE,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=grace_s,
    )
    await _Server(config).serve(sockets=[listener])
    logger.info("billing API has stopped serving")


class _Server(uvicorn.Server):
    """uvicorn, ending on its own terms: it would end itself again by the signal that it caught."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept requests, and say so."""
        await super().startup(sockets)
        for listener in sockets or ():
            host, port = listener.getsockname()[:2]
            logger.info("billing API is ready", extra={"host": host, "port": port})

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGTERM and SIGINT."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    def _stop(self) -> None:
        if not self.should_exit:
            logger.info("billing API is stopping")
            self.should_exit = True


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With its protocol named: asyncio switches Nagle off only for sockets that say they are TCP.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigFault(
            f"COST_API_HOST {host}, COST_API_PORT {port}: cannot listen there ({error.strerror})"
        ) from error
    listener.setblocking(False)
    return listener
