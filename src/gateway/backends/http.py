"""One HTTP exchange with a backend: four timeouts, a reply read as it arrives, and a certain end.

The connection goes back to the pool only when the reply was read to its end; on any other exit, a
cancellation before the head included, it is closed at once, so that the backend sees the caller leave.
Not here: what is in the bodies (`gateway.dialects`), signing (`aws`), trying again (routing).
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload
from yarl import URL

from gateway.chat import CONTENT_EVENTS, ChatEvent, Finished, StreamFailed
from gateway.dialects.dialect import Dialect, StreamDecoder
from gateway.dialects.faults import corrupt, head_fault, unreachable
from llmplatform.catalogue import Timeouts
from llmplatform.errors import BackendTimedOut, TimeoutPhase

_OK: Final = 200
_FIRST_EVENTS: Final = (*CONTENT_EVENTS, Finished)  # a running count of 0 is no first token
_MAX_ERROR_BODY: Final = 64 * 1024
_ERROR_BODY_TIMEOUT_S: Final = 2.0
_MAX_WHOLE_REPLY: Final = 32 * 1024 * 1024
_LARGE_BODY: Final = 512 * 1024
_WRITE_SIZE: Final = 64 * 1024
_READ_BUFFER: Final = 256 * 1024
_LOOK_AGAIN_S: Final = 0.05

# A quiet stream crosses NATs and load balancers that forget it after some minutes (350 s on AWS's): probes
# keep it known, and find a peer that is gone.
_KEEPALIVE: Final = (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))


def open_session(*, max_connections: int = 0, keepalive_s: float = 30.0) -> aiohttp.ClientSession:
    """Open the client session that all backends of a process share; close it at the end.

    `max_connections` 0 is no limit: how many calls may run is decided by the gateway's own limits. Needs a
    running loop.
    """
    connector = aiohttp.TCPConnector(
        limit=max_connections,
        keepalive_timeout=keepalive_s,
        ttl_dns_cache=30,
        socket_factory=_keepalive_socket,
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding"),
        read_bufsize=_READ_BUFFER,
        timeout=aiohttp.ClientTimeout(total=None),
    )


def _keepalive_socket(address: Any) -> socket.socket:
    family, kind, protocol = address[:3]
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE:
        if hasattr(socket, name):  # macOS names the first one otherwise
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return made


@dataclass(frozen=True, slots=True)
class HttpCall:
    """A request, ready to be sent."""

    url: URL
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    timeouts: Timeouts
    streamed: bool
    """Whether the reply arrives bit by bit; else only the connect and total timeouts hold."""


@asynccontextmanager
async def exchange(
    session: aiohttp.ClientSession, call: HttpCall, decoder: StreamDecoder
) -> AsyncGenerator["HttpReply", None]:
    """Send the call and give its reply, once its head is there and good.

    Raises a BackendFault for anything else.
    """
    loop = asyncio.get_running_loop()
    now = loop.time()
    deadlines = _Deadlines(call.timeouts, now, streamed=call.streamed)
    response = await _send(session, call, deadlines)
    reply = HttpReply(response, decoder, deadlines)
    try:
        if response.status != _OK:
            body = await _error_body(response)
            raise head_fault(response.status, response.headers, body)
        yield reply
    finally:
        reply.stop_watching()
        # At the end of the body aiohttp has given the connection back already, and this changes nothing.
        response.close()


class HttpReply:
    """An open reply; see `backend.BackendReply`."""

    __slots__ = (
        "_content",
        "_deadlines",
        "_decoder",
        "_ended",
        "_late",
        "_loop",
        "_timer",
        "_waiting_since_s",
        "status",
        "upstream_request_id",
    )

    def __init__(
        self, response: aiohttp.ClientResponse, decoder: StreamDecoder, deadlines: "_Deadlines"
    ) -> None:
        self.status: int = response.status
        self.upstream_request_id: str | None = response.headers.get("x-amzn-RequestId")
        self._content = response.content
        self._decoder = decoder
        self._deadlines = deadlines
        self._ended = False
        self._late: TimeoutPhase | None = None
        self._waiting_since_s: float | None = None
        self._loop = asyncio.get_running_loop()
        # One timer a reply, which looks at how long the read under way has waited: a timer a read would be
        # a tenth of what a paced token costs.
        self._timer = self._loop.call_at(deadlines.next(self._loop.time())[0], self._look)

    async def read(self) -> Sequence[ChatEvent]:
        """The events of what has arrived, waiting for at least one; empty at the end of the reply."""
        if self._ended:
            return ()
        content, feed = self._content, self._decoder.feed
        while True:
            try:
                self._waiting_since_s = self._loop.time()
                data = await content.readany()
                self._waiting_since_s = None
            except TimeoutError:
                self._ended = True
                raise _timed_out(self._late or "total") from None
            except (aiohttp.ClientError, OSError):
                return self._broken()
            if not data:
                self._ended = True
                return self._decoder.finish()
            if events := feed(data):
                if not self._deadlines.first_came and any(isinstance(e, _FIRST_EVENTS) for e in events):
                    self._deadlines.first_came = True
                    self._timer.cancel()
                    self._look()  # the idle timeout may be the shorter one
                if type(events[-1]) is StreamFailed:
                    self._ended = True
                return events

    def stop_watching(self) -> None:
        """Let go of the timer."""
        self._timer.cancel()

    def _look(self) -> None:
        """End the read under way if its time is up, else look again when it would be."""
        now = self._loop.time()
        since = now if self._waiting_since_s is None else self._waiting_since_s
        at, phase = self._deadlines.next(since)
        if at <= now and self._waiting_since_s is not None:
            self._late = phase
            self._content.set_exception(TimeoutError())
        else:
            # Nobody waits, or has not waited long enough; the total may pass while the client is slow.
            self._timer = self._loop.call_at(max(at, now + _LOOK_AGAIN_S), self._look)

    def _broken(self) -> Sequence[ChatEvent]:
        """The last events of a reply whose connection broke: what had arrived before that is still good."""
        self._ended = True
        # The public read raises as soon as the connection is lost, whatever lies unread.
        rest: bytes = self._content._read_nowait(-1)  # noqa: SLF001
        events = [*self._decoder.feed(rest)] if rest else []
        if not events or type(events[-1]) is not StreamFailed:
            events += self._decoder.finish()
        return events


class WholeReply:
    """Gathers an unstreamed reply and decodes it at its end."""

    __slots__ = ("_dialect", "_parts", "_size")

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> Sequence[ChatEvent]:
        """Nothing yet, unless the reply outgrows its limit."""
        self._parts.append(data)
        self._size += len(data)
        if self._size > _MAX_WHOLE_REPLY:
            return [StreamFailed(corrupt("the reply is over the limit"))]
        return ()

    def finish(self) -> Sequence[ChatEvent]:
        """All events of the reply."""
        return self._dialect.decode_reply(b"".join(self._parts))


class _Deadlines:
    """When which timeout of one exchange passes, in the loop's time."""

    __slots__ = ("_first_at", "_idle_s", "_total_at", "first_came")

    def __init__(self, timeouts: Timeouts, now: float, *, streamed: bool) -> None:
        self._total_at = now + timeouts.total_s
        # An unstreamed reply comes in one piece at its end: its first event is also its last.
        self._first_at = now + timeouts.first_token_s if streamed else self._total_at
        self._idle_s = timeouts.idle_s
        self.first_came = False

    def next(self, since: float) -> tuple[float, TimeoutPhase]:
        """The timeout that passes first, for a wait that began at `since`."""
        at, phase = self._first_at, "first_token"
        if self.first_came:
            at, phase = since + self._idle_s, "idle"
        return (at, phase) if at < self._total_at else (self._total_at, "total")  # type: ignore[return-value]


