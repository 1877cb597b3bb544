"""The loop that every sink shares: a bounded queue, batches, retries with jitter, exact counts, a deadline.

A sink says how an item is encoded and how one batch is delivered. A receiver that is dead, slow or talks
nonsense costs drops, which are counted, and a bounded amount of memory; nothing is ever raised at the
caller. What is not here: any receiver's protocol.
"""

import asyncio
import contextlib
import logging
import random
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from llmplatform.redaction import describe_fault
from llmplatform.sinks import ItemT, SinkCounts

logger = logging.getLogger(__name__)

EncodedT = TypeVar("EncodedT")

CLOSE_TIMEOUT_S: Final = 1.0
# While closing there is a deadline to meet: no long pauses any more.
CLOSING_PAUSE_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a sink holds and how hard it tries."""

    queued_items: int
    queued_bytes: int
    """Both count what is in flight too."""
    batch_items: int
    batch_bytes: int
    linger_s: float
    """How long an incomplete batch waits for more."""
    in_flight: int = 1
    """Batches on their way at once."""
    tries: int = 20
    """Attempts at one batch. While the receiver is down only `in_flight` batches use theirs up."""
    first_pause_s: float = 0.1
    max_pause_s: float = 15.0
    attempt_timeout_s: float | None = 10.0


@dataclass(frozen=True, slots=True)
class Receipt(Generic[EncodedT]):
    """What a receiver did with a batch: took all of it, but for these."""

    retry: Sequence[EncodedT] = ()
    refused: int = 0
    """Items that it will never take."""


class BatchingSink(ABC, Generic[ItemT, EncodedT]):
    """A Sink that encodes items as they come and delivers them in batches from a task of its own.

    `accept` is for the event loop's thread.
    """

    def __init__(self, name: str, limits: Limits) -> None:
        self.name = name
        self.counts = SinkCounts()
        self._limits = limits
        self._queue: deque[tuple[EncodedT, int]] = deque()
        self._held_bytes = 0
        self._arrived = asyncio.Event()
        self._full = asyncio.Event()
        self._closing = asyncio.Event()
        self._slots = asyncio.Semaphore(limits.in_flight)
        self._dispatcher: asyncio.Task[None] | None = None
        self._deliveries: set[asyncio.Task[None]] = set()
        self._failing = False

    # -- what a sink says

    @abstractmethod
    def _encode(self, item: ItemT) -> tuple[EncodedT, int]:
        """The item as it is queued, and its size in bytes."""

    @abstractmethod
    async def _deliver(self, batch: Sequence[EncodedT]) -> Receipt[EncodedT]:
        """Hand a batch to the receiver, once. Whatever is raised has the whole batch tried again."""

    async def _open(self) -> None:
        """Make what `_deliver` needs, without waiting for the receiver."""

    async def _close(self) -> None:
        """Give it back."""

    # -- the Sink

    def accept(self, item: ItemT) -> None:
        """Take `item`, or drop and count it. Never blocks, never raises."""
        counts, limits = self.counts, self._limits
        counts.accepted += 1
        if self._closing.is_set() or counts.pending > limits.queued_items:
            counts.dropped += 1
            return
        try:
            encoded, size = self._encode(item)
        except Exception as error:  # noqa: BLE001  # the sink's edge: an item that cannot be encoded is a drop
            counts.dropped += 1
            self._note_failure(error)
            return
        if size > limits.batch_bytes or self._held_bytes + size > limits.queued_bytes:
            counts.dropped += 1
            return
        self._held_bytes += size
        self._queue.append((encoded, size))
        self._arrived.set()
        if len(self._queue) >= limits.batch_items:
            self._full.set()

    async def start(self) -> None:
        """Begin to deliver."""
        await self._open()
        self._dispatcher = asyncio.create_task(self._dispatch(), name=f"sink-{self.name}")

    async def flush(self, deadline_s: float) -> None:
        """Deliver what is pending within `deadline_s`, count the rest as dropped, and stop."""
        for event in (self._closing, self._arrived, self._full):
            event.set()
        if self._dispatcher is not None:
            await asyncio.wait({self._dispatcher}, timeout=deadline_s)
            ours = {self._dispatcher, *self._deliveries}
            for task in ours:
                task.cancel()
            await asyncio.gather(*ours, return_exceptions=True)
            self._dispatcher = None
            try:
                async with asyncio.timeout(CLOSE_TIMEOUT_S):
                    await self._close()
            except Exception as error:  # noqa: BLE001  # nothing is lost by a receiver that will not say goodbye
                self._note_failure(error)
        self.counts.dropped += self.counts.pending
        self._queue.clear()
        self._held_bytes = 0

    # -- the loop

    async def _dispatch(self) -> None:
        """Cut batches and send each on its way, until closed and empty."""
        while True:
            if not self._queue:
                if self._closing.is_set():
                    break
                self._arrived.clear()
                await self._arrived.wait()
                continue
            await self._linger()
            await self._slots.acquire()
            batch, size = self._cut()
            delivery = asyncio.create_task(self._deliver_all(batch, size))
            self._deliveries.add(delivery)
            delivery.add_done_callback(self._deliveries.discard)
        await asyncio.gather(*self._deliveries)

    async def _linger(self) -> None:
        if len(self._queue) >= self._limits.batch_items or self._closing.is_set():
            return
        self._full.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._limits.linger_s):
                await self._full.wait()

    def _cut(self) -> tuple[list[EncodedT], int]:
        """The next batch and its bytes; at least one item."""
        batch: list[EncodedT] = []
        size = 0
        while self._queue and len(batch) < self._limits.batch_items:
            if batch and size + self._queue[0][1] > self._limits.batch_bytes:
                break
            item, item_size = self._queue.popleft()
            batch.append(item)
            size += item_size
        return batch, size

    async def _deliver_all(self, batch: Sequence[EncodedT], size: int) -> None:
        try:
            undelivered = await self._try_hard(batch)
            self.counts.dropped += len(undelivered)
        finally:
            self._held_bytes -= size
            self._slots.release()

    async def _try_hard(self, batch: Sequence[EncodedT]) -> Sequence[EncodedT]:
        """What is left of a batch when all tries are used up."""
        limits = self._limits
        for attempt in range(limits.tries):
            if attempt:
                await self._pause(min(limits.first_pause_s * 2 ** (attempt - 1), limits.max_pause_s))
            try:
                async with asyncio.timeout(limits.attempt_timeout_s):
                    receipt = await self._deliver(batch)
                retry, refused = list(receipt.retry), receipt.refused
            except Exception as error:  # noqa: BLE001  # a receiver may fail in any way; it is retried, then counted
                self._note_failure(error)
                continue
            self.counts.delivered += len(batch) - len(retry) - refused
            self.counts.dropped += refused
            batch = retry
            if not batch:
                self._failing = False
                break
        return batch

    async def _pause(self, ceiling_s: float) -> None:
        """Wait between half of a ceiling and all of it; a flush cuts the wait short."""
        if self._closing.is_set():
            await asyncio.sleep(min(ceiling_s, CLOSING_PAUSE_S))
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ceiling_s * random.uniform(0.5, 1.0)):  # noqa: S311  # jitter
                await self._closing.wait()

    def _note_failure(self, error: Exception) -> None:
        """Say once that deliveries fail, not at every try."""
        if not self._failing:
            self._failing = True
            logger.warning("sink %s: %s", self.name, describe_fault(error))
