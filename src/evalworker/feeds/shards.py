"""One shard's side of the Kinesis consumer: what kcl-rs calls, on threads of its own that it may block.

Nothing may be raised here: kcl-rs logs what leaves a handler, skips the batch and goes on, and the next
checkpoint would then bury it. A batch that cannot be finished is *given up* instead: no checkpoint follows
from this reader, whatever it is handed, and the records come again to whoever holds the lease next.
"""

import asyncio
import contextlib
import logging
import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from datetime import UTC, datetime
from typing import Final

from kcl_rs import (
    Checkpointer,
    CheckpointError,
    InitializeInput,
    LeaseLostInput,
    ProcessRecordsInput,
    Record,
    RecordProcessorBase,
    ShardEndedInput,
    ShutdownRequestedInput,
)

from evalworker.feeds.figures import FeedTally
from evalworker.records import RecordProcessor, StreamRecord
from llmplatform.redaction import describe_fault, safe_label

logger = logging.getLogger(__name__)

FIRST_PAUSE_S: Final = 0.5
MAX_PAUSE_S: Final = 30.0
CHECKPOINT_TRIES: Final = 5
CANCELLED_WITHIN_S: Final = 2.0
LEASE_IS_GONE: Final = "ShutdownException"


class GivenUp(Exception):  # as in llmplatform.errors, not an error but an outcome
    """The batch in hand is not to be finished here: we stop, or its lease is gone."""


