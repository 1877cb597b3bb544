"""Rows of the request ledger that are found by an id alone: a trace's, or a request's own.

Over an SDK's client, since people ask for these now and then. Rows by tenant and time, and all of an hour,
are read by who needs them.
"""

import asyncio
from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from llmplatform import ids
from llmplatform.aws.tables import REQUEST_LEDGER
from llmplatform.ledger import LedgerRow, decode_item, partition_key, trace_key

if TYPE_CHECKING:  # the stubs are installed for checking only
    from types_aiobotocore_dynamodb import DynamoDBClient

MAX_ROWS: Final = 200
"""Of one trace: a client may send everything under one trace id."""
_KEYS_PER_GET: Final = 100  # the most that BatchGetItem takes
# A request completes in the hour of its arrival or in the next one: the longest total timeout is far below.
_HOURS: Final = (timedelta(), timedelta(hours=1))


class LedgerReader:
    """The ledger behind an SDK's client. What DynamoDB raises, passes; what is no row is a TelemetryFault."""

    def __init__(self, dynamodb: "DynamoDBClient") -> None:
        self._dynamodb = dynamodb

    async def of_trace(self, trace_id: str, tenant_id: str | None = None) -> tuple[LedgerRow, ...]:
        """Rows of the requests under a trace (32 hex digits) by arrival, of one tenant or of whichever."""
        index = REQUEST_LEDGER.indexes[0]
        rows: list[LedgerRow] = []
        names, values = {"#trace": index.partition_key.name}, {":trace": {"S": trace_key(trace_id)}}
        only: dict[str, Any] = {}
        if tenant_id is not None:  # there may be more of others' than are read
            only = {"FilterExpression": "#tenant = :tenant"}
            names["#tenant"], values[":tenant"] = "tenant_id", {"S": tenant_id}
        async for page in self._dynamodb.get_paginator("query").paginate(
            TableName=REQUEST_LEDGER.name,
            IndexName=index.name,
            KeyConditionExpression="#trace = :trace",
            ExpressionAttributeNames=names,
            ExpressionAttributeValues=values,
            PaginationConfig={"MaxItems": MAX_ROWS},
            **only,
        ):
            rows += [decode_item(item) for item in page["Items"]]
        return tuple(sorted(rows, key=lambda row: row.received_at))

    async def of_request(self, request_id: str, tenants: Iterable[str]) -> tuple[LedgerRow, ...]:
        """The row of a request id: of whichever of the tenants, in the hour that it says or the next.

        None for an id that does not say when it was made.
        """
        arrival = ids.arrival_of(request_id)
        if arrival is None:
            return ()
        keys: list[dict[str, Any]] = [
            {
                REQUEST_LEDGER.partition_key.name: {"S": partition_key(tenant, arrival + later, request_id)},
                REQUEST_LEDGER.sort_key.name: {"S": request_id},
            }
            for tenant in tenants
            for later in _HOURS
        ]
        batches = [keys[start : start + _KEYS_PER_GET] for start in range(0, len(keys), _KEYS_PER_GET)]
        found = await asyncio.gather(*(self._get(batch) for batch in batches))
        return tuple(row for rows in found for row in rows)

    async def _get(self, keys: list[dict[str, Any]]) -> list[LedgerRow]:
        answer = await self._dynamodb.batch_get_item(RequestItems={REQUEST_LEDGER.name: {"Keys": keys}})
        return [decode_item(item) for item in answer["Responses"].get(REQUEST_LEDGER.name, ())]
