"""A DynamoDB that holds a day of the ledger, as a process: `scripted_ledger.py PORT ROWS LATENCY_MS`.

It answers Query in pages of up to 1 MB of items, each put together from rows that the ledger's own code
encoded, with the attributes that cost asks for. Rows repeat from partition to partition, under other hours;
no two pages of a partition have one in common. The table of costs is `scripted_costs`. `GET /calls` tells how
often each was asked.
"""

import asyncio
import re
import signal
import sys
from bisect import bisect_right
from collections import Counter
from itertools import accumulate
from typing import Any, Final

import orjson
import uvloop
from day import DAY, pool, projected, rows_by_partition, size_of
from scripted_costs import ScriptedCosts

from costagg.ledger_wire import ATTRIBUTES
from llmplatform.aws.tables import REQUEST_LEDGER, TENANT_COST
from llmplatform.ledger import partition_keys

PAGE_BYTES: Final = 1_048_576


class ScriptedDynamoDb:
    """Answers and counts."""

    def __init__(self, rows: int) -> None:
        self.calls: Counter[str] = Counter()
        self._costs = ScriptedCosts()
        self._counts = {
            partition_keys(tenant, hour)[shard]: count
            for (tenant, hour, shard), count in rows_by_partition(rows).items()
        }
        items = pool(max(self._counts.values()))
        self._ids = [item["request_id"]["S"] for item in items]
        self._rows = [orjson.dumps(projected(item)) for item in items]
        self._ends = list(accumulate(size_of(item) for item in items))

    def answer(self, operation: str, request: bytes) -> bytes:
        """What an operation gives, or, without one, the calls so far."""
        if not operation:
            return orjson.dumps(self.calls)
        asked = orjson.loads(request)
        if operation == "BatchWriteItem":
            ((table, writes),) = asked["RequestItems"].items()
            self.calls.update("rows put" if "PutRequest" in write else "rows deleted" for write in writes)
        else:
            table = asked["TableName"]
        self.calls[f"{table} {operation}"] += 1
        if table == TENANT_COST.name:
            return orjson.dumps(self._costs.answer(operation, asked))
        assert (operation, table) == ("Query", REQUEST_LEDGER.name)
        page = self._page(asked)
        self.calls["bytes read"] += len(page)
        return page

    def _page(self, query: dict[str, Any]) -> bytes:
        names = query["ExpressionAttributeNames"]
        assert {names[name] for name in query["ProjectionExpression"].split(",")} == set(ATTRIBUTES)
        ((key,),) = (value.values() for value in query["ExpressionAttributeValues"].values())
        after = query.get("ExclusiveStartKey")
        first = 0 if after is None else bisect_right(self._ids, after["request_id"]["S"])
        before = self._ends[first - 1] if first else 0
        fitting = bisect_right(self._ends, before + PAGE_BYTES)
        count = self._counts.get(key, 0)  # the platform's own has none
        last = min(fitting, count)
        hour = key.split("#")[1].encode()
        items = b",".join(self._rows[first:last]).replace(f"{DAY:%Y-%m-%dT%H}".encode(), hour)
        more = b""
        if last < count:
            position = {"tenant_hour_shard": {"S": key}, "request_id": {"S": self._ids[last - 1]}}
            more = b',"LastEvaluatedKey":' + orjson.dumps(position)
        return b'{"Count":%d,"Items":[%b]%b,"ScannedCount":%d}' % (last - first, items, more, last - first)


class Connection(asyncio.Protocol):
    """A client's requests, one after the other: a web framework would cost more than what is measured."""

    def __init__(self, dynamodb: ScriptedDynamoDb, latency_s: float) -> None:
        self._dynamodb = dynamodb
        self._latency_s = latency_s
        self._received = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Be ready."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer a request that is whole; no other comes before its answer."""
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not end or len(body) < (int(length[1]) if length else 0):
            return
        self._received = b""
        operation = _OPERATION.search(head)
        answer = self._dynamodb.answer(operation[1].decode() if operation else "", body)
        asyncio.get_running_loop().call_later(self._latency_s, self._send, answer)

    def _send(self, answer: bytes) -> None:
        self._transport.writelines((_HEAD % len(answer), answer))


async def serve(port: int, rows: int, latency_ms: float) -> None:
    """Serve until SIGTERM."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    dynamodb = ScriptedDynamoDb(rows)
    await loop.create_server(lambda: Connection(dynamodb, latency_ms / 1_000), "127.0.0.1", port)
    await stopped.wait()


_LENGTH: Final = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)
_OPERATION: Final = re.compile(rb"\r\nx-amz-target: DynamoDB_20120810\.(\w+)", re.IGNORECASE)
_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: %d\r\n\r\n"


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
