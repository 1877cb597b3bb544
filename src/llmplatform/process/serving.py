"""How a process serves HTTP: one way to have a port, one way to end at a signal.

What is served, how long a reply may take and what is said of it is the process's own.
"""

import asyncio
import logging
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from llmplatform.errors import ConfigFault

KEEP_ALIVE_S: Final = 330
"""Longer than the load balancer's idle timeout (300 s): it is never the server that hangs up first."""

_MOST_AT_ONCE: Final = 256
"""Connections; what comes on top gets a 503 from uvicorn."""
_LENGTHS: Final = frozenset({b"content-length", b"transfer-encoding"})


class SignalledServer(uvicorn.Server):
    """uvicorn, ending on its own terms: it would end itself again by the signal that it caught."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGTERM and SIGINT."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told_to_stop)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    def stopping(self) -> None:
        """Called once, at the first signal, when nothing more is accepted."""

    def _told_to_stop(self) -> None:
        if not self.should_exit:
            self.should_exit = True
            self.stopping()


def listen(host: str, port: int, *, named_by: str) -> socket.socket:
    """A socket bound to an address, for a server to listen on.

    Raises ConfigFault that names the settings `<named_by>_HOST` and `<named_by>_PORT` when it cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With its protocol named: asyncio switches Nagle off only for sockets that say they are TCP.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigFault(
            f"{named_by}_HOST {host}, {named_by}_PORT {port}: cannot listen there ({error.strerror})"
        ) from error
    listener.setblocking(False)
    return listener


async def serve_pages(
    app: ASGIApp, listener: socket.socket, *, name: str, logger: logging.Logger, grace_s: int
) -> None:
    """Serve short answers to people and programs until SIGTERM or SIGINT.

    Then nothing more is accepted, and requests may finish for `grace_s`. The log says when `name` is ready,
    stops and has stopped.
    """
    config = uvicorn.Config(
        of_one_length(app),
        loop="none",
        http="h11",  # which bounds a request's head, at 64 KiB; httptools takes one of any length
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_MOST_AT_ONCE,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=grace_s,
    )
    await _TellingServer(config, name, logger).serve(sockets=[listener])
    logger.info("%s has stopped serving", name)


def of_one_length(app: ASGIApp) -> ASGIApp:
    """An application that is asked nothing whose length can be read in two ways: that is a 400, and the end.

    h11 goes by the one, who stands before us may go by the other, and what is then left over would be taken
    for a request of the next client on the connection (RFC 9112, 6.1).
    """

    async def checked_app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and {name for name, _ in scope["headers"]} >= _LENGTHS:
            refused = PlainTextResponse(
                "Content-Length and Transfer-Encoding: send one of them", 400, {"connection": "close"}
            )
            await refused(scope, receive, send)
            return
        await app(scope, receive, send)

    return checked_app


class _TellingServer(SignalledServer):
    """One that tells how it is."""

    def __init__(self, config: uvicorn.Config, name: str, logger: logging.Logger) -> None:
        super().__init__(config)
        self._name = name
        self._logger = logger

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept requests, and say so."""
        await super().startup(sockets)
        for listener in sockets or ():
            host, port = listener.getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            where = {"host": host, "port": port, "url": f"http://{shown}:{port}"}
            self._logger.info("%s is ready", self._name, extra=where)

    def stopping(self) -> None:
        """Say so."""
        self._logger.info("%s is stopping", self._name)
