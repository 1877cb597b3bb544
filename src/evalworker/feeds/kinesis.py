"""The Kinesis consumer: kcl-rs finds the shards, shares them out among workers and reads them.

Here is its life: starting it, starting it again when it ends by itself, and stopping it within bounds.
What happens with a batch is `shards`, what can be seen of it `figures`. Why this library, and what it does
with credentials and endpoints, is decision 0011.
"""

import asyncio
import logging
from functools import partial
from typing import Any, Final

from kcl_rs import Scheduler

from evalworker.feeds.figures import FeedFigures, FeedTally
from evalworker.feeds.shards import Crossing, ShardReader
from evalworker.records import RecordProcessor
from llmplatform.clock import Clock, SystemClock
from llmplatform.process.thread import DaemonThread
from llmplatform.redaction import describe_fault

logger = logging.getLogger(__name__)

RESTART_PAUSE_S: Final = 5.0
# In the midst of its own start (it waits for leases up to 30 s, then one shard sync) kcl-rs does not end
# sooner, but it holds no lease then: nothing is lost by leaving it behind.
SHUTDOWN_WITHIN_S: Final = 8.0


class KinesisFeed:
    """Reads a stream with as many workers as share `application_name`, which is their lease table's too.

    Each record goes to the processor at least once, and a shard's records in order unless some are brought
    again. A shard's next batch begins when the one before is finished.
    """

    def __init__(
        self,
        processor: RecordProcessor,
        *,
        stream: str,
        application_name: str,
        region: str,
        clock: Clock | None = None,
        worker_id: str | None = None,
        fan_out: bool = False,
        max_batch: int = 200,
        idle_ms: int = 1_000,
        shard_sync_ms: int = 10_000,
        grace_s: float = 10.0,
    ) -> None:
        """Start nothing yet.

        Credentials and endpoints come from the environment, as for any AWS SDK. `worker_id` must be no
        other worker's; None has one made up. `max_batch` records are read every `idle_ms`, which bounds
        what one shard can give; with `fan_out` Kinesis pushes them instead, as they come and as many as it
        likes, to the stream's consumer of the name `application_name`. `shard_sync_ms` is how long a first
        worker waits for the lease table that it has just made. `grace_s` is for the batches that are in hand
        when told to stop.
        """
        self._processor = processor
        self._tally = FeedTally(clock or SystemClock())
        self._grace_s = grace_s
        retrieval: dict[str, Any] = {"retrieval_mode": "FANOUT"}
        if not fan_out:
            retrieval = {
                "retrieval_mode": "POLLING",
                "max_records": max_batch,
                "idle_time_between_reads_millis": idle_ms,
            }
        self._consumer = partial(
            Scheduler,
            stream_name=stream,
            application_name=application_name,
            region=region,
            worker_identifier=worker_id,
            initial_position="TRIM_HORIZON",
            shard_sync_interval_millis=shard_sync_ms,
            **retrieval,
        )

    @property
    def figures(self) -> FeedFigures:
        """How it goes, at this moment."""
        return self._tally.figures()

    async def run(self, stop: asyncio.Event) -> None:
        """Feed the processor until `stop` is set, then give the batches in hand their grace.

        What is not finished by then is cancelled and not checkpointed: it comes again. When this is
        cancelled itself, there is no grace.
        """
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stopping.done():
                await self._consume(stopping)
                await asyncio.wait({stopping}, timeout=RESTART_PAUSE_S)
        finally:
            stopping.cancel()

    async def _consume(self, stopping: asyncio.Task[bool]) -> None:
        """One life of the consumer: until we stop, it ends by itself, or it is stuck."""
        crossing = Crossing(self._processor)
        consumer = self._consumer(record_processor_factory=lambda: ShardReader(crossing, self._tally))
        thread = DaemonThread("kinesis-consumer")
        life = asyncio.create_task(thread.run(consumer.run))
        stuck = asyncio.create_task(crossing.stuck.wait())
        self._tally.started()
        try:
            await asyncio.wait({life, stuck, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if stopping.done():
                await crossing.close(self._grace_s)
            else:
                logger.error("the Kinesis consumer %s", "ended" if life.done() else "is stuck")
        finally:
            stuck.cancel()
            await crossing.close(0)
            await _end(consumer, life)
            thread.stop()
            self._tally.ended()


async def _end(consumer: Scheduler, life: asyncio.Task[None]) -> None:
    """Have the consumer end, its leases with it, and wait for that within bounds."""
    if not life.done():
        messenger = DaemonThread("kinesis-consumer-shutdown")
        shutdown = asyncio.create_task(messenger.run(consumer.shutdown))
        shutdown.add_done_callback(_retrieve)
        await asyncio.wait({life}, timeout=SHUTDOWN_WITHIN_S)
        shutdown.cancel()
        messenger.stop()
    if not life.done():
        life.cancel()
        logger.warning("the Kinesis consumer did not end in time")
    elif (error := life.exception()) is not None:
        logger.error("the Kinesis consumer failed: %s", describe_fault(error))


def _retrieve(shutdown: asyncio.Task[None]) -> None:
    """Take what it raised, a crash of the consumer, which its own life tells too."""
    if not shutdown.cancelled():
        shutdown.exception()
