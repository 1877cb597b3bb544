"""Writes ledger rows: BatchWriteItem over a lean client, since an SDK costs 111 µs a row and this a tenth.

A repeated write lands on the same row, so whatever is in doubt is written again. Rows that DynamoDB calls
invalid are found one by one, dropped and counted; everything else is retried.
"""

from collections.abc import Callable, Sequence
from typing import Final

import aiohttp
import orjson
from yarl import URL

from llmplatform.aws.sigv4 import Credentials, Signer
from llmplatform.aws.tables import REQUEST_LEDGER
from llmplatform.clock import Clock
from llmplatform.errors import TelemetryFault
from llmplatform.invocation import InvocationRecord
from llmplatform.ledger import encode_item
from llmplatform.process.batching import BatchingSink, Limits, Receipt

# Limits of BatchWriteItem: 25 items, 16 MB.
MAX_BATCH_ITEMS: Final = 25
MAX_BATCH_BYTES: Final = 15_000_000
MAX_ANSWER_BYTES: Final = 16_000_000
CONNECT_TIMEOUT_S: Final = 2.0

LEDGER_LIMITS: Final = Limits(
    queued_items=50_000,
    queued_bytes=128_000_000,
    batch_items=MAX_BATCH_ITEMS,
    batch_bytes=MAX_BATCH_BYTES,
    linger_s=0.1,
    in_flight=4,
)

_HEADERS: Final = {
    "Content-Type": "application/x-amz-json-1.0",
    "X-Amz-Target": "DynamoDB_20120810.BatchWriteItem",
}

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
        self._url = URL(url).with_path("/")
        self._host = self._url.raw_host if self._url.is_default_port() else self._url.raw_authority
        self._signer = Signer("dynamodb", region)
        self._credentials = credentials
        self._clock = clock
        self._table = table
        self._prefix = b'{"RequestItems":{%b:[' % orjson.dumps(table)
        self._session: aiohttp.ClientSession | None = None

    def _encode(self, item: InvocationRecord) -> tuple[Row, int]:
        row = b'{"PutRequest":{"Item":%b}}' % orjson.dumps(encode_item(item))
        return (item.request_id, row), len(row)

    async def _open(self) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._limits.in_flight),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
        )

    async def _close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _deliver(self, batch: Sequence[Row]) -> Receipt[Row]:
        status, answer = await self._post(self._prefix + b",".join([row for _, row in batch]) + b"]}}")
        if status == 200:  # noqa: PLR2004
            unprocessed = _request_ids(answer, self._table)
            return Receipt(retry=[row for row in batch if row[0] in unprocessed])
        if not _is_validation_error(answer):
            raise TelemetryFault(f"DynamoDB answered {status}")
        if len(batch) == 1:
            return Receipt(refused=1)
        # One bad row fails its whole batch.
        receipts = [await self._deliver([row]) for row in batch]
        return Receipt(
            retry=[row for receipt in receipts for row in receipt.retry],
            refused=sum(receipt.refused for receipt in receipts),
        )

    async def _post(self, body: bytes) -> tuple[int, bytes]:
        if self._session is None:
            raise TelemetryFault("the ledger sink is not started")
        signature = self._signer.sign(
            method="POST",
            host=self._host or "",
            path="/",
            headers=_HEADERS,
            body=body,
            credentials=self._credentials(),
            timestamp=f"{self._clock.now():%Y%m%dT%H%M%SZ}",
        )
        headers = {**_HEADERS, **signature}
        async with self._session.post(
            self._url, data=body, headers=headers, allow_redirects=False
        ) as response:
            answer = bytearray()
            async for chunk in response.content.iter_any():
                answer += chunk
                if len(answer) > MAX_ANSWER_BYTES:
                    raise TelemetryFault("DynamoDB's answer is over any limit")
            return response.status, bytes(answer)


def _request_ids(answer: bytes, table: str) -> frozenset[str]:
    """The request ids among the unprocessed items of an answer."""
    unprocessed = orjson.loads(answer).get("UnprocessedItems") or {}
    return frozenset(write["PutRequest"]["Item"]["request_id"]["S"] for write in unprocessed.get(table, ()))


def _is_validation_error(answer: bytes) -> bool:
    try:
        kind = orjson.loads(answer).get("__type", "")
    except (orjson.JSONDecodeError, AttributeError):
        return False
    return isinstance(kind, str) and kind.endswith(("#ValidationException", "ValidationException"))
