"""Cost lines and statuses of hours as they are read: whole runs only, in pages, several days at once.

A rerun of an hour publishes its status when its lines are whole. So the statuses of a day are read again
after its lines, and where a run was published in between, so are the lines. Adding up is `llmplatform.bills`,
writing is the cost job's.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Final

from llmplatform.aws.dynamodb import DynamoDb, DynamoDbFault
from llmplatform.aws.patient_dynamodb import FIRST_PAUSE_S, DynamoDbUnavailable, PatientDynamoDb
from llmplatform.aws.tables import TENANT_COST
from llmplatform.costs import (
    STATUS,
    CostLine,
    HourStatus,
    Item,
    StoredLine,
    beginning_key,
    decode_line,
    decode_status,
    partition_key,
)
from llmplatform.errors import TelemetryFault

QUERIES_AT_ONCE: Final = 16
READS_OF_A_DAY: Final = 3
"""How often a day is read while runs are published in it, before the hours in question count as open."""

Statuses = dict[datetime, HourStatus]

_CONDITION: Final = f"{TENANT_COST.partition_key.name} = :day"


class CostsUnavailable(TelemetryFault):
    """The table of costs cannot be read now."""

    code = "costs_unavailable"


class CostReader:
    """The table `tenant-cost` behind an open client. Every read is consistent; all raise CostsUnavailable."""

    def __init__(
        self,
        dynamodb: DynamoDb,
        *,
        queries_at_once: int = QUERIES_AT_ONCE,
        first_pause_s: float = FIRST_PAUSE_S,
    ) -> None:
        self._dynamodb = PatientDynamoDb(dynamodb, in_flight=queries_at_once, first_pause_s=first_pause_s)

    async def statuses(self, first: date, last: date) -> Statuses:
        """The statuses of all hours from the first day to the last, both included, in order.

        Hours before the platform began are closed and have no lines.
        """
        began = await self._began()
        days = await asyncio.gather(*(self._statuses_of(day) for day in _days(first, last)))
        known = {hour: status for day in days for hour, status in day.items()}
        before = (hour for day in _days(first, last) for hour in _hours(day) if began and hour < began)
        return {hour: HourStatus(hour, "closed", claimed_run=0, run=0) for hour in before} | known

    async def lines(self, owner: str, first: date, last: date, statuses: Statuses) -> list[CostLine]:
        """An owner's lines that count, by hour and key.

        `statuses` is brought up to date where a run was published or begun since: what it says afterwards
        is true of the lines.
        """
        days = await asyncio.gather(
            *(self._day(day, statuses, (owner,)) for day in _days(first, last) if _of_day(statuses, day))
        )
        return [line for day in days for line in day.get(owner, ())]

    async def all_lines(
        self, first: date, last: date, statuses: Statuses
    ) -> AsyncIterator[tuple[str, date, list[CostLine]]]:
        """The lines of every owner that has some: a day after the other, and in each the owners in order.

        Lines of all owners of a day belong to the same runs. `statuses` is brought up to date as by `lines`.
        """
        for day in _days(first, last):
            if _of_day(statuses, day):
                of_owners = await self._day(day, statuses, None)
                for owner in sorted(of_owners):
                    yield owner, day, of_owners[owner]

    async def _day(
        self, day: date, statuses: Statuses, only: tuple[str, ...] | None
    ) -> dict[str, list[CostLine]]:
        """Lines of a day by owner, none of two runs of an hour."""
        reads = 0
        while True:
            before = _of_day(statuses, day)
            owners = {owner for status in before.values() for owner in status.owners}
            wanted = sorted(owners if only is None else owners.intersection(only))
            stored = await asyncio.gather(*(self._stored(owner, day) for owner in wanted))
            after = await self._statuses_of(day)
            statuses.update(after)
            reads += 1
            runs = {hour: status.run for hour, status in before.items()}
            moved = [hour for hour, now in after.items() if runs.get(hour, 0) != now.run]
            if not moved or reads == READS_OF_A_DAY:
                break
        statuses.update((hour, replace(after[hour], state="open")) for hour in moved)
        visible = zip(wanted, (_visible(lines, statuses) for lines in stored), strict=True)
        return {owner: lines for owner, lines in visible if lines}

    async def _began(self) -> datetime | None:
        """The first hour that was ever computed; None before any was."""
        request = {"TableName": TENANT_COST.name, "Key": beginning_key(), "ConsistentRead": True}
        try:
            answer = await self._dynamodb.call("GetItem", request)
        except (DynamoDbFault, DynamoDbUnavailable) as fault:
            raise CostsUnavailable(f"the costs cannot be read: {fault}") from fault
        item = answer.get("Item")
        return None if item is None else datetime.fromisoformat(item["hour"]["S"])

    async def _statuses_of(self, day: date) -> Statuses:
        found = [decode_status(item) for item in await self._partition(STATUS, day)]
        return {status.hour: status for status in found}

    async def _stored(self, owner: str, day: date) -> list[StoredLine]:
        return [decode_line(item) for item in await self._partition(owner, day)]

    async def _partition(self, owner: str, day: date) -> list[Item]:
        """All rows of an owner's day in order of their keys."""
        request = {
            "TableName": TENANT_COST.name,
            "KeyConditionExpression": _CONDITION,
            "ExpressionAttributeValues": {":day": {"S": partition_key(owner, day)}},
            "ConsistentRead": True,
        }
        try:
            return [row async for page in self._dynamodb.pages(request) for row in page["Items"]]
        except (DynamoDbFault, DynamoDbUnavailable) as fault:
            raise CostsUnavailable(f"the costs cannot be read: {fault}") from fault


def _days(first: date, last: date) -> Iterable[date]:
    return (first + timedelta(days=number) for number in range((last - first).days + 1))


def _of_day(statuses: Statuses, day: date) -> Statuses:
    return {hour: statuses[hour] for hour in _hours(day) if hour in statuses}


def _hours(day: date) -> Iterable[datetime]:
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return (midnight + timedelta(hours=number) for number in range(24))


def _visible(stored: Iterable[StoredLine], statuses: Statuses) -> list[CostLine]:
    """Lines that count; one whose hour has no status was written by a run that has not been published."""
    return [
        one.line
        for one in stored
        if (status := statuses.get(one.line.hour)) is not None and status.shows(one)
    ]
