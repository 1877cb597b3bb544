"""A DynamoDB that holds a day of the ledger, in its own process: `scripted_ledger.py PORT ROWS LATENCY_MS`.

It answers Query in pages of up to 1 MB of items, each put together from rows that the ledger's own code
encoded, with the attributes that cost asks for. Rows repeat from partition to partition, under other hours;
no two pages of a partition have one in common. `GET /calls` tells how often it was asked.
"""

import asyncio
import signal
import sys
from bisect import bisect_right
from collections import Counter
from itertools import accumulate
from typing import Any

import orjson
import uvloop
from aiohttp import web
from day import DAY, pool, projected, rows_by_partition, size_of

from costagg.ledger_wire import ATTRIBUTES
from llmplatform.ledger import partition_keys

PAGE_BYTES = 1_048_576


class ScriptedLedger:
    """Answers and counts."""

    def __init__(self, rows: int, latency_s: float) -> None:
        self.calls: Counter[str] = Counter()
        self._latency_s = latency_s
        self._counts = {
            partition_keys(tenant, hour)[shard]: count
            for (tenant, hour, shard), count in rows_by_partition(rows).items()
        }
        items = pool(max(self._counts.values()))
        self._ids = [item["request_id"]["S"] for item in items]
        self._rows = [orjson.dumps(projected(item)) for item in items]
        self._ends = list(accumulate(size_of(item) for item in items))

    async def answer(self, request: web.Request) -> web.Response:
        """A page, or the calls so far."""
        if request.method == "GET":
            return web.Response(body=orjson.dumps(self.calls))
        query = orjson.loads(await request.read())
        asked = {query["ExpressionAttributeNames"][name] for name in query["ProjectionExpression"].split(",")}
        assert asked == set(ATTRIBUTES)
        body = self._page(query)
        self.calls["Query"] += 1
        self.calls["bytes"] += len(body)
        if self._latency_s:
            await asyncio.sleep(self._latency_s)
        return web.Response(body=body, content_type="application/x-amz-json-1.0")

    def _page(self, query: dict[str, Any]) -> bytes:
        ((key,),) = (value.values() for value in query["ExpressionAttributeValues"].values())
        after = query.get("ExclusiveStartKey")
        first = 0 if after is None else bisect_right(self._ids, after["request_id"]["S"])
        before = self._ends[first - 1] if first else 0
        fitting = bisect_right(self._ends, before + PAGE_BYTES)
        count = self._counts[key]
        last = min(fitting, count)
        hour = key.split("#")[1].encode()
        items = b",".join(self._rows[first:last]).replace(f"{DAY:%Y-%m-%dT%H}".encode(), hour)
        more = b""
        if last < count:
            position = {"tenant_hour_shard": {"S": key}, "request_id": {"S": self._ids[last - 1]}}
            more = b',"LastEvaluatedKey":' + orjson.dumps(position)
        return b'{"Count":%d,"Items":[%b]%b,"ScannedCount":%d}' % (last - first, items, more, last - first)


async def serve(port: int, rows: int, latency_ms: float) -> None:
    """Serve until SIGTERM."""
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    app = web.Application(client_max_size=100_000_000)
    app.router.add_route("*", "/{path:.*}", ScriptedLedger(rows, latency_ms / 1_000).answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await stopped.wait()
    await runner.cleanup()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
