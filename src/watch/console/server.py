"""The HTTP server and its orderly end."""

import logging
from typing import Final

from starlette.types import ASGIApp

from llmplatform.process.serving import listen, serve_pages

logger = logging.getLogger("watch.console")

GRACE_S: Final = 10


async def serve(app: ASGIApp, *, host: str, port: int, grace_s: int = GRACE_S) -> None:
    """Serve until SIGTERM or SIGINT; then stop accepting and let requests finish for `grace_s`.

    Raises ConfigFault when the port cannot be had.
    """
    listener = listen(host, port, named_by="WATCH")
    await serve_pages(app, listener, name="console", logger=logger, grace_s=grace_s)
