"""What `llm-platform cost` knows before it tells it: days, hours, owners, rows. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Final

from llmplatform.bills import BillRow, Completeness, Granularity
from llmplatform.costs import HourStatus

_HOUR: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Span:
    """The days that are told of, both included, as of now."""

    name: str
    first: date
    last: date
    now: datetime

    @property
    def today(self) -> date | None:
        """The running day, where it is among them."""
        today = self.now.date()
        return today if self.first <= today <= self.last else None

    @property
    def granularity(self) -> Granularity:
        """What a chart of it has a bar for."""
        return "hour" if self.first == self.last else "day"

    @property
    def hours(self) -> Iterator[datetime]:
        """Those that have begun."""
        hour = datetime.combine(self.first, time(), UTC)
        while hour <= self.now and hour.date() <= self.last:
            yield hour
            hour += _HOUR


@dataclass(frozen=True, slots=True)
class Hours:
    """How far the hours of a span are."""

    closed: int
    open: int
    missing: int
    """That have begun and that no run has computed."""
    last_run: datetime | None
    by_metrics: int
    """Computed from CloudWatch's metrics, since the ledger could not be read."""
    unpriced_lines: int
    uncounted_requests: int

    @property
    def are_closed(self) -> bool:
        """Whether nothing may change any more."""
        return not self.open and not self.missing


@dataclass(frozen=True, slots=True)
class OwnerCost:
    """What one owner spent."""

    owner: str
    today_usd: Decimal | None
    span_usd: Decimal | None
    budget_usd: Decimal | None
    """For a day of inference; None where there is none."""
    budget_used_percent: Decimal | None
    has_unknown: bool
    """Whether the amounts lack something of which no amount is known."""


@dataclass(frozen=True, slots=True)
class Overview:
    """What everybody spent."""

    span: Span
    owners: tuple[OwnerCost, ...]
    hours: Hours

    def completeness(self, owner: OwnerCost) -> Completeness:
        """How far an owner's amount is."""
        if owner.has_unknown:
            return "unpriced"
        return "closed" if self.hours.are_closed else "open"


@dataclass(frozen=True, slots=True)
class TenantCost:
    """What one owner spent, in rows of the span's granularity."""

    owner: str
    span: Span
    rows: tuple[BillRow, ...]
    hours: Hours
    computed: frozenset[str]
    """Periods of that granularity with an hour that a run has computed."""


def _before_all(status: HourStatus) -> bool:
    """Whether an hour was over before the platform began: closed, and of no run."""
    return status.closed and not status.run


def hours_told(span: Span, statuses: Mapping[datetime, HourStatus]) -> Hours:
    """How far the hours of a span are; those before the platform began are none."""
    begun = [hour for hour in span.hours if hour not in statuses or not _before_all(statuses[hour])]
    computed = [statuses[hour] for hour in begun if hour in statuses and statuses[hour].run]
    closed = sum(status.closed for status in computed)
    return Hours(
        closed=closed,
        open=len(computed) - closed,
        missing=len(begun) - len(computed),
        last_run=max((one.computed_at for one in computed if one.computed_at is not None), default=None),
        by_metrics=sum(status.computed_from == "cloudwatch-metrics" for status in computed),
        unpriced_lines=sum(status.unpriced_lines for status in computed),
        uncounted_requests=sum(status.uncounted_requests for status in computed),
    )
