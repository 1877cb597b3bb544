"""What cost lines add up to, by whatever the budgets and the figures ask for; in one pass. Pure.

A sum is of the part that is known, as everywhere. Where there are lines and of none the amount is known, the
sum is None; where there are no lines it is 0.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Final, Self, TypeVar

from costagg.hours import hour_of, midnight_of
from llmplatform.costs import INFERENCE_LAYER, UNUSED, CostLine, HourStatus, Layer

DAY: Final = timedelta(hours=24)

_Key = TypeVar("_Key")
Sums = dict[_Key, Decimal | None]
"""By key what is known, None where nothing is."""

NOTHING: Final = Decimal(0)


@dataclass(slots=True)
class Totals:
    """Sums of cost lines, as of a moment. Days and months are UTC's; amounts are US dollars."""

    at: datetime
    today: Sums[str] = field(default_factory=dict)
    """By owner, both layers, `_unused` and `_platform` too."""
    today_by_model: Sums[tuple[str, str]] = field(default_factory=dict)
    """By model and endpoint type, of all that serves a model."""
    inference_by_hour: defaultdict[str, Sums[datetime]] = field(default_factory=lambda: defaultdict(dict))
    """What owners spent on inference in each of the last 24 hours: what budgets are held against."""
    today_by_layer: Sums[Layer] = field(default_factory=dict)
    last_24_h_by_layer: Sums[Layer] = field(default_factory=dict)
    """The running hour and the 24 before it."""
    instances_today: Sums[str] = field(default_factory=dict)
    """By endpoint name."""
    unused_today: Sums[str] = field(default_factory=dict)
    """By endpoint name, the part of its instances that nobody used."""
    unpriced_today: Counter[str] = field(default_factory=Counter)
    """Lines by price key whose quantity is known and whose price is not."""

    def add(self, lines: Iterable[CostLine]) -> Self:
        """Take in lines that are visible; those before `first_day` add nothing."""
        midnight = midnight_of(self.at)
        day_ago = hour_of(self.at) - DAY
        for line in lines:
            hour, amount = line.hour, line.amount_usd
            if hour >= day_ago:
                _add(self.last_24_h_by_layer, line.layer, amount)
                if line.layer == INFERENCE_LAYER:
                    _add(self.inference_by_hour[line.tenant_id], hour, amount)
            if hour >= midnight:
                self._add_today(line)
        return self

    def _add_today(self, line: CostLine) -> None:
        amount = line.amount_usd
        _add(self.today, line.tenant_id, amount)
        _add(self.today_by_layer, line.layer, amount)
        if line.model_id is not None and line.endpoint_type is not None:
            _add(self.today_by_model, (line.model_id, line.endpoint_type), amount)
        if line.charge_class == "instance" and line.endpoint_name is not None:
            _add(self.instances_today, line.endpoint_name, amount)
            if line.tenant_id == UNUSED:
                _add(self.unused_today, line.endpoint_name, amount)
        if line.unit_price_usd is None and line.quantity:
            self.unpriced_today[line.price_key] += 1

    @property
    def unused_capacity_percent(self) -> dict[str, Decimal]:
        """By endpoint, the part of today's instance cost that nobody used, where both are known."""
        return {
            endpoint: unused * 100 / cost
            for endpoint, cost in self.instances_today.items()
            if cost and (unused := self.unused_today.get(endpoint, NOTHING)) is not None
        }


def first_day(now: datetime) -> date:
    """The first day whose lines `Totals` needs."""
    return (hour_of(now) - DAY).date()


def month_to_date(statuses: Mapping[datetime, HourStatus], now: datetime) -> Sums[str]:
    """By owner, both layers, since the month's first day: what the hours' statuses tell."""
    month = midnight_of(now).replace(day=1)
    sums: Sums[str] = {}
    for hour, status in statuses.items():
        if hour >= month:
            for owner, amount in status.amounts_usd.items():
                _add(sums, owner, amount)
    return sums


def _add(sums: Sums[_Key], key: _Key, amount: Decimal | None) -> None:
    before = sums.get(key)
    if before is None:
        sums[key] = amount
    elif amount is not None:
        sums[key] = before + amount
