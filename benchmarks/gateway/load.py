"""The load client: raw HTTP/1.1 over kept-alive connections, cheap for the machine that it shares.

It parses no more than it must: the status, where the body ends, and when the first token came. That answers
are right is checked once per target, by `targets.check`.
"""

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import cast

_TAIL_BYTES = 256
_LAST_CHUNK = b"0\r\n\r\n"
_GRACE_S = 20.0
"""For exchanges under way when a run's time is up."""


class ExchangeFailed(Exception):
    """An answer that is none: another status than 200, or a connection that broke."""


@dataclass(frozen=True, slots=True)
class Wire:
    """What a target's answers look like."""

    host: str
    port: int
    token_mark: bytes
    """Stands in what carries a token, and nowhere before the first one."""
    end_mark: bytes
    """Among the last bytes of a whole stream."""


@dataclass(slots=True)
class LoadResult:
    """What came of one run."""

    completed: int = 0
    cancelled: int = 0
    failed: int = 0
    first_failure: str | None = None
    wall_s: float = 0.0
    ttft_ns: list[int] = field(default_factory=list)


class _Connection(asyncio.Protocol):
    """One connection, one exchange at a time."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._transport: asyncio.Transport | None = None
        self._ended: asyncio.Future[None] | None = None
        self._head = b""
        self._in_body = False
        self._left: int | None = None
        self._tail = b""
        self._streams = False
        self._leave_early = False
        self.first_token_ns: int | None = None

    @property
    def open(self) -> bool:
        """Whether another exchange can go over it."""
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none of asyncio's classes

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        """Fail the exchange that was under way."""
        if self._ended is not None and not self._ended.done():
            self._ended.set_exception(ExchangeFailed("connection lost"))

    async def exchange(self, request: bytes, *, streams: bool, leave_early: bool) -> int | None:
        """Send the request and read its answer; returns ns to the first token, for streams.

        With `leave_early` the connection is closed at the first token. Raises ExchangeFailed.
        """
        assert self._transport is not None
        self._ended = asyncio.get_running_loop().create_future()
        self._head, self._tail, self._in_body, self._left = b"", b"", False, None
        self._streams, self._leave_early, self.first_token_ns = streams, leave_early, None
        began = time.perf_counter_ns()
        self._transport.write(request)
        await self._ended
        return None if self.first_token_ns is None else self.first_token_ns - began

    def data_received(self, data: bytes) -> None:
        """Look for the end and, in a stream, the first token."""
        if not self._in_body:
            self._head += data
            head, found, data = self._head.partition(b"\r\n\r\n")
            if not found:
                return
            self._begin_body(head.lower())
            if not head.startswith(b"HTTP/1.1 200"):
                status = head[:40].decode("latin-1").partition("\r\n")[0]
                self._end(ExchangeFailed(f"{status}: {data[:200]!r}"))
                return
        if self._streams and self.first_token_ns is None and self._wire.token_mark in data:
            self.first_token_ns = time.perf_counter_ns()
            if self._leave_early:
                self._end(None)
                self.close()
                return
        self._tail = (self._tail + data)[-_TAIL_BYTES:]
        if self._left is not None:
            self._left -= len(data)
            whole = self._left <= 0
        else:
            whole = self._tail.endswith(_LAST_CHUNK)
        if whole:
            lost_end = self._streams and self._wire.end_mark not in self._tail
            self._end(ExchangeFailed("stream ended without its end mark") if lost_end else None)

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()

    def _begin_body(self, head: bytes) -> None:
        self._in_body = True
        _, found, rest = head.partition(b"content-length:")
        self._left = int(rest.partition(b"\r\n")[0]) if found else None

    def _end(self, failure: ExchangeFailed | None) -> None:
        if self._ended is None or self._ended.done():
            return
        if failure is None:
            self._ended.set_result(None)
        else:
            self._ended.set_exception(failure)
            self.close()


@dataclass(frozen=True, slots=True)
class Work:
    """What is asked for, how often, and how much of it at once."""

    requests: Iterator[bytes] = field(repr=False)
    total: int
    concurrency: int
    streams: bool
    spread_s: float = 0.0
    """Connections begin this far apart from first to last, so that streams do not march in step."""
    leave_early_every: int = 0
    """Every so many-th stream is closed at its first token; 0 is none."""
    limit_s: float = 60.0
    """No exchange begins after so long."""


async def run_load(wire: Wire, work: Work, on_progress: Callable[[int], None] | None = None) -> LoadResult:
    """Do the work; `on_progress` hears how many exchanges are over."""
    result = LoadResult()
    began = time.perf_counter()
    numbers = itertools.count(1)

    async def connection_loop(delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        connection: _Connection | None = None
        while (number := next(numbers)) <= work.total and time.perf_counter() - began < work.limit_s:
            early = bool(work.leave_early_every) and number % work.leave_early_every == 0
            try:
                if connection is None or not connection.open:
                    loop = asyncio.get_running_loop()
                    _, connection = await loop.create_connection(
                        lambda: _Connection(wire), wire.host, wire.port
                    )
                ttft_ns = await connection.exchange(
                    next(work.requests), streams=work.streams, leave_early=early
                )
            except (ExchangeFailed, OSError) as failure:
                result.failed += 1
                result.first_failure = result.first_failure or str(failure)
                continue
            if early:
                result.cancelled += 1
            else:
                result.completed += 1
            if ttft_ns is not None:
                result.ttft_ns.append(ttft_ns)
            if on_progress is not None:
                on_progress(number)
        if connection is not None:
            connection.close()

    delays = (work.spread_s * i / work.concurrency for i in range(work.concurrency))
    loops = [asyncio.create_task(connection_loop(delay)) for delay in delays]
    _, unfinished = await asyncio.wait(loops, timeout=work.limit_s + _GRACE_S)
    for task in unfinished:
        task.cancel()
        result.failed += 1
        result.first_failure = result.first_failure or "not over when the time was up"
    await asyncio.gather(*loops, return_exceptions=True)
    result.wall_s = time.perf_counter() - began
    return result
