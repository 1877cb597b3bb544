"""The reply to a client: streamed or in one piece, behind one set of verbs.

`committed` is the point of no return: once any of the answer has left, nothing can be tried again. Pings in
a long silence do not commit to anything but the status.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from gateway.chat import ChatEvent
from gateway.http.asgi import Send
from gateway.http.faults import error_response
from gateway.lifeline import Lifeline
from gateway.surfaces.surface import ReplyEncoder, ReplyHeading, StreamEncoder, Surface
from llmplatform.errors import PlatformFault
from llmplatform.usage import TokenUsage, UsageSource

_STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]


class ClientReply(Protocol):
    """One reply on its way to a client. `send` failing with OSError means that the client has left."""

    committed: bool

    def head(self, heading: ReplyHeading) -> None:
        """Say who answers; again with each attempt, until the reply is committed."""
        ...

    async def deliver(self, events: Sequence[ChatEvent]) -> None:
        """Hand on what one read brought."""
        ...

    async def end(self, usage: TokenUsage, source: UsageSource) -> None:
        """End a complete reply."""
        ...

    async def fail(self, fault: PlatformFault) -> None:
        """End a reply that broke, in whatever form is still possible."""
        ...

    def close(self) -> None:
        """Let go of timers."""
        ...


class WholeReply:
    """A reply in one piece: collected, then sent."""

    __slots__ = ("_encoder", "_send", "_surface", "_trace_id", "committed")

    def __init__(self, surface: Surface, send: Send, trace_id: str) -> None:
        self._surface = surface
        self._send = send
        self._trace_id = trace_id
        self._encoder: ReplyEncoder | None = None
        self.committed = False

    def head(self, heading: ReplyHeading) -> None:
        """Begin anew: nothing of an earlier attempt is kept."""
        self._encoder = self._surface.reply(heading)

    async def deliver(self, events: Sequence[ChatEvent]) -> None:
        """Collect."""
        if self._encoder is not None:
            self._encoder.add(events)

    async def end(self, usage: TokenUsage, source: UsageSource) -> None:
        """Send it all."""
        assert self._encoder is not None  # noqa: S101 - `head` comes before any event
        self.committed = True
        await send_whole(self._send, 200, [], self._encoder.body(usage, source))

    async def fail(self, fault: PlatformFault) -> None:
        """Send an error in its stead."""
        await send_whole(self._send, *error_response(fault, self._trace_id))

    def close(self) -> None:
        """Nothing to let go of."""


class StreamReply:
    """A streamed reply, with pings in long silences and a watch on clients that do not read."""

    __slots__ = (
        "_encoder",
        "_last_sent_s",
        "_lifeline",
        "_loop",
        "_ping_s",
        "_ping_task",
        "_send",
        "_sending",
        "_stall_s",
        "_started",
        "_surface",
        "_timer",
        "_trace_id",
        "committed",
    )

    def __init__(
        self,
        surface: Surface,
        send: Send,
        trace_id: str,
        lifeline: Lifeline,
        *,
        ping_s: float,
        stall_s: float,
    ) -> None:
        self._surface = surface
        self._send = send
        self._trace_id = trace_id
        self._ping_s = ping_s
        self._stall_s = stall_s
        self._lifeline = lifeline
        self._encoder: StreamEncoder | None = None
        self._started = False
        self._sending = 0
        self._ping_task: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._last_sent_s = self._loop.time()
        self._timer = self._loop.call_later(min(ping_s, stall_s), self._tick)
        self.committed = False

    def head(self, heading: ReplyHeading) -> None:
        """Begin anew with the model that answers now."""
        self._encoder = self._surface.stream(heading)

    async def deliver(self, events: Sequence[ChatEvent]) -> None:
        """Send all that one read brought as one piece, at once."""
        assert self._encoder is not None  # noqa: S101 - `head` comes before any event
        data = self._encoder.encode(events)
        if data:
            self.committed = True
            await self._write(data)

    async def end(self, usage: TokenUsage, source: UsageSource) -> None:
        """Send the proper end."""
        assert self._encoder is not None  # noqa: S101 - `head` comes before any event
        self.committed = True
        await self._write(self._encoder.end(usage, source), more=False)

    async def fail(self, fault: PlatformFault) -> None:
        """Send an error: as a status where none has been sent, else as the stream's last event."""
        if not self._started:
            self.close()  # a ping that has not begun would begin after the end
            await send_whole(self._send, *error_response(fault, self._trace_id))
            return
        encoder = self._encoder or self._surface.stream(ReplyHeading("", 0, ""))
        await self._write(encoder.failed(fault, trace_id=self._trace_id), more=False)

    def close(self) -> None:
        """Let go of the timer, and of a ping that nobody takes."""
        self._timer.cancel()
        if self._ping_task is not None:
            self._ping_task.cancel()

    async def _write(self, data: bytes, *, more: bool = True) -> None:
        if self._ping_task is not None and self._ping_task is not asyncio.current_task():
            await asyncio.wait({self._ping_task})
        self._sending += 1
        try:
            if not self._started:
                self._started = True
                await self._send({"type": "http.response.start", "status": 200, "headers": _STREAM_HEADERS})
            await self._send({"type": "http.response.body", "body": data, "more_body": more})
        finally:
            self._sending -= 1
        self._last_sent_s = self._loop.time()

    def _tick(self) -> None:
        quiet_s = self._loop.time() - self._last_sent_s
        if self._sending:
            if quiet_s >= self._stall_s:
                self._lifeline.cut("client_stalled")
                return
        elif quiet_s >= self._ping_s:
            self._ping_task = self._loop.create_task(self._ping())
        self._timer = self._loop.call_later(self._ping_s / 2, self._tick)

    async def _ping(self) -> None:
        try:
            await self._write(self._surface.ping)
        except OSError:
            self._lifeline.client_left()
        finally:
            self._ping_task = None


async def send_whole(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    """Send a JSON response in one piece."""
    length = str(len(body)).encode()
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [(b"content-type", b"application/json"), (b"content-length", length), *headers],
        }
    )
    await send({"type": "http.response.body", "body": body})
