"""Requests of tenants by time, newest first: the ledger's hours, each of eight partitions a tenant.

Over the lean client, for one page may take hundreds of calls. Reads are bounded in number and in time: what
was not looked at is said (`Found.stopped_at`), with the place to go on from. Only tenants that are given are
read, and every row is held to them and to the filters once more.
"""

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Final

from llmplatform import ids
from llmplatform.aws.dynamodb import DynamoDb
from llmplatform.aws.patient_dynamodb import PatientDynamoDb
from llmplatform.aws.tables import REQUEST_LEDGER
from llmplatform.clock import Clock
from llmplatform.errors import TelemetryFault
from llmplatform.ledger import LedgerRow, decode_item, partition_key, partition_keys
from llmplatform.policy import TenantPolicy
from watch.requests.filters import Filters, Slow, completed_within
from watch.requests.merging import Cursor, HourMerge

logger = logging.getLogger(__name__)

QUERIES_AT_ONCE: Final = 32
MOST_QUERIES: Final = 800
"""Of one page, but for an hour's first reading, so that every page gets somewhere."""
WITHIN_S: Final = 3.0
MOST_HOURS_AT_ONCE: Final = 8
TAIL_ROWS: Final = 200
OVERLAP: Final = timedelta(seconds=20)
"""Rows arrive in the ledger in batches, so those of a moment are not all there at once."""
_LONGEST_REQUEST: Final = timedelta(minutes=15)
_KEYS_PER_GET: Final = 100  # the most that BatchGetItem takes
_ATTEMPTS: Final = 3
_HOUR: Final = timedelta(hours=1)
_KEY: Final = REQUEST_LEDGER.partition_key.name

Item = Mapping[str, Mapping[str, Any]]
Tenants = Mapping[str, TenantPolicy | None]
"""Those that may be read, with their policies, by which slow is told."""


@dataclass(frozen=True, slots=True)
class Found:
    """One page."""

    rows: tuple[LedgerRow, ...]
    following: Cursor | None = None
    """Where the next page begins; None where the range was read to its end."""
    stopped_at: datetime | None = None
    """How far back was looked where it was stopped before the page was full; None where it was not."""
    queries: int = 0


@dataclass(slots=True)
class _Reading:
    """What one page asks and has spent."""

    tenants: Tenants
    filters: Filters
    start: datetime
    end: datetime
    wanted: int
    rows: list[LedgerRow] = field(default_factory=list)
    queries: int = 0


