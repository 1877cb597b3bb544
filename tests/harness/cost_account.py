"""An account that a cost job computes: rows put into its ledger, its table read back, a job beside the test.

The job's clients go to AWS by ways that a test can cut one by one; its clock is the test's.
"""

import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import orjson

from costagg.bootstrap import CostJob
from costagg.brake import OBSERVABILITY_BUDGET
from costagg.instances import EndpointReader
from costagg.job import Services, Terms
from costagg.ledger_reader import LedgerReader
from costagg.metric_reader import MetricReader
from costagg.profiles import ProfileResolver
from costagg.reconciliation.store import ReconciliationStore
from costagg.standing import Budget
from costagg.store import CostStore
from costagg.tenants import TenantSource
from harness.cuttable import Cuttable
from harness.sinks import KeepingSink
from llmplatform import ids
from llmplatform.aws.cost_reader import CostReader
from llmplatform.aws.dynamodb import DynamoDb
from llmplatform.aws.ledger_sink import LedgerSink
from llmplatform.aws.sampling_brake import BrakeParameter
from llmplatform.aws.signed_http import SignedHttp
from llmplatform.aws.tables import TENANT_COST
from llmplatform.clock import SystemClock
from llmplatform.costs import (
    STATUS,
    CostLine,
    HourStatus,
    decode_line,
    decode_status,
    partition_key,
)
from llmplatform.invocation import Attempt, InvocationRecord, Origin, Outcome
from llmplatform.testing import FakeClock, make_record
from llmplatform.usage import TokenUsage, UsageSource
from sandbox.emulator import CREDENTIALS, REGION, Emulator, sandbox_session
from sandbox.runtime import SandboxRuntime

MINUTE: Final = timedelta(minutes=1)
HOUR: Final = timedelta(hours=1)


def bedrock(model_id: str, price_key: str, usage: TokenUsage, **fields: Any) -> Attempt:
    """A call of Bedrock that was answered in a second, but for `fields`."""
    return Attempt(
        **{
            "endpoint_type": "bedrock",
            "model_id": model_id,
            "backend_model_id": f"vendor.{model_id}-v1:0",
            "endpoint_name": None,
            "price_key": price_key,
            "outcome": Outcome.COMPLETED,
            "reason": "requested",
            "started_ms": 0.0,
            "duration_ms": 1_000.0,
            "first_event_ms": 100.0,
            "usage": usage,
            "usage_source": UsageSource.REPORTED,
            **fields,
        }
    )


def sagemaker(endpoint_name: str, usage: TokenUsage, **fields: Any) -> Attempt:
    """A call of a SageMaker endpoint, under a model of the same name."""
    return bedrock(
        endpoint_name,
        "hosted",
        usage,
        **{
            "endpoint_type": "sagemaker",
            "endpoint_name": endpoint_name,
            "backend_model_id": endpoint_name,
            **fields,
        },
    )


def a_row(
    tenant_id: str, received_at: datetime, *attempts: Attempt, origin: Origin = "client", **fields: Any
) -> InvocationRecord:
    """A request that its last attempt answered, within a second of its arrival."""
    last = attempts[-1]
    completed_at = received_at + timedelta(seconds=1)
    return make_record(
        **{
            "request_id": ids.request_id(int(completed_at.timestamp() * 1_000), secrets.token_bytes(10)),
            "tenant_id": tenant_id,
            "origin": origin,
            "received_at": received_at,
            "completed_at": completed_at,
            "total_latency_ms": 1_000.0,
            "requested_model_id": last.model_id,
            "model_id": last.model_id,
            "backend_model_id": last.backend_model_id,
            "endpoint_type": last.endpoint_type,
            "endpoint_name": last.endpoint_name,
            "attempts": attempts,
            "usage": last.usage,
            "usage_source": last.usage_source,
            **fields,
        }
    )


async def put_rows(url: str, records: Iterable[InvocationRecord]) -> None:
    """Write rows into the ledger as the product does."""
    sink = LedgerSink(url=url, region=REGION, credentials=lambda: CREDENTIALS, clock=SystemClock())
    await sink.start()
    for record in records:
        sink.accept(record)
    await sink.flush(60)
    assert sink.counts.dropped == 0


async def put_instances(url: str, endpoint_name: str, hour: datetime, counts: Sequence[int]) -> None:
    """Publish what so many instances publish in each of the sixty minutes."""
    async with sandbox_session().client("cloudwatch", endpoint_url=url) as cloudwatch:
        await cloudwatch.put_metric_data(
            Namespace="/aws/sagemaker/Endpoints",
            MetricData=[
                {
                    "MetricName": "CPUUtilization",
                    "Dimensions": [
                        {"Name": "EndpointName", "Value": endpoint_name},
                        {"Name": "VariantName", "Value": "AllTraffic"},
                    ],
                    "Timestamp": hour + minute * MINUTE,
                    "Unit": "Percent",
                    "Values": [20.0],
                    "Counts": [float(count)],
                }
                for minute, count in enumerate(counts)
                if count
            ],
        )


