"""Writes an hour's cost lines so that a rerun, two runs at once and a crash all end with one run's lines.

A run first claims its hour and is given a number, higher than any before. Every line bears it, in its key
too, so that no run changes what readers have. The status row names the run whose lines hold, and only the run
that claimed last may change it. From then on the lines of earlier runs are seen by nobody, and are swept.
Before its first line a run notes on the status row whose lines it will write: so whoever sweeps later misses
none, also of a run that died. Readers are in `llmplatform.aws.cost_reader`.
"""

import asyncio
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any, Final, TypeVar

import orjson

from llmplatform.aws.dynamodb import DynamoDb, DynamoDbFault
from llmplatform.aws.patient_dynamodb import PatientDynamoDb
from llmplatform.aws.tables import TENANT_COST
from llmplatform.costs import (
    CostLine,
    HourStatus,
    Item,
    beginning_key,
    decode_status,
    encode_line,
    encode_status,
    partition_key,
    status_key,
)
from llmplatform.errors import TelemetryFault

CALLS_IN_FLIGHT: Final = 8

# Waits of at most 0.1, 0.2, 0.4, 0.8, 1.6 and 3.2 s: a table that was quiet for an hour throttles for long.
ATTEMPTS: Final = 7
FIRST_PAUSE_S: Final = 0.1

_KEY: Final = TENANT_COST.partition_key.name
_SORT: Final = TENANT_COST.sort_key.name
_OWNERS: Final = "owners_written"
"""On the status row: whoever any run may have written lines of. It only grows."""

_CONDITION_FAILED: Final = "ConditionalCheckFailedException"

_Result = TypeVar("_Result")


class StoreUnavailable(TelemetryFault):
    """The table did not do what it was asked; the run ends, and the next one does its work again."""

    code = "store_unavailable"


class _ConditionFailed(Exception):
    pass


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to publish an hour, until somebody claims it later."""

    hour: datetime
    run: int
    before: HourStatus
    """The hour's status as it was."""


