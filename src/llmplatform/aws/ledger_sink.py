"""Writes ledger rows in batches, whoever made the request: a client's through the gateway, or the judge.

A repeated write lands on the same row, so whatever is in doubt is written again. Rows that DynamoDB calls
invalid are found one by one, dropped and counted; everything else is retried.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson

from llmplatform.aws.dynamodb import DynamoDb, DynamoDbFault
from llmplatform.aws.signed_http import SignedHttp
from llmplatform.aws.sigv4 import Credentials
from llmplatform.aws.tables import REQUEST_LEDGER
from llmplatform.clock import Clock
from llmplatform.invocation import InvocationRecord
from llmplatform.ledger import encode_item
from llmplatform.process.batching import BatchingSink, Limits, Receipt

# Limits of BatchWriteItem: 25 items, 16 MB.
MAX_BATCH_ITEMS: Final = 25
MAX_BATCH_BYTES: Final = 15_000_000

LEDGER_LIMITS: Final = Limits(
    queued_items=50_000,
    queued_bytes=128_000_000,
    batch_items=MAX_BATCH_ITEMS,
    batch_bytes=MAX_BATCH_BYTES,
    linger_s=0.1,
    in_flight=4,
)

Row = tuple[str, bytes]
"""A request id and its encoded write."""


class LedgerSink(BatchingSink[InvocationRecord, Row]):
    """Takes records, delivers rows to the table at `url`."""

    def __init__(
        self,
        *,
        url: str,
        region: str,
        credentials: Callable[[], Credentials],
        clock: Clock,
        table: str = REQUEST_LEDGER.name,
        limits: Limits = LEDGER_LIMITS,
        name: str = "ledger",
    ) -> None:
        super().__init__(name, limits)
        self._http = SignedHttp(
            service="dynamodb",
            url=url,
            region=region,
            credentials=credentials,
            clock=clock,
            connections=limits.in_flight,
        )
        self._dynamodb = DynamoDb(self._http)
        self._table = table
        self._prefix = b'{"RequestItems":{%b:[' % orjson.dumps(table)

    def _encode(self, item: InvocationRecord) -> tuple[Row, int]:
        row = b'{"PutRequest":{"Item":%b}}' % orjson.dumps(encode_item(item))
        return (item.request_id, row), len(row)

    async def _open(self) -> None:
        await self._http.open()

    async def _close(self) -> None:
        await self._http.close()

    async def _deliver(self, batch: Sequence[Row]) -> Receipt[Row]:
        writes = self._prefix + b",".join([row for _, row in batch]) + b"]}}"
        try:
            answer = await self._dynamodb.call("BatchWriteItem", writes)
        except DynamoDbFault as fault:
            if fault.kind != "ValidationException":
                raise
        else:
            unprocessed = _request_ids(answer, self._table)
            return Receipt(retry=[row for row in batch if row[0] in unprocessed])
        if len(batch) == 1:
            return Receipt(refused=1)
        # One bad row fails its whole batch.
        receipts = [await self._deliver([row]) for row in batch]
        return Receipt(
            retry=[row for receipt in receipts for row in receipt.retry],
            refused=sum(receipt.refused for receipt in receipts),
        )


def _request_ids(answer: dict[str, Any], table: str) -> frozenset[str]:
    """The request ids among the unprocessed items of an answer."""
    unprocessed = answer.get("UnprocessedItems") or {}
    return frozenset(write["PutRequest"]["Item"]["request_id"]["S"] for write in unprocessed.get(table, ()))
