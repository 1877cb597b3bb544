"""What was spent since the day before yesterday: lines of each hour, as the cost job would have left them.

Globex has used a larger model since yesterday. What today cost so far is the same at any time of day: it is
spread over the hours that have begun.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from harness.cost_lines import INPUT, INSTANCE, SERVICE, used
from harness.night.account import ACME, ENDPOINT, GLOBEX, HAIKU, INITECH, LLAMA, NOVA, SONNET
from llmplatform.costs import PLATFORM, UNUSED, CostLine

DAYS: Final = 3
_HOUR: Final = timedelta(hours=1)
_MILLION: Final = 1_000_000
_PRICES: Final = {HAIKU: ("1.10", "5.50"), SONNET: ("3.30", "16.50")}
_KEYS: Final = {HAIKU: "anthropic.claude-haiku-4-5/geo", SONNET: "anthropic.claude-sonnet-4-6/geo"}
_PRICED_BY: Final = "2026-11-24"


@dataclass(frozen=True, slots=True)
class Costs:
    """Lines by hour, rising."""

    by_hour: dict[datetime, tuple[CostLine, ...]]
    now: datetime

    def today(self, owner: str | None = None, model: str | None = None) -> Decimal:
        """What is known of what was spent since midnight UTC."""
        return self.since(self.now.replace(hour=0, minute=0), owner, model)

    def since(self, first: datetime, owner: str | None = None, model: str | None = None) -> Decimal:
        """The same since an hour."""
        return sum(
            (
                line.amount_usd
                for hour, lines in self.by_hour.items()
                if hour >= first
                for line in lines
                if line.amount_usd is not None
                and owner in {None, line.tenant_id}
                and model in {None, line.model_id}
            ),
            Decimal(0),
        )

    @property
    def unpriced(self) -> int:
        """Lines of today without a price."""
        midnight = self.now.replace(hour=0, minute=0)
        return sum(
            line.unit_price_usd is None
            for hour, lines in self.by_hour.items()
            if hour >= midnight
            for line in lines
        )


def costs_until(now: datetime) -> Costs:
    """Of the hours that have begun, `now` being a whole minute."""
    midnight = now.replace(hour=0, minute=0)
    by_hour: defaultdict[datetime, list[CostLine]] = defaultdict(list)
    for back in range(DAYS):
        first = midnight - timedelta(days=back)
        hours = [first + number * _HOUR for number in range(24) if first + number * _HOUR <= now]
        for hour in hours:
            by_hour[hour] += _lines(hour, back, Decimal(1) / len(hours))
    return Costs({hour: tuple(by_hour[hour]) for hour in sorted(by_hour)}, now)


def _lines(hour: datetime, days_back: int, part: Decimal) -> Iterator[CostLine]:
    """The part of a day's spending that falls on one of its hours."""
    yield from _tokens(ACME, HAIKU, hour, 9_000_000 * part, 1_400_000 * part)
    yield from _tokens(INITECH, HAIKU, hour, 2_000_000 * part, 300_000 * part)
    yield _instance(ACME, hour, 6 * part)
    yield replace(_instance(UNUSED, hour, 3 * part), requests=0, tokens=0)
    yield _whole(replace(SERVICE, hour=hour, tenant_id=PLATFORM), 900_000 * part)
    if days_back == 2:  # before the change
        yield from _tokens(GLOBEX, HAIKU, hour, 3_000_000 * part, 500_000 * part)
        return
    yield from _tokens(GLOBEX, SONNET, hour, 14_000_000 * part, 3_000_000 * part)
    if days_back == 0:
        yield _used(
            replace(INPUT, hour=hour, tenant_id=GLOBEX, model_id=NOVA, price_key="amazon.nova-2-pro/geo"),
            400_000 * part,
            unit_price_usd=None,
            price_version=_PRICED_BY,
        )


def _tokens(
    tenant: str, model: str, hour: datetime, input_tokens: Decimal, output_tokens: Decimal
) -> Iterator[CostLine]:
    of_model = replace(
        INPUT, hour=hour, tenant_id=tenant, model_id=model, price_key=_KEYS[model], requests=12
    )
    for charge, quantity, price in zip(
        ("input", "output"), (input_tokens, output_tokens), _PRICES[model], strict=True
    ):
        yield _used(
            of_model,
            quantity,
            charge_class=charge,
            unit_price_usd=Decimal(price) / _MILLION,
            price_version=_PRICED_BY,
        )


def _instance(owner: str, hour: datetime, hours: Decimal) -> CostLine:
    return _used(
        replace(INSTANCE, hour=hour, tenant_id=owner, model_id=None if owner == UNUSED else LLAMA),
        hours,
        endpoint_name=ENDPOINT,
        price_key="ml.g5.12xlarge",
        unit_price_usd=Decimal("7.09"),
        price_version=_PRICED_BY,
    )


def _whole(line: CostLine, quantity: Decimal) -> CostLine:
    return used(line, str(int(quantity)))


def _used(line: CostLine, quantity: Decimal, **fields: Any) -> CostLine:
    """Of tokens a whole number; of hours thousandths."""
    exact = quantity.quantize(Decimal(1) if line.unit == "tokens" else Decimal("0.001"))
    return used(line, f"{exact:f}", **fields)
