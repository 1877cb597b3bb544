"""One HTTP/1.1 connection: uvicorn's protocol, where it trusts clients more than a gateway may.

- A request's head is bounded, before anybody is authenticated: the parser would hold any amount of it.
- When a connection is lost, every request on it hears of it, not only the last of a pipeline.
- A request that offers an upgrade that we do not speak keeps its body. Java's own HTTP client offers
  HTTP/2 (`Upgrade: h2c`) with every plain-text request.
"""

import logging
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

logger = logging.getLogger("gateway")

MAX_HEAD_BYTES: Final = 64 * 1024
"""Of a request line and its headers, or of trailers. What AWS's load balancers let through is less."""

_TOO_LARGE: Final = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
)
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})


class GatewayProtocol(HttpToolsProtocol):
    """What the server makes of each connection."""

    _head_bytes = 0
    _resuming = False
    _running: RequestResponseCycle | None = None

    def data_received(self, data: bytes) -> None:
        """Take in what a client sent."""
        self._unset_keepalive_if_required()
        self._head_bytes += len(data)  # set to 0 again by any piece of a body and by the end of a request
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._go_on_without_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")
            return
        if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refuse_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell every request on this connection."""
        waiting = [cycle for cycle, _ in self.pipeline]
        self.pipeline.clear()
        for cycle in (self._running, *waiting):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """See HttpToolsProtocol."""
        if not self._resuming:
            super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """See HttpToolsProtocol."""
        if not self._resuming:
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """See HttpToolsProtocol."""
        if not self._resuming:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """See HttpToolsProtocol."""
        if self._resuming:
            self._resuming = False
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """See HttpToolsProtocol."""
        self._head_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """See HttpToolsProtocol."""
        self._head_bytes = 0
        super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _go_on_without_upgrade(self, rest: bytes) -> None:
        """Read the body that the parser left, having taken it for the start of another protocol.

        Its request is already known and its task has not run yet: only what frames the body is told again.
        """
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.cycle.more_body = True
        self.cycle.message_event.clear()
        self._resuming = True
        framing = b"".join(b"%b: %b\r\n" % header for header in self.headers if header[0] in _FRAMING)
        self.data_received(b"POST / HTTP/1.1\r\n%b\r\n%b" % (framing, rest))

    def _refuse_head(self) -> None:
        logger.warning("a request's head is over the limit", extra={"limit_bytes": MAX_HEAD_BYTES})
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(_TOO_LARGE)
            self.transport.close()
        else:
            self.transport.abort()  # a reply is on its way: a status would land in the midst of it
