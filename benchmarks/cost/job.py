"""The cost job over a day, hour after hour: claimed, read, shared out, written, published, swept.

`job.py HOURS`: prints one JSON line of figures. It is `costagg.job.compute` on its real reader and store;
only CloudWatch, which a run asks once or twice, is one in this process.
"""

import asyncio
import contextlib
import json
import os
import resource
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import uvloop
from day import ENDPOINTS, HOURS, TENANTS
from metric_calls import FullCloudWatch

from costagg.instances import EndpointReader
from costagg.job import HourReport, RunReport, Services, Terms, compute
from costagg.ledger_reader import QUERIES_AT_ONCE, LedgerReader
from costagg.metric_reader import MetricReader
from costagg.profiles import ProfileResolver
from costagg.store import Claim, CostStore
from costagg.tenants import KnownTenants
from costagg.usage import HourUsage
from llmplatform.aws.cost_reader import CostReader
from llmplatform.aws.dynamodb import DynamoDb
from llmplatform.aws.signed_http import SignedHttp
from llmplatform.aws.sigv4 import Credentials
from llmplatform.catalogue import Catalogue, Endpoint, Variant
from llmplatform.clock import SystemClock
from llmplatform.costs import CostLine, HourStatus
from llmplatform.prices import load_prices
from llmplatform.testing import FakeClock

REGION = "us-east-1"
AFTERWARDS = HOURS[-1] + timedelta(hours=8)
"""When the day is computed: every hour can be closed."""


class Parts:
    """What the parts of the work took, on the clock and of the processor, and what was read."""

    def __init__(self) -> None:
        self.wall_s = {"reading": 0.0, "writing": 0.0}
        self.cpu_s = dict(self.wall_s)
        self.tokens = 0

    @contextlib.contextmanager
    def of(self, part: str) -> Iterator[None]:
        """Time a block; nothing else runs beside it."""
        began, cpu = time.monotonic(), time.process_time()
        yield
        self.wall_s[part] += time.monotonic() - began
        self.cpu_s[part] += time.process_time() - cpu


class TimedLedger(LedgerReader):
    """A reader that is timed."""

    def __init__(self, dynamodb: DynamoDb, parts: Parts) -> None:
        super().__init__(dynamodb)
        self._parts = parts

    async def read(self, hour: datetime, tenants: Iterable[str], *, consistent: bool = False) -> HourUsage:
        """Counts tokens, which the peer must have as well."""
        with self._parts.of("reading"):
            usage = await super().read(hour, tenants, consistent=consistent)
        self._parts.tokens += sum(sum(calls.tokens.values()) for calls in usage.calls.values())
        return usage


class TimedStore(CostStore):
    """A store of which all that is done for an hour is timed."""

    def __init__(self, dynamodb: DynamoDb, parts: Parts) -> None:
        super().__init__(dynamodb)
        self._parts = parts

    async def claim(self, hour: datetime) -> Claim:
        """As CostStore does, timed."""
        with self._parts.of("writing"):
            return await super().claim(hour)

    async def write(self, claim: Claim, lines: Sequence[CostLine]) -> bool:
        """As CostStore does, timed."""
        with self._parts.of("writing"):
            return await super().write(claim, lines)

    async def publish(self, claim: Claim, status: HourStatus) -> bool:
        """As CostStore does, timed."""
        with self._parts.of("writing"):
            return await super().publish(claim, status)

    async def sweep(self, hour: datetime) -> int:
        """As CostStore does, timed."""
        with self._parts.of("writing"):
            return await super().sweep(hour)


async def measure(hours: int) -> dict[str, float]:
    """Figures of the day's first hours."""
    parts = Parts()
    async with SignedHttp(
        service="dynamodb",
        url=os.environ["AWS_ENDPOINT_URL"],
        region=REGION,
        credentials=lambda: Credentials("test", "test"),
        clock=SystemClock(),
        connections=2 * QUERIES_AT_ONCE,
    ) as http:
        run = _run(DynamoDb(http), parts, HOURS[:hours])
        before_mib, before_s = _rss_mib(), _waited_s()
        started, cpu = time.monotonic(), time.process_time()
        report = await run
        cpu_s, wall_s = time.process_time() - cpu, time.monotonic() - started
        waited_s = _waited_s() - before_s
    assert all(hour.outcome == "done" and hour.closed for hour in report.hours), report
    rows = sum(hour.rows for hour in report.hours)
    return {
        "rows": rows,
        "tokens": parts.tokens,
        "lines": sum(hour.lines for hour in report.hours),
        "swept": sum(hour.swept for hour in report.hours),
        "wall_s": wall_s,
        "waited_s": waited_s,
        "cpu_s": cpu_s,
        **{f"{part}_wall_s": part_s for part, part_s in parts.wall_s.items()},
        **{f"{part}_cpu_s": part_s for part, part_s in parts.cpu_s.items()},
        "rss_before_mib": before_mib,
        "max_rss_mib": _rss_mib(),
    }


async def _run(dynamodb: DynamoDb, parts: Parts, hours: Sequence[datetime]) -> RunReport:
    catalogue = Catalogue(
        models={},
        endpoints={
            name: Endpoint(variants=(Variant(name="AllTraffic", instance_type=instance_type, gpu_count=1),))
            for name, instance_type in ENDPOINTS.items()
        },
    )
    clock = FakeClock(AFTERWARDS)
    cloudwatch: Any = FullCloudWatch()
    nobody: Any = None  # described is only what has no metrics, and no call names a profile
    metrics = MetricReader(cloudwatch, clock)
    services = Services(
        ledger=TimedLedger(dynamodb, parts),
        metrics=metrics,
        endpoints=EndpointReader(metrics, nobody, catalogue, clock),
        profiles=ProfileResolver(nobody),
        costs=CostReader(dynamodb),
        store=TimedStore(dynamodb, parts),
    )
    terms = Terms(region=REGION, catalogue=catalogue, prices=load_prices())
    return await compute(services, terms, clock, KnownTenants(TENANTS, (), {}), _silent, asked=hours)


def _silent(_report: HourReport, _number: int, _of: int) -> None:
    pass


def _waited_s() -> float:
    """How long this process could have run and the core was somebody else's."""
    return int(Path("/proc/self/schedstat").read_text("ascii").split()[1]) / 1e9


def _rss_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(measure(int(sys.argv[1])))))
