"""The HTTP server and its orderly end."""

import asyncio
import logging
import socket
from collections.abc import Callable

import uvicorn

from gateway.http.asgi import AsgiApp
from gateway.http.protocol import GatewayProtocol
from llmplatform.process.serving import KEEP_ALIVE_S, SignalledServer, listen

logger = logging.getLogger("gateway")

_LAST_WORDS_S = 2.0
"""After the grace: for the streams that were cut to say so."""
_UNREAD_S = 90
"""How long a client may leave what was sent to it unread, or unacknowledged, before the kernel hangs up.

A reply is given up before that, but its connection is not: closing one waits for what is buffered."""
_CANCELLED_WITHIN_S = 1.0
"""For requests that outlived even their last words: to get their records closed."""


async def serve(
    app: AsgiApp,
    *,
    host: str,
    port: int,
    grace_s: float,
    on_stop: Callable[[], None],
    on_grace_over: Callable[[], None],
) -> None:
    """Serve until SIGTERM or SIGINT; then stop accepting and let streams finish for `grace_s`.

    `on_stop` is called at the signal, `on_grace_over` when streams are still open after the grace. Returns
    when the last one is closed. Raises ConfigFault when the port cannot be had.
    """
    listener = listen(host, port, named_by="GATEWAY")
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; connections inherit it
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(_UNREAD_S * 1_000))
    config = uvicorn.Config(
        app,
        loop="none",
        http=GatewayProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=2_048,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(grace_s + _LAST_WORDS_S) + 1,
    )
    server = _Server(config, grace_s, on_stop, on_grace_over)
    bound_host, bound_port = listener.getsockname()[:2]
    logger.info("gateway is listening", extra={"host": bound_host, "port": bound_port})
    await server.serve(sockets=[listener])
    if server.server_state.tasks:  # cancelled by uvicorn, which does not wait for them
        await asyncio.wait(set(server.server_state.tasks), timeout=_CANCELLED_WITHIN_S)
    logger.info("gateway has stopped serving")


class _Server(SignalledServer):
    """One that gives streams a grace to end in."""

    def __init__(
        self,
        config: uvicorn.Config,
        grace_s: float,
        on_stop: Callable[[], None],
        on_grace_over: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._grace_s = grace_s
        self._on_stop = on_stop
        self._on_grace_over = on_grace_over

    def stopping(self) -> None:
        """Let streams go on for the grace."""
        logger.info("gateway is stopping")
        self._on_stop()
        asyncio.get_running_loop().call_later(self._grace_s, self._on_grace_over)
