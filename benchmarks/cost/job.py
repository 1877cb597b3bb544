"""Cost as the job computes it, hour after hour: the ledger read and added up, then shared out and priced.

`job.py HOURS`: prints one JSON line of figures. Publishing the lines, which are few, is not in it.
"""

import asyncio
import json
import os
import resource
import sys
import time

import uvloop
from day import ENDPOINTS, HOURS, TENANTS

from costagg.allocation import AllocationRules, allocate
from costagg.ledger_reader import QUERIES_AT_ONCE, LedgerReader
from costagg.usage import MINUTES, Endpoints, HourUsage, InstanceMinutes
from llmplatform.aws.dynamodb import DynamoDb
from llmplatform.aws.signed_http import SignedHttp
from llmplatform.aws.sigv4 import Credentials
from llmplatform.clock import SystemClock
from llmplatform.prices import load_prices

REGION = "us-east-1"


async def measure(hours: int) -> dict[str, float]:
    """Figures of the day's first hours."""
    prices, rules, endpoints = load_prices(), AllocationRules(), _endpoints()
    rows, tokens, lines, allocating_s = 0, 0, 0, 0.0
    async with SignedHttp(
        service="dynamodb",
        url=os.environ["AWS_ENDPOINT_URL"],
        region=REGION,
        credentials=lambda: Credentials("test", "test"),
        clock=SystemClock(),
        connections=QUERIES_AT_ONCE,
    ) as http:
        reader = LedgerReader(DynamoDb(http))
        before_mib = _rss_mib()
        started, cpu = time.monotonic(), time.process_time()
        for hour in HOURS[:hours]:
            usage = await reader.read(hour, TENANTS)
            allocating = time.process_time()
            cost = allocate(usage, endpoints, prices, region=REGION, rules=rules)
            allocating_s += time.process_time() - allocating
            rows += usage.requests
            tokens += _tokens(usage)
            lines += len(cost.lines)
        cpu_s, wall_s = time.process_time() - cpu, time.monotonic() - started
    return {
        "rows": rows,
        "tokens": tokens,
        "lines": lines,
        "wall_s": wall_s,
        "cpu_s": cpu_s,
        "cpu_us_per_row": cpu_s * 1e6 / rows,
        "allocating_s": allocating_s,
        "rss_before_mib": before_mib,
        "max_rss_mib": _rss_mib(),
    }


def _endpoints() -> Endpoints:
    return {
        name: (InstanceMinutes(name, "AllTraffic", instance_type, (2,) * MINUTES, "metered"),)
        for name, instance_type in ENDPOINTS.items()
    }


def _tokens(usage: HourUsage) -> int:
    return sum(sum(calls.tokens.values()) for calls in usage.calls.values())


def _rss_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(measure(int(sys.argv[1])))))