@dataclass(frozen=True, slots=True)
class Bill:
    """What stands in the table, read by an SDK: the statuses, and the lines that count."""

    statuses: dict[datetime, HourStatus]
    lines: dict[datetime, tuple[CostLine, ...]]
    hidden: int
    """Rows of lines that do not count."""

    def of(self, hour: datetime) -> dict[tuple[str, str], CostLine]:
        """An hour's lines by owner and key; no two have both in common."""
        lines = self.lines.get(hour, ())
        found = {(line.tenant_id, line.key): line for line in lines}
        assert len(found) == len(lines)
        return found


async def read_bill(url: str) -> Bill:
    """All of the table."""
    statuses: dict[datetime, HourStatus] = {}
    stored = []
    async with sandbox_session().client("dynamodb", endpoint_url=url) as dynamodb:
        async for page in dynamodb.get_paginator("scan").paginate(TableName=TENANT_COST.name):
            for item in page["Items"]:
                owner = item[TENANT_COST.partition_key.name]["S"]
                if owner.startswith(f"{STATUS}#"):
                    status = decode_status(item)
                    statuses[status.hour] = status
                elif owner != STATUS:
                    one = decode_line(item)
                    assert owner == partition_key(one.line.tenant_id, one.line.hour.date())
                    stored.append(one)
    lines: defaultdict[datetime, list[CostLine]] = defaultdict(list)
    for one in stored:
        if statuses[one.line.hour].shows(one):
            lines[one.line.hour].append(one.line)
    return Bill(
        statuses,
        {hour: tuple(of_hour) for hour, of_hour in lines.items()},
        len(stored) - sum(map(len, lines.values())),
    )


@dataclass
class Account:
    """An emulated account, and a way to each of its services that can be cut."""

    aws: Emulator
    runtime: SandboxRuntime
    ways: dict[str, Cuttable]
    """To `ledger`, `costs`, `cloudwatch`, `ssm`: the first two are one service's, told apart by the test."""

    @asynccontextmanager
    async def job(
        self, terms: Terms, clock: FakeClock, *, daily_usd: Any = None
    ) -> AsyncIterator["JobUnderTest"]:
        """The cost job, put together as its process does, with little patience."""
        async with AsyncExitStack() as stack:
            session = sandbox_session()
            cloudwatch = await stack.enter_async_context(
                session.client("cloudwatch", endpoint_url=self.ways["cloudwatch"].url)
            )
            ssm = await stack.enter_async_context(session.client("ssm", endpoint_url=self.ways["ssm"].url))
            control = await stack.enter_async_context(
                session.client("sagemaker", endpoint_url=self.runtime.url)
            )
            bedrock_control = await stack.enter_async_context(
                session.client("bedrock", endpoint_url=self.aws.url)
            )
            ledger = await stack.enter_async_context(_dynamodb(self.ways["ledger"].url, clock))
            costs = await stack.enter_async_context(_dynamodb(self.ways["costs"].url, clock))

            def services() -> Services:
                metrics = MetricReader(cloudwatch, clock)
                return Services(
                    ledger=LedgerReader(ledger, first_pause_s=0.001),
                    metrics=metrics,
                    endpoints=EndpointReader(metrics, control, terms.catalogue, clock),
                    profiles=ProfileResolver(bedrock_control),
                    costs=CostReader(costs, first_pause_s=0.001),
                    store=CostStore(costs, first_pause_s=0.001),
                    reconciliations=ReconciliationStore(costs),
                )

            lines = KeepingSink[bytes]("emf")
            job = CostJob(
                services=services,
                terms=terms,
                tenants=TenantSource(ssm, clock),
                budget=Budget(daily_usd, BrakeParameter(ssm, OBSERVABILITY_BUDGET)),
                lines=lines,
                clock=clock,
            )
            yield JobUnderTest(job, lines)


@dataclass
class JobUnderTest:
    """A job, and the metrics that it published."""

    job: CostJob
    lines: KeepingSink[bytes]

    async def run(self, *asked: datetime) -> Any:
        """What the job reports of a run; the metrics of the run before are forgotten."""
        self.lines.items.clear()
        return await self.job.run(lambda _report, _number, _of: None, asked=asked)

    def figure(self, metric: str, **dimensions: str) -> float | None:
        """What the last run published with these dimensions."""
        for line in map(orjson.loads, self.lines.items):
            if metric in line and all(line.get(name) == value for name, value in dimensions.items()):
                return float(line[metric])
        return None


@asynccontextmanager
async def _dynamodb(url: str, clock: FakeClock) -> AsyncIterator[DynamoDb]:
    async with SignedHttp(
        service="dynamodb",
        url=url,
        region=REGION,
        credentials=lambda: CREDENTIALS,
        clock=clock,
        connections=32,
        timeout_s=60.0,
    ) as http:
        yield DynamoDb(http)
