"""The HTTP server and its orderly end."""

import logging
from typing import Final

from costagg.api.observe import AsgiApp
from llmplatform.process.serving import listen, serve_pages

logger = logging.getLogger("costagg.api")

GRACE_S: Final = 28
"""Longer than any answer may take."""


async def serve(app: AsgiApp, *, host: str, port: int, grace_s: int = GRACE_S) -> None:
    """Serve until SIGTERM or SIGINT; then stop accepting and let requests finish for `grace_s`.

    Raises ConfigFault when the port cannot be had.
    """
    listener = listen(host, port, named_by="COST_API")
    await serve_pages(app, listener, name="billing API", logger=logger, grace_s=grace_s)
