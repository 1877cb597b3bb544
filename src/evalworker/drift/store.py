"""The drift job's tables: results to read, minutes and the detector's rows to keep.

Two jobs at once do no harm. Each run of a tenant takes a number first, and every row of the detector is
written only over a lower or the same number: who was overtaken raises Superseded. Rows of minutes are whole
and made from all results: a job that was slow and wrote an older one is put right by the next run, which
reads what was judged lately once more.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from evalworker.drift.fold import HourRow
from evalworker.drift.rows import (
    CLAIM,
    CLAIM_ENTRY,
    ENTRY,
    OWNER,
    Item,
    decode_hour,
    encode_hour,
    entry_prefix,
    hour_entry,
)
from llmplatform.aws.eval_reader import RETENTION, EvalReader, JudgedScores
from llmplatform.aws.tables import EVAL_DETECTOR, EVAL_MINUTES
from llmplatform.errors import TelemetryFault
from llmplatform.eval_series import MinuteScores, Series, decode_minute, minute_text
from llmplatform.eval_status import STATUS_ENTRY

if TYPE_CHECKING:  # the stubs are installed for checking only
    from types_aiobotocore_dynamodb import DynamoDBClient

MAX_BATCH_ITEMS: Final = 25
_BATCH_TRIES: Final = 6
_PAUSE_S: Final = 0.05


class Superseded(TelemetryFault):
    """Another run of the same tenant has begun since, and writes what there is to write."""

    code = "superseded"


class DriftStore:
    """The job's reads and writes over an SDK's client. What DynamoDB raises, passes."""

    def __init__(self, dynamodb: "DynamoDBClient", results: EvalReader) -> None:
        self._dynamodb = dynamodb
        self._results = results

    async def claim(self, tenant_id: str) -> int:
        """A number higher than that of any run before: from now on only this run writes."""
        answer = await self._dynamodb.update_item(
            TableName=EVAL_DETECTOR.name,
            Key=_key(tenant_id, CLAIM_ENTRY),
            UpdateExpression="ADD #claim :one",
            ExpressionAttributeNames={"#claim": CLAIM},
            ExpressionAttributeValues={":one": {"N": "1"}},
            ReturnValues="UPDATED_NEW",
        )
        return int(answer["Attributes"][CLAIM]["N"])

    async def tenant(self, tenant_id: str) -> Mapping[str, Any] | None:
        """The row of a tenant, None where there is none yet."""
        answer = await self._dynamodb.get_item(
            TableName=EVAL_DETECTOR.name, Key=_key(tenant_id, STATUS_ENTRY), ConsistentRead=True
        )
        return answer.get("Item")

    async def put(self, item: Item, claim: int) -> None:
        """Write a row of the detector. Raises Superseded if a later run did."""
        try:
            await self._dynamodb.put_item(
                TableName=EVAL_DETECTOR.name,
                Item=item,
                ConditionExpression="attribute_not_exists(#claim) OR #claim <= :claim",
                ExpressionAttributeNames={"#claim": CLAIM},
                ExpressionAttributeValues={":claim": {"N": str(claim)}},
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            raise Superseded("another drift job is at this tenant") from None

    async def judged(
        self, tenant_id: str, since: datetime, *, at_most: int, past: datetime
    ) -> tuple[list[JudgedScores], bool]:
        """What was judged since a moment, in that order, and whether that is all of it.

        It ends early after `at_most` results, but not before it is beyond `past`.
        """
        found: list[JudgedScores] = []
        async with aclosing(self._results.judged_since(tenant_id, since)) as rows:
            async for scores in rows:
                if len(found) >= at_most and found[-1].judged_at > past:
                    return found, False
                found.append(scores)
        return found, True

    def results(self, tenant_id: str, start: datetime, end: datetime) -> AsyncIterator[JudgedScores]:
        """The figures of all results of [start, end), by the time of the requests."""
        return self._results.scores_of_tenant(tenant_id, start, end)

    async def write_minutes(self, rows: Sequence[Item]) -> None:
        """Write whole rows of minutes, however often."""
        for at in range(0, len(rows), MAX_BATCH_ITEMS):
            await self._write_batch(rows[at : at + MAX_BATCH_ITEMS])

    async def minutes(self, series: Series, start: datetime | None, end: datetime) -> list[MinuteScores]:
        """The stored minutes of a series in [start, end), rising; from the first one on without `start`."""
        start = start or end - RETENTION
        rows = self._query(
            TableName=EVAL_MINUTES.name,
            KeyConditionExpression="#series = :series AND #minute BETWEEN :start AND :end",
            ExpressionAttributeNames={
                "#series": EVAL_MINUTES.partition_key.name,
                "#minute": EVAL_MINUTES.sort_key.name,
            },
            ExpressionAttributeValues={
                ":series": {"S": series.key},
                ":start": {"S": minute_text(start)},
                ":end": {"S": minute_text(end)},
            },
            ConsistentRead=True,
        )
        found = [decode_minute(row) async for row in rows]
        return [minute for minute in found if minute.minute < end]

    async def hours_before(self, series: Series, hour: datetime, reach: timedelta) -> list[HourRow]:
        """The hours before `hour`, rising, as far back as `reach`; where there is none, the last before."""
        first, last = hour_entry(series, hour - reach), hour_entry(series, hour - timedelta(hours=1))
        found = [decode_hour(row) async for row in self._entries(series, first, last)]
        if found:
            return found
        answer = await self._dynamodb.query(
            **self._entries_request(series, entry_prefix(series), first), ScanIndexForward=False, Limit=1
        )
        return [decode_hour(row) for row in answer["Items"]]

    def _entries(self, series: Series, first: str, last: str) -> AsyncIterator[Mapping[str, Any]]:
        return self._query(**self._entries_request(series, first, last))

    def _entries_request(self, series: Series, first: str, last: str) -> dict[str, Any]:
        return {
            "TableName": EVAL_DETECTOR.name,
            "KeyConditionExpression": "#owner = :owner AND #entry BETWEEN :first AND :last",
            "ExpressionAttributeNames": {"#owner": OWNER, "#entry": ENTRY},
            "ExpressionAttributeValues": {
                ":owner": {"S": series.tenant_id},
                ":first": {"S": first},
                ":last": {"S": last},
            },
            "ConsistentRead": True,
        }

    async def write_hours(self, series: Series, rows: Iterable[HourRow], claim: int) -> None:
        """Write hours that are over. Raises Superseded."""
        for row in rows:
            await self.put(encode_hour(series, row, claim), claim)

    async def _write_batch(self, rows: Sequence[Item]) -> None:
        left: Any = {EVAL_MINUTES.name: [{"PutRequest": {"Item": row}} for row in rows]}
        for attempt in range(_BATCH_TRIES):
            answer = await self._dynamodb.batch_write_item(RequestItems=left)
            left = answer.get("UnprocessedItems")
            if not left:
                return
            await asyncio.sleep(_PAUSE_S * 2**attempt)
        raise TelemetryFault("DynamoDB left minutes of scores unwritten")

    async def _query(self, **request: Any) -> AsyncIterator[Mapping[str, Any]]:
        async for page in self._dynamodb.get_paginator("query").paginate(**request):
            for item in page["Items"]:
                yield item


def _key(owner: str, entry: str) -> dict[str, Any]:
    return {OWNER: {"S": owner}, ENTRY: {"S": entry}}
