"""What a user would read the ledger with: boto3's asynchronous twin, TypeDeserializer and Decimals.

`peer.py HOURS`: prints one JSON line of figures. It does less than the job: tokens by tenant, price key and
class, and nothing of endpoints' minutes, layers, what nobody counted, or prices.
"""

import asyncio
import json
import os
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import aioboto3
import uvloop
from aiobotocore.config import AioConfig
from boto3.dynamodb.types import TypeDeserializer
from day import HOURS, TENANTS

from costagg.ledger_wire import ATTRIBUTES
from llmplatform.ledger import partition_keys

AT_ONCE = 16


async def measure(hours: int) -> dict[str, float]:
    """Figures of the day's first hours."""
    session = aioboto3.Session(region_name="us-east-1")
    config = AioConfig(max_pool_connections=AT_ONCE)
    names = {f"#{at}": name for at, name in enumerate(ATTRIBUTES)}
    deserialize = TypeDeserializer().deserialize
    sums: dict[tuple[str, str, str], Decimal] = defaultdict(Decimal)
    rows = 0
    async with session.client(
        "dynamodb", endpoint_url=os.environ["AWS_ENDPOINT_URL"], config=config
    ) as client:

        async def read(partitions: Iterator[tuple[str, str]]) -> None:
            nonlocal rows
            for tenant, key in partitions:
                pages = client.get_paginator("query").paginate(
                    TableName="request-ledger",
                    KeyConditionExpression="#key = :key",
                    ExpressionAttributeNames={"#key": "tenant_hour_shard", **names},
                    ExpressionAttributeValues={":key": {"S": key}},
                    ProjectionExpression=",".join(names),
                )
                async for page in pages:
                    for item in page["Items"]:
                        row: dict[str, Any] = {name: deserialize(value) for name, value in item.items()}
                        rows += 1
                        for attempt in row["attempts"]:
                            for name, count in attempt["usage"].items():
                                sums[tenant, attempt["price_key"], name] += count

        started, cpu = time.monotonic(), time.process_time()
        for hour in HOURS[:hours]:
            partitions = _partitions(hour)
            await asyncio.gather(*(read(partitions) for _ in range(AT_ONCE)))
        cpu_s = time.process_time() - cpu
        return {
            "rows": rows,
            "tokens": int(sum(sums.values())),
            "wall_s": time.monotonic() - started,
            "reading_cpu_s": cpu_s,
            "max_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }


def _partitions(hour: datetime) -> Iterator[tuple[str, str]]:
    return ((tenant, key) for tenant in TENANTS for key in partition_keys(tenant, hour))


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(measure(int(sys.argv[1])))))
