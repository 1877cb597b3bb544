"""What was spent in some days and by whom, for all who show it: days, hours, owners, budgets. Pure.

It is put together from the statuses of hours, which are few and have the amounts, and from lines where it
takes them. Reading is `llmplatform.aws.cost_reader`.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Final

from llmplatform.bills import BillRow, Completeness, Granularity, exact_sum
from llmplatform.costs import INFERENCE_LAYER, PLATFORM, UNUSED, CostLine, HourStatus

OVER_NOTHING_PERCENT: Final = Decimal(1_000)
"""Anything spent of a budget of 0: over every alarm's limit, and a number that a graph can hold."""

_HOUR: Final = timedelta(hours=1)

Statuses = Mapping[datetime, HourStatus]


def percent_used(spent: Decimal, budget: Decimal) -> Decimal:
    """Spending in percent of a budget; see `OVER_NOTHING_PERCENT` for one of 0."""
    if budget:
        return spent * 100 / budget
    return OVER_NOTHING_PERCENT if spent else Decimal(0)


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


def hours_told(span: Span, statuses: Statuses) -> Hours:
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


def days_with_unknown(span: Span, statuses: Statuses) -> frozenset[date]:
    """The days whose lines it takes to say who spent what: those that lack a price or a count, and today."""
    days = {hour.date() for hour, of in statuses.items() if of.unpriced_lines or of.uncounted_requests}
    return frozenset(days if span.today is None else {*days, span.today})


def owner_costs(
    span: Span, budgets: Mapping[str, Decimal | None], statuses: Statuses, lines: Collection[CostLine]
) -> tuple[OwnerCost, ...]:
    """Of every tenant that there is or that spent anything, then of nobody and of the platform.

    `budgets` has the tenants that there are; `lines` are those of `days_with_unknown`.
    """
    with_unknown = {line.tenant_id for line in lines if line.amount_usd is None}
    spent = {owner for status in statuses.values() for owner in status.amounts_usd}
    ours = (UNUSED, PLATFORM)
    inference: defaultdict[str, list[Decimal | None]] = defaultdict(list)
    for line in lines:
        if line.layer == INFERENCE_LAYER and line.hour.date() == span.today:
            inference[line.tenant_id].append(line.amount_usd)
    return tuple(
        OwnerCost(
            owner,
            today_usd=None if span.today is None else amount_of(statuses, owner, span.today),
            span_usd=amount_of(statuses, owner),
            budget_usd=budgets.get(owner),
            budget_used_percent=None
            if span.today is None
            else _percent(inference[owner], budgets.get(owner)),
            has_unknown=owner in with_unknown,
        )
        for owner in (*sorted((budgets.keys() | spent) - set(ours)), *ours)
    )


def amount_of(statuses: Statuses, owner: str, day: date | None = None) -> Decimal | None:
    """What is known of an owner's cost; None where it has some and nothing is known of it."""
    return _known(
        [
            status.amounts_usd[owner]
            for hour, status in statuses.items()
            if owner in status.amounts_usd and (day is None or hour.date() == day)
        ]
    )


def _percent(spent: list[Decimal | None], budget: Decimal | None) -> Decimal | None:
    known = _known(spent)
    return None if budget is None or known is None else percent_used(known, budget)


def _known(amounts: list[Decimal | None]) -> Decimal | None:
    return None if amounts and all(amount is None for amount in amounts) else exact_sum(amounts)