class Crossing:
    """The way from the consumer's threads to the processor on the event loop, until it is closed."""

    def __init__(self, processor: RecordProcessor) -> None:
        """Belong to the running event loop."""
        self._processor = processor
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._waiting: set[Future[frozenset[str]]] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = threading.Event()
        self.stuck = asyncio.Event()
        """Set when kcl-rs goes on with a reader that has given up, so that it must be started afresh."""

    def process(self, records: Sequence[StreamRecord]) -> frozenset[str]:
        """What is unfinished of `records`, waited for on the calling thread. Raises GivenUp once closed."""
        with self._lock:
            if self._closed.is_set():
                raise GivenUp
            answer: Future[frozenset[str]] = Future()
            self._waiting.add(answer)
            self._loop.call_soon_threadsafe(self._begin, records, answer)
        try:
            return answer.result()
        except CancelledError:
            raise GivenUp from None
        finally:
            with self._lock:
                self._waiting.discard(answer)

    def pause(self, seconds: float) -> None:
        """Wait on the calling thread. Raises GivenUp once closed, at once."""
        if self._closed.wait(seconds):
            raise GivenUp

    def give_up(self, records: Sequence[StreamRecord]) -> None:
        """Tell the processor that these are not brought to it again."""
        if records:
            self._call(self._processor.give_up, records)

    def report_stuck(self) -> None:
        """Set `stuck`."""
        self._call(self.stuck.set)

    async def close(self, grace_s: float) -> None:
        """Let in nothing more, wait `grace_s` for what is being processed, and cancel the rest."""
        with self._lock:
            self._closed.set()
        await asyncio.sleep(0)  # what was let in before us begins
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_s)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CANCELLED_WITHIN_S)
        with self._lock:
            for answer in self._waiting:
                answer.cancel()

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to care
            self._loop.call_soon_threadsafe(function, *arguments)

    def _begin(self, records: Sequence[StreamRecord], answer: Future[frozenset[str]]) -> None:
        task = self._loop.create_task(self._attempt(records, answer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _attempt(self, records: Sequence[StreamRecord], answer: Future[frozenset[str]]) -> None:
        try:
            unfinished = await self._processor.process(records)
        except asyncio.CancelledError:
            answer.cancel()
            raise
        except Exception as error:  # noqa: BLE001  # a bug of the processor's must not cost a record
            logger.error("the processor raised: %s", describe_fault(error))  # noqa: TRY400  # no text
            unfinished = frozenset(record.sequence_number for record in records)
        if not answer.cancelled():
            answer.set_result(unfinished)


class ShardReader(RecordProcessorBase):
    """Reads one shard for as long as its lease is held; kcl-rs makes one for each lease."""

    def __init__(self, crossing: Crossing, tally: FeedTally) -> None:
        self._crossing = crossing
        self._tally = tally
        self._shard_id = ""
        self._in_hand: Sequence[StreamRecord] = ()
        """What is unfinished of the batch."""
        self._given_up = False

    def initialize(self, initialize_input: InitializeInput) -> None:
        """Take the shard over."""
        self._shard_id = str(initialize_input.shard_id)
        self._tally.lease_taken(self._shard_id)
        logger.info("lease is taken", extra={"shard_id": self._shard_id})

    def process_records(self, process_records_input: ProcessRecordsInput) -> None:
        """Have a batch processed until nothing of it is unfinished, then checkpoint."""
        if self._given_up:
            self._crossing.report_stuck()
            return
        try:
            records = [_stream_record(self._shard_id, record) for record in process_records_input.records]
            checkpointer = process_records_input.checkpointer
            self._tally.batch_read(self._shard_id, len(records), process_records_input.millis_behind_latest)
            self._finish(records, checkpointer)
            self._tally.batch_finished(self._shard_id)
            self._checkpoint(checkpointer, CHECKPOINT_TRIES)
        except GivenUp:
            self._give_up()
        except BaseException as error:  # noqa: BLE001  # a bug of ours: see the module's text
            self._give_up()
            self._crossing.report_stuck()
            logger.error("a batch was given up: %s", describe_fault(error))  # noqa: TRY400  # no text

    def lease_lost(self, lease_lost_input: LeaseLostInput) -> None:  # noqa: ARG002  # it is empty
        """Forget the shard: another worker has it, or we stop."""
        self._let_go("lease is gone")

    def shard_ended(self, shard_ended_input: ShardEndedInput) -> None:
        """Checkpoint the end, without which the shard's children would never be read."""
        try:
            if not self._given_up:
                self._checkpoint(shard_ended_input.checkpointer, None)
        except GivenUp:
            self._given_up = True
        self._let_go("shard has ended")

    def shutdown_requested(self, shutdown_requested_input: ShutdownRequestedInput) -> None:
        """Nothing: what was finished is checkpointed already. kcl-rs 0.1.4 never calls it."""

    def _finish(self, records: Sequence[StreamRecord], checkpointer: Checkpointer) -> None:
        self._in_hand = records
        pause_s = FIRST_PAUSE_S
        while True:
            unfinished = self._crossing.process(self._in_hand)
            self._in_hand = [record for record in self._in_hand if record.sequence_number in unfinished]
            if not self._in_hand:
                return
            self._crossing.pause(pause_s * random.uniform(0.5, 1.0))  # noqa: S311  # jitter
            pause_s = min(2 * pause_s, MAX_PAUSE_S)
            self._assure_lease(checkpointer)
            self._tally.brought_again()

    def _give_up(self) -> None:
        self._given_up = True
        self._crossing.give_up(self._in_hand)
        self._in_hand = ()

    def _assure_lease(self, checkpointer: Checkpointer) -> None:
        """Raise GivenUp when the lease is gone: `lease_lost` is called only after the batch.

        A prepared checkpoint moves no position, and is refused to whoever does not hold the lease. A lease
        store that does not answer says nothing about the lease.
        """
        try:
            checkpointer.prepare_checkpoint()
        except CheckpointError as error:
            self._given_up_if_gone(error)

    def _checkpoint(self, checkpointer: Checkpointer, tries: int | None) -> None:
        """Checkpoint all that was delivered; give it up after `tries`, since the next one covers it."""
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                checkpointer.checkpoint()
            except CheckpointError as error:
                self._given_up_if_gone(error)
                self._tally.checkpoint_failed()
                logger.warning("checkpoint failed: %s", safe_label(error.value))
            else:
                return
            if tries is not None and (tries := tries - 1) == 0:
                return
            self._crossing.pause(pause_s * random.uniform(0.5, 1.0))  # noqa: S311  # jitter
            pause_s = min(2 * pause_s, MAX_PAUSE_S)

    def _given_up_if_gone(self, error: CheckpointError) -> None:
        if error.value == LEASE_IS_GONE:
            self._tally.batch_lost()
            raise GivenUp from None

    def _let_go(self, why: str) -> None:
        self._given_up = True
        self._tally.lease_gone(self._shard_id)
        logger.info(why, extra={"shard_id": self._shard_id})


def _stream_record(shard_id: str, record: Record) -> StreamRecord:
    return StreamRecord(
        shard_id=shard_id,
        sequence_number=str(record.sequence_number),  # the stubs allow None, the service does not
        arrived_at=record.approximate_arrival_timestamp or datetime.now(UTC),
        data=record.binary_data,
    )
