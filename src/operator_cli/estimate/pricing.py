"""Money for quantities, at the prices of one day and region. None is unknown, never nothing. Pure."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final

from llmplatform.footprint import HOURS_IN_A_MONTH, MEMORY_HOURS, VCPU_HOURS
from llmplatform.prices import PriceTable, TokenClass
from operator_cli.estimate.figures import Range, total

DAYS_IN_A_MONTH: Final = Decimal(HOURS_IN_A_MONTH) / 24
HOURS: Final = Decimal(HOURS_IN_A_MONTH)

Month = Range | None
"""US dollars a month."""


@dataclass(frozen=True, slots=True)
class TaskSize:
    """A task on Fargate, and how many there are at least."""

    vcpu: Decimal
    memory_gb: Decimal
    least: int


@dataclass(frozen=True, slots=True)
class Pricing:
    """The price table, as an estimate asks it."""

    prices: PriceTable
    at: date
    region: str

    def month(self, name: str, units: Range) -> Month:
        """So many units of a service in a month."""
        amounts = [
            self.prices.month_usd(name, each, at=self.at, region=self.region)
            for each in (units.low, units.likely, units.high)
        ]
        known = [amount for amount in amounts if amount is not None]
        return Range(*known) if len(known) == len(amounts) else None

    def listed(self, name: str, units: Range) -> Month:
        """The same as the cost job prices it, which knows no price of volume."""
        price = self.prices.service_price(name, at=self.at, region=self.region)
        return None if price is None else units * price.usd_per_unit

    def tasks(self, size: TaskSize, hours: Range) -> Month:
        """So many hours of a task."""
        vcpu = self.month(VCPU_HOURS, hours * size.vcpu)
        return added(vcpu, self.month(MEMORY_HOURS, hours * size.memory_gb))

    def tokens(self, price_key: str, token_class: TokenClass, tokens: Range) -> Month:
        """So many tokens of a model."""
        price = self.prices.price_of(price_key, token_class, at=self.at, region=self.region)
        return None if price is None else tokens * (price.usd_per_million_tokens / 1_000_000)

    def source_of(self, name: str) -> str:
        """Who says what a service costs, and when that was looked up."""
        price = self.prices.service_price(name, at=self.at, region=self.region)
        return (
            f"{name}: no price in {self.region}"
            if price is None
            else f"{name} {price.usd_per_unit:f} USD ({price.row.retrieved_on}: {price.row.source})"
        )

    def source_of_tokens(self, price_key: str) -> str:
        """The same of a model's tokens."""
        price = self.prices.price_of(price_key, "input", at=self.at, region=self.region)
        return (
            f"{price_key}: no price in {self.region}"
            if price is None
            else f"{price_key} ({price.row.retrieved_on}: {price.row.source})"
        )


def added(*months: Month) -> Month:
    """The sum; unknown when one of them is."""
    known = [month for month in months if month is not None]
    return total(known) if len(known) == len(months) else None
