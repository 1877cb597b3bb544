"""Days of cost with all that an export has to tell: tokens, a shared endpoint, idle hours, the platform."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal

from harness.cost_lines import HOUR, INPUT, INSTANCE, SERVICE, status_of, used
from llmplatform.aws.cost_reader import Statuses
from llmplatform.costs import UNUSED, CostLine

DAY = HOUR.date()


def busy_hour(hour: datetime = HOUR) -> tuple[CostLine, ...]:
    """Two tenants on Bedrock and on one endpoint, a judge, idle capacity, and what watching takes."""
    cached = replace(INPUT, charge_class="cache_read", unit_price_usd=Decimal("0.0000001"))
    output = replace(INPUT, charge_class="output", unit_price_usd=Decimal("0.000005"))
    shared = {
        "acme": ("0.333333333333", "0.469333333333"),
        "globex": ("0.166666666667", "0.234666666667"),
        UNUSED: ("0.500000000000", "0.704000000000"),
    }
    lines = [
        used(INPUT, "12345"),
        used(cached, "99999"),
        used(output, "777"),
        used(output, "1", tenant_id="globex", service_tier="flex"),
        used(INPUT, "4000", layer="observability-layer", model_id="judge", price_key="vendor.judge"),
        used(SERVICE, "4321"),
        used(
            replace(SERVICE, service="AmazonECS", price_key="AmazonECS/Fargate-vCPU-Hours:perCPU"),
            "1",
            unit="vCPU-Hours",
            unit_price_usd=Decimal("0.04048"),
        ),
        used(replace(SERVICE, service="AmazonNew", price_key="AmazonNew/Wishes"), "3", unit="Wishes"),
    ]
    for owner, (quantity, amount) in shared.items():
        model = None if owner == UNUSED else INSTANCE.model_id
        method = "idle/1" if owner == UNUSED else INSTANCE.allocation_method
        line = used(INSTANCE, quantity, tenant_id=owner, model_id=model, allocation_method=method)
        lines.append(replace(line, amount_usd=Decimal(amount)))
    return tuple(replace(line, hour=hour) for line in lines)


def days(count: int) -> tuple[CostLine, ...]:
    """Two busy hours in each of so many days."""
    lines: list[CostLine] = []
    for number in range(count):
        for hour in (3, 20):
            at = HOUR.replace(hour=hour) + timedelta(days=number)
            lines += busy_hour(at)
    return tuple(lines)


@dataclass(frozen=True, slots=True)
class Stored:
    """What an export reads, where nothing but the lines is to be tried."""

    held: Sequence[CostLine]
    state: str = "closed"

    async def statuses(self, first: date, last: date) -> Statuses:
        hours = {line.hour for line in self.held if first <= line.hour.date() <= last}
        return {
            hour: status_of([line for line in self.held if line.hour == hour], hour, state=self.state)
            for hour in sorted(hours)
        }

    async def all_lines(
        self, first: date, last: date, statuses: Statuses
    ) -> AsyncIterator[tuple[str, date, list[CostLine]]]:
        for day in sorted({hour.date() for hour in statuses if first <= hour.date() <= last}):
            for owner in sorted({line.tenant_id for line in self.held}):
                found = [li for li in self.held if (li.tenant_id, li.hour.date()) == (owner, day)]
                if found:
                    yield owner, day, found
