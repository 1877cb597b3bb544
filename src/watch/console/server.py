"""The HTTP server and its orderly end."""

import logging
import socket
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from llmplatform.process.serving import KEEP_ALIVE_S, SignalledServer, listen

logger = logging.getLogger("watch.console")

GRACE_S: Final = 10
_MOST_AT_ONCE: Final = 256
"""Connections; what comes on top gets a 503 from uvicorn."""


async def serve(app: ASGIApp, *, host: str, port: int, grace_s: int = GRACE_S) -> None:
    """Serve until SIGTERM or SIGINT; then stop accepting and let requests finish for `grace_s`.

    Raises ConfigFault when the port cannot be had.
    """
    listener = listen(host, port, named_by="WATCH")
    config = uvicorn.Config(
        app,
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
    await _Server(config).serve(sockets=[listener])
    logger.info("console has stopped serving")


class _Server(SignalledServer):
    """One that tells how it is."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept requests, and say so."""
        await super().startup(sockets)
        for listener in sockets or ():
            host, port = listener.getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            url = f"http://{shown}:{port}"
            logger.info("console is ready", extra={"host": host, "port": port, "url": url})

    def stopping(self) -> None:
        """Say so."""
        logger.info("console is stopping")
