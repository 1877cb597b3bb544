"""Whether there is still someone to answer: ends a request's task when there is not.

While a request runs, its `receive` channel is watched. When the client has gone the request is cut: its task
is cancelled and `RequestCut` comes out of the `async with`. A request whose backend bills the whole reply
anyway is *held* instead: it goes on reading, for a bounded time, so that the ledger has the true usage.
"""

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Literal, Self

from gateway.http.asgi import Receive

CutReason = Literal["client_gone", "client_stalled", "shutting_down"]


class RequestCut(Exception):
    """The request was ended from outside."""

    def __init__(self, reason: CutReason) -> None:
        super().__init__(reason)
        self.reason: CutReason = reason


class Lifelines:
    """All requests under way, and how many replies may be read on for clients that have left."""

    def __init__(self, *, drain_s: float, max_drains: int) -> None:
        self.drain_s = drain_s
        self.max_drains = max_drains
        self.drains = 0
        self.drains_refused = 0
        self.active: set[Lifeline] = set()

    def watch(self, receive: Receive) -> "Lifeline":
        """The lifeline of the calling task's request."""
        return Lifeline(self, receive)

    def cut_all(self, reason: CutReason) -> None:
        """End every request under way."""
        for lifeline in tuple(self.active):
            lifeline.cut(reason)


class Lifeline:
    """One request's client, watched for the length of an `async with`."""

    __slots__ = (
        "_all",
        "_cancels_before",
        "_drain_timer",
        "_held",
        "_receive",
        "_task",
        "_watcher",
        "gone",
        "reason",
    )

    def __init__(self, lifelines: Lifelines, receive: Receive) -> None:
        self._all = lifelines
        self._receive = receive
        self._held = False
        self._drain_timer: asyncio.TimerHandle | None = None
        self.gone = False
        """The client has left. In a held request nothing needs to be sent any more."""
        self.reason: CutReason | None = None

    def hold(self, held: bool) -> None:  # noqa: FBT001
        """Choose what a leaving client means from now on: read on within bounds, or cut at once."""
        self._held = held
        if self.gone and not held:
            self.cut("client_gone")

    def cut(self, reason: CutReason) -> None:
        """End the request."""
        if self.reason is None:
            self.reason = reason
            self._task.cancel()

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine always runs in a task
        self._task = task
        self._cancels_before = task.cancelling()
        self._watcher = asyncio.get_running_loop().create_task(self._watch())
        self._all.active.add(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._all.active.discard(self)
        self._watcher.cancel()
        if self._drain_timer is not None:
            self._drain_timer.cancel()
            self._all.drains -= 1
        if self.reason is None:
            return
        cancelled = kind is not None and issubclass(kind, asyncio.CancelledError)
        if not cancelled:
            # A cancellation that was asked for since the task last waited is still on its way, and would
            # strike at the next wait, far from here.
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0)
        if self._task.uncancel() > self._cancels_before:
            if not cancelled:
                raise asyncio.CancelledError
        elif cancelled or kind is None:
            raise RequestCut(self.reason) from error

    def client_left(self) -> None:
        """The client is known to have gone: cut the request, or let it read on if it is held."""
        if self.gone:
            return
        self.gone = True
        if not self._held:
            self.cut("client_gone")
        elif self._all.drains >= self._all.max_drains:
            self._all.drains_refused += 1
            self.cut("client_gone")
        else:
            self._all.drains += 1
            self._drain_timer = asyncio.get_running_loop().call_later(
                self._all.drain_s, self.cut, "client_gone"
            )

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.client_left()