class CostStore:
    """The table of cost behind an open client. Raises StoreUnavailable when it cannot be used now."""

    def __init__(
        self, dynamodb: DynamoDb, *, table: str = TENANT_COST.name, first_pause_s: float = FIRST_PAUSE_S
    ) -> None:
        self._dynamodb = PatientDynamoDb(
            dynamodb, in_flight=CALLS_IN_FLIGHT, attempts=ATTEMPTS, first_pause_s=first_pause_s
        )
        self._table = table

    async def begin(self, hour: datetime) -> None:
        """Have the platform begin with an hour, unless it began before: hours before that have no cost."""
        await self._did(
            "UpdateItem",
            {
                "Key": beginning_key(),
                "UpdateExpression": "SET #hour = :hour",
                "ConditionExpression": "attribute_not_exists(#hour) OR #hour > :hour",
                "ExpressionAttributeNames": {"#hour": "hour"},
                "ExpressionAttributeValues": {":hour": {"S": hour.isoformat()}},
            },
        )

    async def claim(self, hour: datetime) -> Claim:
        """A run's number for an hour. A lost answer skips a number, which harms nobody."""
        ttl = TENANT_COST.ttl_attribute
        fresh = encode_status(HourStatus(hour, "open", claimed_run=0, run=0))
        answer = await self._call(
            "UpdateItem",
            {
                "Key": status_key(hour),
                "UpdateExpression": "SET #hour = :hour, #ttl = :ttl ADD #claimed :one",
                "ExpressionAttributeNames": {"#hour": "hour", "#ttl": ttl, "#claimed": "claimed_run"},
                "ExpressionAttributeValues": {":hour": fresh["hour"], ":ttl": fresh[ttl], ":one": _number(1)},
                "ReturnValues": "ALL_NEW",
            },
        )
        status = decode_status(answer["Attributes"])
        return Claim(hour, status.claimed_run, replace(status, claimed_run=status.claimed_run - 1))

    async def write(self, claim: Claim, lines: Sequence[CostLine]) -> bool:
        """Write a run's lines; False as soon as a later run is noticed, whose lines then hold."""
        if not lines:
            return True
        if not await self._note_owners(claim, {line.tenant_id for line in lines}):
            return False
        await self._write([{"PutRequest": {"Item": encode_line(line, claim.run)}} for line in lines])
        return True

    async def publish(self, claim: Claim, status: HourStatus) -> bool:
        """Make a run's lines those that hold, with what is to be known of the hour.

        False when somebody claimed it later: then nothing changes. `status` need not know the run's number.
        """
        published = replace(status, hour=claim.hour, claimed_run=claim.run, run=claim.run)
        values = {name: value for name, value in encode_status(published).items() if name not in _STATUS_KEY}
        unknown = [one.name for one in fields(HourStatus) if one.name not in values]
        update = "SET " + ", ".join(f"#{name} = :{name}" for name in values)
        if unknown:
            update += " REMOVE " + ", ".join(f"#{name}" for name in unknown)
        done = await self._did(
            "UpdateItem",
            {
                "Key": status_key(claim.hour),
                "UpdateExpression": update,
                "ConditionExpression": "#claimed_run = :claimed_run",
                "ExpressionAttributeNames": {f"#{name}": name for name in (*values, *unknown)},
                "ExpressionAttributeValues": {f":{name}": value for name, value in values.items()},
            },
        )
        if done:
            return True
        # It may have been ours after all: an answer was lost, and somebody claimed before we asked again.
        run, _ = await self._published(claim.hour)
        return run == claim.run

    async def sweep(self, hour: datetime) -> int:
        """Remove the hour's lines that hold no longer, whoever wrote them; gives how many those were.

        For a run that published and for one that was superseded alike: what is removed is older than what is
        published, so nobody sees it. While the later run has not published yet, nothing of ours is removed
        here, and that run finds it.
        """
        run, owners = await self._published(hour)
        if run <= 1:
            return 0
        found = await _together(
            self._older({"S": partition_key(owner, hour.date())}, hour, run) for owner in owners
        )
        keys = [key for of_owner in found for key in of_owner]
        await self._write([{"DeleteRequest": {"Key": key}} for key in keys])
        return len(keys)

    async def _note_owners(self, claim: Claim, owners: Iterable[str]) -> bool:
        return await self._did(
            "UpdateItem",
            {
                "Key": status_key(claim.hour),
                "UpdateExpression": "ADD #owners :owners",
                "ConditionExpression": "#claimed = :mine",
                "ExpressionAttributeNames": {"#owners": _OWNERS, "#claimed": "claimed_run"},
                "ExpressionAttributeValues": {":owners": {"SS": sorted(owners)}, ":mine": _number(claim.run)},
            },
        )

    async def _published(self, hour: datetime) -> tuple[int, list[str]]:
        """The run whose lines hold, and whose lines there may be."""
        answer = await self._call("GetItem", {"Key": status_key(hour), "ConsistentRead": True})
        item = answer.get("Item", {})
        return int(item.get("run", _number(0))["N"]), item.get(_OWNERS, {"SS": []})["SS"]

    async def _older(self, partition: dict[str, str], hour: datetime, run: int) -> list[Item]:
        """Keys of the lines of an owner's hour that are of an earlier run."""
        query: dict[str, Any] = {
            "TableName": self._table,
            "KeyConditionExpression": "#key = :key AND begins_with(#sort, :hour)",
            "FilterExpression": "#run < :run",
            "ProjectionExpression": "#sort",
            "ExpressionAttributeNames": {"#key": _KEY, "#sort": _SORT, "#run": "run"},
            "ExpressionAttributeValues": {
                ":key": partition,
                ":hour": {"S": f"{hour:%H}#"},
                ":run": _number(run),
            },
            "ConsistentRead": True,
        }
        with _unavailable():
            return [
                {_KEY: partition, _SORT: item[_SORT]}
                async for page in self._dynamodb.pages(query)
                for item in page["Items"]
            ]

    async def _write(self, rows: Sequence[Item]) -> None:
        """Put and delete rows. No condition is needed: a row's key has the run that may write it."""
        with _unavailable():
            await self._dynamodb.write(self._table, rows)

    async def _did(self, operation: str, request: dict[str, Any]) -> bool:
        """Do what has a condition; whether that held."""
        try:
            await self._call(operation, request)
        except _ConditionFailed:
            return False
        return True

    async def _call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """The answer, tried again for whatever may pass. Raises _ConditionFailed when its condition fails.

        Every operation here may be done twice: an attempt whose answer was lost is simply made again.
        """
        encoded = orjson.dumps({"TableName": self._table, **request})
        with _unavailable():
            return await self._dynamodb.call(operation, encoded)


@contextmanager
def _unavailable() -> Iterator[None]:
    """Faults of the client as the store's own."""
    try:
        yield
    except DynamoDbFault as fault:
        if fault.kind == _CONDITION_FAILED:
            raise _ConditionFailed from None
        raise StoreUnavailable(str(fault)) from None
    except TelemetryFault as fault:
        raise StoreUnavailable(str(fault)) from None


async def _together(work: Iterable[Coroutine[Any, Any, _Result]]) -> list[_Result]:
    """Do all of it at once, as far as the client lets calls through. Raises StoreUnavailable."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
    except* StoreUnavailable as failed:
        raise StoreUnavailable(str(failed.exceptions[0])) from None
    return [task.result() for task in tasks]


def _number(value: int) -> dict[str, str]:
    return {"N": str(value)}


_STATUS_KEY: Final = frozenset({_KEY, _SORT})