class RequestSearch:
    """The ledger by time. Raises DynamoDbFault and DynamoDbUnavailable, both TelemetryFaults."""

    def __init__(self, dynamodb: DynamoDb, clock: Clock, *, most_queries: int = MOST_QUERIES) -> None:
        self._dynamodb = PatientDynamoDb(dynamodb, in_flight=QUERIES_AT_ONCE, attempts=_ATTEMPTS)
        self._clock = clock
        self._most_queries = most_queries

    async def page(  # what a page is: whose, which, when, from where, how many
        self,
        tenants: Tenants,
        filters: Filters,
        start: datetime,
        end: datetime,
        *,
        after: Cursor | None = None,
        wanted: int = 50,
    ) -> Found:
        """The newest `wanted` requests that were completed from `start` until before `end`."""
        reading = _Reading(tenants, filters, start, end, wanted)
        stop_ns = self._clock.monotonic_ns() + int(WITHIN_S * 1e9)
        at_once = 1
        hours = list(_hours_back(start, end, after))
        while hours and tenants:
            if len(reading.rows) == wanted:
                return Found(tuple(reading.rows), Cursor(hours[0]), None, reading.queries)
            block, hours = hours[:at_once], hours[at_once:]
            merges = [HourMerge.of(hour, _partitions(tenants, hour), _before(after, hour)) for hour in block]
            await self._read_more(reading, merges)
            for merge in merges:
                found = await self._drain(reading, merge, stop_ns)
                if found is not None:
                    return found
            if self._spent(reading, stop_ns) and hours:
                return _stopped(reading, Cursor(hours[0]), hours[0] + _HOUR)
            # What is rare is looked for faster the longer it is not found.
            at_once = min(at_once * 2, MOST_HOURS_AT_ONCE)
        return Found(tuple(reading.rows), queries=reading.queries)

    async def tail(self, tenants: Tenants, filters: Filters, since: datetime) -> tuple[LedgerRow, ...]:
        """What was completed since a moment or up to 20 s before it, newest first: an hour back at most.

        Of each partition the newest rows alone, so that a busy hour costs what a quiet one does. Who asks
        again gets some of it again, and knows it by its request id.
        """
        now = self._clock.now()
        since = max(since, now - _HOUR + OVERLAP) - OVERLAP
        reading = _Reading(tenants, filters, since, now + _HOUR, TAIL_ROWS)
        oldest = ids.request_id(int((since - _LONGEST_REQUEST).timestamp() * 1_000), bytes(10))
        found = await asyncio.gather(
            *(
                self._query(reading, key, None, newer_than=oldest, limit=TAIL_ROWS)
                for hour in _hours_back(since, now + timedelta(seconds=1), None)
                for key in _partitions(tenants, hour)
            )
        )
        rows = (row for items, _ in found for row in self._asked_for(reading, items))
        return tuple(sorted(rows, key=lambda row: row.completed_at, reverse=True)[:TAIL_ROWS])

    async def rows_of(
        self, wanted: Iterable[tuple[str, datetime, str]], tenants: Tenants, filters: Filters
    ) -> dict[str, LedgerRow]:
        """Rows by request id of what is known by tenant, completion and request id, where they match."""
        keys = [
            {_KEY: {"S": partition_key(tenant, completed_at, request_id)}, "request_id": {"S": request_id}}
            for tenant, completed_at, request_id in wanted
        ]
        batches = [keys[at : at + _KEYS_PER_GET] for at in range(0, len(keys), _KEYS_PER_GET)]
        found = await asyncio.gather(*(self._get(batch) for batch in batches))
        reading = _Reading(
            tenants, filters, datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC), 0
        )
        return {row.request_id: row for items in found for row in self._asked_for(reading, items)}

    async def _drain(self, reading: _Reading, merge: HourMerge, stop_ns: int) -> Found | None:
        """Take an hour's rows in order; the page, if it is full or time is up within this hour."""
        missing = reading.wanted - len(reading.rows)
        if not missing:
            return Found(tuple(reading.rows), Cursor(merge.hour, merge.before), None, reading.queries)
        while True:
            ready = merge.ready()
            if len(ready) > missing:
                reading.rows += ready[:missing]
                last = reading.rows[-1].request_id
                return Found(tuple(reading.rows), Cursor(merge.hour, last), None, reading.queries)
            if merge.ended:
                reading.rows += ready
                return None
            if self._spent(reading, stop_ns) and merge.known_to is not None:
                reading.rows += ready
                arrival = ids.arrival_of(merge.known_to) or merge.hour
                return _stopped(reading, Cursor(merge.hour, merge.known_to), arrival)
            await self._read_more(reading, [merge])

    async def _read_more(self, reading: _Reading, merges: Sequence[HourMerge]) -> None:
        asked = [
            (merge, key, read_to)
            for merge in merges
            for key, read_to in merge.to_read(reading.wanted - len(reading.rows) + 1)
        ]
        limit = max(5, 2 * reading.wanted // max(1, len(reading.tenants) * 8))
        answers = await asyncio.gather(
            *(
                self._query(reading, key, read_to, limit=None if reading.filters.narrow else limit)
                for _, key, read_to in asked
            )
        )
        for (merge, key, _), (items, read_to) in zip(asked, answers, strict=True):
            # A filter that most rows pass brings a megabyte a partition: no more of it is kept than is shown.
            rows = list(islice(self._asked_for(reading, items), reading.wanted + 1))
            merge.add(key, rows, rows[-1].request_id if len(rows) > reading.wanted else read_to)

    async def _query(
        self,
        reading: _Reading,
        partition: str,
        before: str | None,
        *,
        newer_than: str | None = None,
        limit: int | None,
    ) -> tuple[list[Item], str | None]:
        """Items of a partition that came before a request, and how far it was read; None is its end."""
        reading.queries += 1
        tenant = partition.partition("#")[0]
        slow = reading.filters.slow_of(reading.tenants.get(tenant))
        answer = await self._dynamodb.call(
            "Query",
            _question(reading, partition, before, newer_than=newer_than, slow=slow)
            | ({} if limit is None else {"Limit": limit}),
        )
        key = answer.get("LastEvaluatedKey")
        return answer.get("Items", []), None if not key else key["request_id"]["S"]

    async def _get(self, keys: list[dict[str, Any]]) -> list[Item]:
        answer = await self._dynamodb.call(
            "BatchGetItem", {"RequestItems": {REQUEST_LEDGER.name: {"Keys": keys}}}
        )
        items: list[Item] = answer.get("Responses", {}).get(REQUEST_LEDGER.name, [])
        return items

    def _asked_for(self, reading: _Reading, items: Iterable[Item]) -> Iterator[LedgerRow]:
        """The rows of tenants that may be read, if they are asked for."""
        for item in items:
            try:
                row = decode_item(item)
            except TelemetryFault as fault:  # one that a newer process wrote hides no other
                logger.warning("a row of the ledger is not shown", extra={"reason": str(fault)})
                continue
            if row.tenant_id in reading.tenants and completed_within(row, reading.start, reading.end):
                slow = reading.filters.slow_of(reading.tenants[row.tenant_id])
                if reading.filters.matches(row, slow):
                    yield row

    def _spent(self, reading: _Reading, stop_ns: int) -> bool:
        return reading.queries >= self._most_queries or self._clock.monotonic_ns() >= stop_ns


def _stopped(reading: _Reading, following: Cursor, at: datetime) -> Found:
    return Found(tuple(reading.rows), following, max(at, reading.start), reading.queries)


def _before(after: Cursor | None, hour: datetime) -> str | None:
    """Where in an hour a page begins."""
    return after.before if after is not None and after.hour == hour else None


def _hours_back(start: datetime, end: datetime, after: Cursor | None) -> Iterator[datetime]:
    """The hours that requests of a range were completed in, the latest first, from the cursor on."""
    hour = (end - timedelta(microseconds=1)).replace(minute=0, second=0, microsecond=0)
    if after is not None:
        hour = min(hour, after.hour)
    while hour + _HOUR > start:
        yield hour
        hour -= _HOUR


def _partitions(tenants: Tenants, hour: datetime) -> list[str]:
    return [key for tenant in tenants for key in partition_keys(tenant, hour)]


def _question(
    reading: _Reading, partition: str, before: str | None, *, newer_than: str | None, slow: Slow | None
) -> dict[str, Any]:
    """A Query of one partition, newest first, that leaves out on DynamoDB's side what is not asked for."""
    filters = reading.filters
    names = {"#key": _KEY}
    values: dict[str, Any] = {":key": {"S": partition}}
    condition = "#key = :key"
    if before is not None:
        condition += " AND request_id < :before"
        values[":before"] = {"S": before}
    elif newer_than is not None:
        condition += " AND request_id > :newer"
        values[":newer"] = {"S": newer_than}
    wanted = ["completed_at >= :start AND completed_at < :end"]
    values[":start"] = {"S": reading.start.astimezone(UTC).isoformat()}
    values[":end"] = {"S": reading.end.astimezone(UTC).isoformat()}
    for name, value in (
        ("outcome", filters.outcome),
        ("error_code", filters.error),
        ("origin", filters.origin),
    ):
        if value is not None:
            wanted.append(f"#{name} = :{name}")
            names[f"#{name}"] = name
            values[f":{name}"] = {"S": str(value)}
    if filters.model is not None:
        wanted.append("(model_id = :model OR requested_model_id = :model)")
        values[":model"] = {"S": filters.model}
    if slow is not None:
        wanted.append("(time_to_first_token_ms > :ttft OR total_latency_ms > :total)")
        values |= {":ttft": {"N": str(slow.ttft_ms)}, ":total": {"N": str(slow.total_ms)}}
    return {
        "TableName": REQUEST_LEDGER.name,
        "KeyConditionExpression": condition,
        "FilterExpression": " AND ".join(wanted),
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": values,
        "ScanIndexForward": False,
    }
