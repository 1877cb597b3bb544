"""The HTTP server and its orderly end."""

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from gateway.http.asgi import AsgiApp
from gateway.http.protocol import GatewayProtocol
from llmplatform.errors import ConfigFault

logger = logging.getLogger("gateway")

_KEEP_ALIVE_S = 75
"""Longer than a load balancer's idle timeout (60 s), so that it is never the server that hangs up first."""
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
    listener = _listen(host, port)
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
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(grace_s + _LAST_WORDS_S) + 1,
    )
    server = _Server(config, grace_s, on_stop, on_grace_over)
    bound_host, bound_port = listener.getsockname()[:2]
    logger.info("gateway is listening", extra={"host": bound_host, "port": bound_port})
    await server.serve(sockets=[listener])
    if server.server_state.tasks:  # cancelled by uvicorn, which does not wait for them
        await asyncio.wait(set(server.server_state.tasks), timeout=_CANCELLED_WITHIN_S)
    logger.info("gateway has stopped serving")


class _Server(uvicorn.Server):
    """uvicorn, ending on its own terms: it would end itself again by the signal that it caught."""

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
        if self.should_exit:
            return
        logger.info("gateway is stopping")
        self.should_exit = True
        self._on_stop()
        asyncio.get_running_loop().call_later(self._grace_s, self._on_grace_over)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With its protocol named: asyncio switches Nagle off only for sockets that say they are TCP.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; connections inherit it
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(_UNREAD_S * 1_000))
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigFault(
            f"GATEWAY_HOST {host}, GATEWAY_PORT {port}: cannot listen there ({error.strerror})"
        ) from error
    listener.setblocking(False)
    return listener
