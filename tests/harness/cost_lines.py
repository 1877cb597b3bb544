"""Cost lines as the job leaves them, a table that has them, and a reader of it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from costagg.store import CostStore
from llmplatform.aws.cost_reader import CostReader
from llmplatform.aws.dynamodb import DynamoDb
from llmplatform.aws.signed_http import SignedHttp
from llmplatform.clock import SystemClock
from llmplatform.costs import CostLine, HourStatus, amounts_by_owner
from sandbox.emulator import CREDENTIALS, REGION

HOUR = datetime(2026, 11, 23, 20, tzinfo=UTC)
INPUT = CostLine(
    tenant_id="acme",
    hour=HOUR,
    layer="inference",
    service="AmazonBedrock",
    endpoint_type="bedrock",
    model_id="claude-haiku-4-5",
    endpoint_name=None,
    price_key="anthropic.claude-haiku-4-5/geo",
    region="us-east-1",
    service_tier="default",
    charge_class="input",
    unit="tokens",
    quantity=Decimal(1_000_000),
    unit_price_usd=Decimal("0.000001"),
    amount_usd=Decimal(1),
    requests=3,
    usage_source="reported",
    computed_from="request-ledger",
    allocation_method="direct/1",
    price_version="2026-11-01",
)
INSTANCE = replace(
    INPUT,
    service="AmazonSageMaker",
    endpoint_type="sagemaker",
    model_id="llama-3-1-8b",
    endpoint_name="llama",
    price_key="ml.g5.xlarge",
    charge_class="instance",
    unit="instance-hours",
    unit_price_usd=Decimal("1.408"),
    usage_source="metered",
    allocation_method="tokens/1",
    tokens=40_000,
)
SERVICE = replace(
    INPUT,
    tenant_id="_platform",
    layer="observability-layer",
    service="AmazonDynamoDB",
    endpoint_type=None,
    model_id=None,
    price_key="AmazonDynamoDB/WriteRequestUnits",
    charge_class="service",
    unit="WriteRequestUnits",
    unit_price_usd=Decimal("0.000000625"),
    requests=0,
    usage_source="estimated",
    allocation_method="estimate/1",
)


def used(line: CostLine, quantity: str | None, **fields: Any) -> CostLine:
    """A line of so much, at its price; None is not known."""
    return priced(replace(line, quantity=None if quantity is None else Decimal(quantity), **fields))


def priced(line: CostLine) -> CostLine:
    """A line whose amount is its quantity times its price, where both are known."""
    if line.quantity is None or line.unit_price_usd is None:
        return replace(line, amount_usd=None)
    return replace(line, amount_usd=line.quantity * line.unit_price_usd)


def status_of(lines: Sequence[CostLine], hour: datetime = HOUR, **fields: Any) -> HourStatus:
    """The status of an hour that was computed once and is closed, unless told otherwise."""
    given: dict[str, Any] = {
        "state": "closed",
        "claimed_run": 1,
        "run": 1,
        "computed_at": hour,
        "unpriced_lines": sum(line.unit_price_usd is None and bool(line.quantity) for line in lines),
        "uncounted_requests": sum(line.requests for line in lines if line.quantity is None),
    }
    return HourStatus(hour=hour, amounts_usd=amounts_by_owner(lines), **(given | fields))


@dataclass(frozen=True, slots=True)
class CostTable:
    """The table as the job writes it and as everybody else reads it."""

    store: CostStore
    reader: CostReader

    async def put(self, *lines: CostLine, state: str = "closed") -> None:
        """Run the hours of these lines: whatever they held before is gone."""
        for hour in sorted({line.hour for line in lines}):
            of_hour = [line for line in lines if line.hour == hour]
            claim = await self.store.claim(hour)
            assert await self.store.write(claim, of_hour)
            assert await self.store.publish(claim, status_of(of_hour, hour, state=state))
            await self.store.sweep(hour)


@asynccontextmanager
async def cost_table(url: str) -> AsyncIterator[CostTable]:
    """The table of costs at an address."""
    async with SignedHttp(
        service="dynamodb",
        url=url,
        region=REGION,
        credentials=lambda: CREDENTIALS,
        clock=SystemClock(),
        connections=16,
        timeout_s=60.0,
    ) as http:
        dynamodb = DynamoDb(http)
        yield CostTable(CostStore(dynamodb), CostReader(dynamodb, first_pause_s=0.01))