async def _send(
    session: aiohttp.ClientSession, call: HttpCall, deadlines: _Deadlines
) -> aiohttp.ClientResponse:
    deadline, phase = deadlines.next(asyncio.get_running_loop().time())
    body = call.body if len(call.body) < _LARGE_BODY else _LargeBody(call.body)
    try:
        async with asyncio.timeout_at(deadline):
            return await session.post(
                call.url,
                data=body,
                headers=call.headers,
                allow_redirects=False,
                timeout=_connect_timeout(call.timeouts.connect_s),
            )
    except aiohttp.ConnectionTimeoutError:
        raise _timed_out("connect") from None
    except TimeoutError:
        raise _timed_out(phase) from None
    except (aiohttp.ClientConnectionError, OSError) as error:
        raise unreachable(error) from None
    except aiohttp.ClientError:
        # Not chained: such an error carries the request's headers, credentials among them.
        raise corrupt("the reply's head is not HTTP") from None


async def _error_body(response: aiohttp.ClientResponse) -> bytes:
    """The beginning of an error's body; what cannot be had in time is left out."""
    body = bytearray()
    with contextlib.suppress(TimeoutError, aiohttp.ClientError, OSError):
        async with asyncio.timeout(_ERROR_BODY_TIMEOUT_S):
            while len(body) < _MAX_ERROR_BODY and (data := await response.content.readany()):
                body += data
    return bytes(body)


def _timed_out(phase: TimeoutPhase) -> BackendTimedOut:
    return BackendTimedOut(f"the {phase.replace('_', ' ')} timeout passed", phase=phase)


@lru_cache(maxsize=64)
def _connect_timeout(seconds: float) -> aiohttp.ClientTimeout:
    """A pool that is full, name resolution, TCP and TLS together; the other timeouts are ours."""
    # Above its threshold aiohttp would round up to whole seconds.
    return aiohttp.ClientTimeout(total=None, connect=seconds, ceil_threshold=seconds + 1)


class _LargeBody(Payload):
    """A body of megabytes (images), written piece by piece so that the loop stays free."""

    _autoclose = True

    def __init__(self, value: bytes) -> None:
        super().__init__(value)
        self._size = len(value)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The body as text."""
        content: bytes = self._value
        return content.decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write it all, waiting for the socket between pieces."""
        for at in range(0, len(self._value), _WRITE_SIZE):
            await writer.write(self._value[at : at + _WRITE_SIZE])
            await writer.drain()
