"""Bills: cost lines of an owner added up by hour, day or month, with how far the period is.

One arithmetic for the billing API, the reconciliation and the views. What differs in price, unit, source or
method stays apart, so that every row can be checked by its own figures. Sums are exact.
Reading the lines is `llmplatform.aws.cost_reader`. Pure.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from decimal import Context, Decimal
from functools import lru_cache, partial
from operator import attrgetter
from typing import Any, Final, Literal

from llmplatform.costs import (
    OBSERVABILITY_LAYER,
    ChargeClass,
    ComputedFrom,
    CostLine,
    HourStatus,
    Layer,
)

Granularity = Literal["hour", "day", "month"]

Completeness = Literal["open", "closed", "unpriced"]
"""`unpriced`: the quantity or the price is not known; `open`: the amount may yet change; else `closed`."""

_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)
_EXACT: Final = Context(prec=100)
"""Wider than any sum of DynamoDB's 38 digits: nothing is rounded here."""


@dataclass(frozen=True, slots=True)
class BillRow:
    """Cost lines of one owner and period that are alike in all but their hour, added up."""

    period: str
    """`2026-11-23T20`, `2026-11-23` or `2026-11`, UTC."""
    tenant_id: str
    layer: Layer
    service: str
    endpoint_type: str | None
    model_id: str | None
    endpoint_name: str | None
    price_key: str
    region: str
    service_tier: str
    charge_class: ChargeClass
    unit: str
    unit_price_usd: Decimal | None
    usage_source: str
    computed_from: ComputedFrom
    allocation_method: str
    price_version: str
    quantity: Decimal | None
    """None where it was used and nobody knows how much; what is known of its like is a row of its own."""
    amount_usd: Decimal | None
    """None as soon as quantity or price is."""
    requests: int
    completeness: Completeness
    tokens: int | None = None
    """Behind an instance's hours, as far as they are known."""


def bill_rows(
    lines: Iterable[CostLine], statuses: Mapping[datetime, HourStatus], granularity: Granularity
) -> tuple[BillRow, ...]:
    """The rows of these lines, sorted by period, owner and what they are about.

    A period is closed when each of its hours is: one that has not ended, and one with an hour that was never
    computed, are open. So `statuses` has to cover whole periods.
    """
    grouped: dict[tuple[Any, ...], _Sum] = {}
    period = lru_cache(partial(period_of, granularity=granularity))
    for line in lines:
        about = _ABOUT(line)
        # What is not known is a row of its own, so that no sum hides it.
        alike = (period(line.hour), about, line.quantity is None, line.amount_usd is None)
        grouped.setdefault(alike, _Sum()).add(line)
    closed = {period: is_closed(period, statuses) for period in {alike[0] for alike in grouped}}
    rows = (_row(alike, added, closed=closed[alike[0]]) for alike, added in grouped.items())
    return tuple(sorted(rows, key=_order))


def period_of(hour: datetime, granularity: Granularity) -> str:
    """The name of the period that an hour is in."""
    return f"{hour:{_FORMATS[granularity]}}"


def is_closed(period: str, statuses: Mapping[datetime, HourStatus]) -> bool:
    """Whether every hour of a period is closed."""
    return all((status := statuses.get(hour)) is not None and status.closed for hour in hours_of(period))


def hours_of(period: str) -> Iterator[datetime]:
    """The hours of a period, by its name."""
    hour, end = period_start(period), period_end(period)
    while hour < end:
        yield hour
        hour += _HOUR


def period_start(period: str) -> datetime:
    """When a period begins, by its name."""
    return datetime.fromisoformat(f"{period}{_REST_OF_START[len(period)]}")


def period_end(period: str) -> datetime:
    """When a period is over: the start of the next."""
    start = period_start(period)
    if len(period) == _MONTH:
        return (start + timedelta(days=_MORE_THAN_A_MONTH)).replace(day=1)
    return start + (_HOUR if len(period) == _AN_HOUR else _DAY)


def exact_sum(known: Iterable[Decimal | None]) -> Decimal:
    """What is known, added up without rounding."""
    total = Decimal(0)
    for one in known:
        if one is not None:
            total = _EXACT.add(total, one)
    return total


def total_usd(rows: Iterable[BillRow]) -> Decimal:
    """What is known of the rows' amounts, added up."""
    return exact_sum(row.amount_usd for row in rows)


def heading_of(row: BillRow) -> tuple[str, ...]:
    """What a row is headed by: the model, where it runs, and that it judges where it does."""
    name = row.model_id or ("idle" if row.charge_class == "instance" else row.service)
    where = [part for part in (row.endpoint_type, row.endpoint_name) if part]
    judging = ["judging"] if row.layer == OBSERVABILITY_LAYER and row.model_id else []
    return (name, *where, *judging)


def charge_of(row: BillRow) -> tuple[str, str, str, Decimal, bool]:
    """What rows that differ in their hours and sources alone have in common."""
    price = Decimal(-1) if row.unit_price_usd is None else row.unit_price_usd
    return (row.charge_class, row.price_key, row.service_tier, price, row.quantity is None)


def charge_name(row: BillRow) -> str:
    """What was charged for, in words: a token class, an instance type, a unit of a service."""
    match row.charge_class:
        case "instance":
            return row.price_key
        case "service":
            return row.price_key.partition("/")[2] or row.price_key
        case token_class:
            return token_class.replace("_", " ")


@dataclass(slots=True)
class _Sum:
    """Alike lines, added up."""

    quantity: Decimal = Decimal(0)
    amount_usd: Decimal = Decimal(0)
    requests: int = 0
    tokens: int | None = None

    def add(self, line: CostLine) -> None:
        if line.quantity is not None:
            self.quantity = _EXACT.add(self.quantity, line.quantity)
        if line.amount_usd is not None:
            self.amount_usd = _EXACT.add(self.amount_usd, line.amount_usd)
        self.requests += line.requests
        if line.tokens is not None:
            self.tokens = line.tokens + (self.tokens or 0)


def _row(alike: tuple[Any, ...], added: _Sum, *, closed: bool) -> BillRow:
    period, about, uncounted, unpriced = alike
    known: Completeness = "closed" if closed else "open"
    figures = (
        None if uncounted else added.quantity,
        None if unpriced else added.amount_usd,
        added.requests,
        "unpriced" if unpriced else known,
        added.tokens,
    )
    return BillRow(*(period, *about, *figures))


def _order(row: BillRow) -> tuple[Any, ...]:
    """By the row's fields from the first on; what is unknown comes first."""
    return tuple((value is not None, value) if value is not None else (False,) for value in _ALL(row))


_NOT_OF_LINE: Final = {"period", "quantity", "amount_usd", "requests", "completeness", "tokens"}
_ABOUT: Final = attrgetter(*(field.name for field in fields(BillRow) if field.name not in _NOT_OF_LINE))
"""What a line is about, in the order of a row's fields."""
_ALL: Final = attrgetter(*(field.name for field in fields(BillRow)))
_FORMATS: Final[Mapping[Granularity, str]] = {"hour": "%Y-%m-%dT%H", "day": "%Y-%m-%d", "month": "%Y-%m"}
_AN_HOUR: Final = len("2026-11-23T20")
_A_DAY: Final = len("2026-11-23")
_MONTH: Final = len("2026-11")
_REST_OF_START: Final = {_AN_HOUR: ":00+00:00", _A_DAY: "T00:00+00:00", _MONTH: "-01T00:00+00:00"}
"""What a period's name lacks to be its start, by how long the name is."""
_MORE_THAN_A_MONTH: Final = 31
