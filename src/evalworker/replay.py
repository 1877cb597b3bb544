"""Samples read again and evaluated again: by the same loop, to the same keys, at the time they happened.

What the present judge has scored already is known and costs nothing, so a replay that was cut off is simply
run again, and a new rubric scores what an old one did, beside its results. Samples come from the stream,
which has all of them for a week, or from the history, which has for good those that were judged once.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec
from botocore.exceptions import ClientError

from evalworker.intake import read_event, refuses
from evalworker.records import RecordProcessor, StreamRecord
from evalworker.stores.history_reader import read_events
from evalworker.stores.objects import Objects
from evalworker.tally import Tally
from llmplatform.aws.refusals import error_code
from llmplatform.aws.tables import EVAL_STREAM
from llmplatform.evaluations import ResultKey
from llmplatform.policy import TenantPolicy
from llmplatform.samples import SampleEvent

if TYPE_CHECKING:  # the stubs are installed for checking only
    from types_aiobotocore_kinesis import KinesisClient

HISTORY: Final = "history"
"""The shard of what does not come from the stream."""
TRIES: Final = 6
FIRST_PAUSE_S: Final = 1.0
# A shard gives five reads a second to all of its readers together, and the worker is one.
READ_PAUSE_S: Final = 0.3
RECORDS_PER_READ: Final = 1_000
# A sample is on the stream within seconds; after an outage of the stream, within the gateway's patience.
LATE: Final = timedelta(hours=1)
CLOCKS_DIFFER: Final = timedelta(minutes=5)
_THROTTLED: Final = frozenset({"ProvisionedThroughputExceededException", "LimitExceededException"})
_THROTTLED_PAUSE_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Scope:
    """Which samples: of requests completed from `start` until before `end`, of one tenant or of all."""

    start: datetime
    end: datetime
    tenant_id: str | None = None

    def has(self, record: StreamRecord) -> bool:
        """Whether a record is meant; one that cannot be read, by its arrival and if all tenants are meant."""
        event = read_event(record.data)
        if isinstance(event, SampleEvent):
            return self.start <= event.completed_at < self.end and self.tenant_id in {None, event.tenant_id}
        return self.tenant_id is None and self.start <= record.arrived_at < self.end


@dataclass(slots=True)
class Replayed:
    """What became of the records so far."""

    read: int = 0
    scored: int = 0
    known: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)
    parked: Mapping[str, int] = field(default_factory=dict)
    unfinished: int = 0
    """Something did not answer for so long that the replay stopped at these."""

    @property
    def conserved(self) -> bool:
        """Whether every record that was read is accounted for."""
        ends = self.scored + self.known + sum(self.skipped.values()) + sum(self.parked.values())
        return self.read == ends + self.unfinished


class CountingProcessor(RecordProcessor, Protocol):
    """Evaluates records and counts what became of them."""

    tally: Tally


async def replay(
    processor: CountingProcessor,
    records: AsyncIterator[StreamRecord],
    *,
    batch_records: int,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    progress: Callable[[Replayed], None] = lambda _: None,
) -> Replayed:
    """Have records evaluated, batch by batch; stops where something does not answer again and again.

    The processor has evaluated nothing before.
    """
    replayed = Replayed()
    batch: list[StreamRecord] = []

    async def evaluate() -> bool:
        left = await _evaluated(processor, batch, sleep)
        processor.give_up(left)
        tally = processor.tally
        replayed.read += len(batch)
        replayed.unfinished += len(left)
        replayed.scored, replayed.known = tally.scored, tally.known
        replayed.skipped = {str(reason): count for reason, count in tally.skipped.items()}
        replayed.parked = {str(reason): count for reason, count in tally.parked.items()}
        progress(replayed)
        batch.clear()
        return not left

    async for record in records:
        batch.append(record)
        if len(batch) >= batch_records and not await evaluate():
            return replayed
    if batch:
        await evaluate()
    return replayed


async def _evaluated(
    processor: RecordProcessor, batch: Sequence[StreamRecord], sleep: Callable[[float], Awaitable[None]]
) -> Sequence[StreamRecord]:
    """What is left of a batch when all tries are over."""
    left = batch
    for attempt in range(TRIES):
        if attempt:
            await sleep(FIRST_PAUSE_S * 2 ** (attempt - 1))
        again = await processor.process(left)
        left = [record for record in left if record.sequence_number in again]
        if not left:
            break
    return left


@dataclass(slots=True)
class Preview:
    """What a replay would do, without doing it. Pure but for what it is given."""

    policy_of: Callable[[str], TenantPolicy | None]
    known: Callable[[Sequence[ResultKey]], Awaitable[Collection[ResultKey]]]
    """Those of the results that are stored."""
    judge_identity: str
    read: int = 0
    to_judge: int = 0
    """At most: a budget, or an answer without text, may leave fewer."""
    already: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    parked: Counter[str] = field(default_factory=Counter)

    async def look(self, records: Sequence[StreamRecord]) -> None:
        """Count some records."""
        self.read += len(records)
        keys: list[ResultKey] = []
        for record in records:
            event = read_event(record.data)
            if not isinstance(event, SampleEvent):
                self.parked[event] += 1
                continue
            reason = refuses(event, self.policy_of(event.tenant_id))
            if reason is not None:
                self.skipped[reason] += 1
                continue
            keys.append(
                ResultKey.of(event.tenant_id, event.completed_at, event.request_id, self.judge_identity)
            )
        stored = await self.known(list(dict.fromkeys(keys)))
        fresh = {key for key in keys if key not in stored}
        self.to_judge += len(fresh)
        self.already += len(keys) - len(fresh)


async def from_history(objects: Objects, scope: Scope) -> AsyncGenerator[StreamRecord, None]:
    """The samples of the history, as if they had just arrived. Raises StoreUnavailable."""
    first, last = scope.start.astimezone(UTC).date(), scope.end.astimezone(UTC).date()
    async for event in read_events(objects, first, last, tenant_id=scope.tenant_id):
        record = StreamRecord(HISTORY, event.request_id, event.completed_at, _ENCODER.encode(event))
        if scope.has(record):
            yield record


async def from_stream(
    kinesis: "KinesisClient",
    scope: Scope,
    *,
    now: datetime,
    stream: str = EVAL_STREAM.name,
    pause_s: float = READ_PAUSE_S,
    read: Callable[[int], None] = lambda _: None,
) -> AsyncGenerator[StreamRecord, None]:
    """The samples that the stream still has, shard by shard, the closed ones too.

    Reads up to what has arrived by `now`, not what goes on arriving. `read` is told how many records were
    looked at, whether in the scope or not.
    """
    until = min(scope.end + LATE, now)
    pages = kinesis.get_paginator("list_shards").paginate(StreamName=stream)
    shards = [shard["ShardId"] async for page in pages for shard in page["Shards"]]
    for shard_id in shards:
        async for records in _read_shard(
            kinesis, stream, shard_id, (scope.start - CLOCKS_DIFFER, until), pause_s
        ):
            read(len(records))
            for record in records:
                if scope.has(record):
                    yield record


async def _read_shard(
    kinesis: "KinesisClient", stream: str, shard_id: str, arrived: tuple[datetime, datetime], pause_s: float
) -> AsyncIterator[list[StreamRecord]]:
    start, until = arrived
    at: dict[str, Any] = {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": start}
    position: str | None = None
    while True:
        if position is None:
            opened = await kinesis.get_shard_iterator(StreamName=stream, ShardId=shard_id, **at)
            position = opened["ShardIterator"]
        try:
            answer = await kinesis.get_records(ShardIterator=position, Limit=RECORDS_PER_READ)
        except ClientError as error:
            code = error_code(error)
            if code in _THROTTLED:
                await asyncio.sleep(_THROTTLED_PAUSE_S)
            elif code == "ExpiredIteratorException":  # judging took over five minutes
                position = None
            else:
                raise
            continue
        records = [
            StreamRecord(shard_id, one["SequenceNumber"], one["ApproximateArrivalTimestamp"], one["Data"])
            for one in answer["Records"]
        ]
        if records:
            yield records
            at = {
                "ShardIteratorType": "AFTER_SEQUENCE_NUMBER",
                "StartingSequenceNumber": records[-1].sequence_number,
            }
            if records[-1].arrived_at >= until:
                return
        position = answer.get("NextShardIterator")
        if position is None or (not records and answer.get("MillisBehindLatest", 0) == 0):
            return
        await asyncio.sleep(pause_s)


_ENCODER: Final = msgspec.json.Encoder()
