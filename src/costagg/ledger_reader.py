"""Reads an hour of the request ledger: all shards of all tenants, whole or not at all.

Pages are added up as they come and then forgotten, so memory does not grow with the rows. A row is decoded
in `ledger_wire` and counted in `tally`; who the tenants are is the caller's to know.
"""

import asyncio
import logging
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Final

import orjson

from costagg.ledger_wire import ATTRIBUTES, Key, decode_page
from costagg.tally import HourTally
from costagg.usage import HourUsage
from llmplatform.aws.dynamodb import DynamoDb, DynamoDbFault
from llmplatform.aws.patient_dynamodb import FINAL, DynamoDbUnavailable, PatientDynamoDb
from llmplatform.aws.tables import REQUEST_LEDGER
from llmplatform.errors import TelemetryFault
from llmplatform.ledger import hour_of, partition_keys

logger = logging.getLogger(__name__)

QUERIES_AT_ONCE: Final = 16
# Waits of at most 0.1, 0.2 ... 6.4 s: half a minute, with the calls themselves, before the job gives up.
TRIES: Final = 8
FIRST_PAUSE_S: Final = 0.1

_KEY: Final = REQUEST_LEDGER.partition_key.name
_SORT: Final = REQUEST_LEDGER.sort_key.name
_NAMES: Final = {f"#{at}": name for at, name in enumerate(ATTRIBUTES)}
"""Stand-ins, since some names are reserved words."""

# A ledger that may not be read, or is not there, is not waited for: there are the metrics.
_FINAL: Final = FINAL | {
    "AccessDeniedException",
    "ResourceNotFoundException",
    "UnrecognizedClientException",
}


class LedgerUnavailable(TelemetryFault):
    """The ledger could not be read to the end."""


class LedgerReader:
    """The table of the request ledger behind an open client.

    That is to allow as many connections as there are queries at once, and to bound the time of a call.
    """

    def __init__(
        self,
        dynamodb: DynamoDb,
        *,
        queries_at_once: int = QUERIES_AT_ONCE,
        table: str = REQUEST_LEDGER.name,
        first_pause_s: float = FIRST_PAUSE_S,
    ) -> None:
        self._dynamodb = PatientDynamoDb(
            dynamodb, in_flight=queries_at_once, attempts=TRIES, first_pause_s=first_pause_s, final=_FINAL
        )
        self._queries_at_once = queries_at_once
        self._table = table

    async def read(self, hour: datetime, tenants: Iterable[str], *, consistent: bool = False) -> HourUsage:
        """The usage of all of the tenants' requests that were completed in an hour, which begins at `hour`.

        With `consistent` rows of this very moment are in it, at twice the price. Raises LedgerUnavailable
        when a part cannot be read: what is left out would be a bill too low.
        """
        tally = HourTally(hour)
        partitions = (
            (tenant_id, partition)
            for tenant_id in dict.fromkeys(tenants)
            for partition in partition_keys(tenant_id, hour)
        )
        try:
            async with asyncio.TaskGroup() as readers:
                for _ in range(self._queries_at_once):
                    readers.create_task(self._read_partitions(partitions, tally, consistent=consistent))
        except* (DynamoDbFault, DynamoDbUnavailable, LedgerUnavailable) as group:
            raise LedgerUnavailable(str(group.exceptions[0])) from None
        usage = tally.usage
        if usage.undecodable:
            logger.error("ledger of %s: %d rows cannot be decoded", hour_of(hour), usage.undecodable)
        return usage

    async def _read_partitions(
        self, partitions: Iterator[tuple[str, str]], tally: HourTally, *, consistent: bool
    ) -> None:
        """Read partitions, one after the other, of those that nobody has taken yet."""
        for tenant_id, partition in partitions:
            request: dict[str, Any] = {
                "TableName": self._table,
                "KeyConditionExpression": "#key = :key",
                "ExpressionAttributeNames": {"#key": _KEY, **_NAMES},
                "ExpressionAttributeValues": {":key": {"S": partition}},
                "ProjectionExpression": ",".join(_NAMES),
                "ConsistentRead": consistent,
            }
            read_to = ""
            while True:
                page = await self._dynamodb.call_decoded("Query", orjson.dumps(request), decode_page)
                # Rows come in order of their ids: one that is not beyond the last page was counted with it.
                tally.add(tenant_id, (row for row in page.rows if row.request_id.value > read_to))
                tally.usage.undecodable += page.undecodable
                if page.last_key is None:
                    break
                read_to = _next(page.last_key, read_to)
                request["ExclusiveStartKey"] = page.last_key


def _next(last_key: Key, read_to: str) -> str:
    """The request id that a page ends with. Raises LedgerUnavailable unless it is beyond the one before."""
    ends_with = last_key.get(_SORT, {}).get("S", "")
    if ends_with <= read_to:
        raise LedgerUnavailable("DynamoDB Query does not go on")
    return ends_with
