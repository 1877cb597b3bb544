"""Bills: cost lines of an owner added up by hour, day or month, with how far the period is.

One arithmetic for the billing API, the reconciliation and the views. What differs in price, unit, source or
method stays apart, so that every row can be checked by its own figures. Sums are exact.
Reading the lines is `llmplatform.aws.cost_reader`. Pure.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass, fields
from datetime import datetime, timedelta
from decimal import Context, Decimal
from typing import Any, Final, Literal

from llmplatform.costs import ChargeClass, ComputedFrom, CostLine, HourStatus, Layer

Granularity = Literal["hour", "day", "month"]

Completeness = Literal["open", "closed", "unpriced"]
"""`unpriced`: the quantity or the price is not known; `open`: the amount may yet change; else `closed`."""

_HOUR: Final = timedelta(hours=1)
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


def bill_rows(
    lines: Iterable[CostLine], statuses: Mapping[datetime, HourStatus], granularity: Granularity
) -> tuple[BillRow, ...]:
    """The rows of these lines, sorted by period, owner and what they are about.

    A period is closed when each of its hours is: one that has not ended, and one with an hour that was never
    computed, are open. So `statuses` has to cover whole periods.
    """
    grouped: dict[_Alike, _Sum] = {}
    for line in lines:
        grouped.setdefault(_alike(line, granularity), _Sum()).add(line)
    closed = {period: is_closed(period, statuses) for period in {alike.period for alike in grouped}}
    rows = (added.row(alike, closed=closed[alike.period]) for alike, added in grouped.items())
    return tuple(sorted(rows, key=_order))


def period_of(hour: datetime, granularity: Granularity) -> str:
    """The name of the period that an hour is in."""
    return f"{hour:{_FORMATS[granularity]}}"


def is_closed(period: str, statuses: Mapping[datetime, HourStatus]) -> bool:
    """Whether every hour of a period is closed."""
    return all((status := statuses.get(hour)) is not None and status.closed for hour in hours_of(period))


def hours_of(period: str) -> Iterator[datetime]:
    """The hours of a period, by its name. Raises ValueError when it names none."""
    hour = period_start(period)
    while period.startswith(f"{hour:%Y-%m-%dT%H}"[: len(period)]):
        yield hour
        hour += _HOUR


def period_start(period: str) -> datetime:
    """When a period begins, by its name. Raises ValueError when it names none."""
    return datetime.fromisoformat(f"{period}{_REST_OF_START[len(period)]}")


def total_usd(rows: Iterable[BillRow]) -> Decimal:
    """What is known of the rows' amounts, added up exactly."""
    total = Decimal(0)
    for row in rows:
        if row.amount_usd is not None:
            total = _EXACT.add(total, row.amount_usd)
    return total


@dataclass(frozen=True, slots=True)
class _Alike:
    """What lines of one row have in common. A row is either known in full or not at all."""

    period: str
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
    counted: bool
    priced: bool


@dataclass(slots=True)
class _Sum:
    """Alike lines, added up."""

    quantity: Decimal = Decimal(0)
    amount_usd: Decimal = Decimal(0)
    requests: int = 0

    def add(self, line: CostLine) -> None:
        if line.quantity is not None:
            self.quantity = _EXACT.add(self.quantity, line.quantity)
        if line.amount_usd is not None:
            self.amount_usd = _EXACT.add(self.amount_usd, line.amount_usd)
        self.requests += line.requests

    def row(self, alike: _Alike, *, closed: bool) -> BillRow:
        known: Completeness = "closed" if closed else "open"
        return BillRow(
            **{name: getattr(alike, name) for name in _SHARED},
            quantity=self.quantity if alike.counted else None,
            amount_usd=self.amount_usd if alike.priced else None,
            requests=self.requests,
            completeness=known if alike.priced else "unpriced",
        )


def _alike(line: CostLine, granularity: Granularity) -> _Alike:
    return _Alike(
        period=period_of(line.hour, granularity),
        **{name: getattr(line, name) for name in _OF_LINE},
        counted=line.quantity is not None,
        priced=line.amount_usd is not None,
    )


def _order(row: BillRow) -> tuple[Any, ...]:
    """By the row's fields from the first on; what is unknown comes first."""
    return tuple((value is not None, value) if value is not None else (False,) for value in astuple(row))


_SHARED: Final = tuple(field.name for field in fields(_Alike) if field.name not in {"counted", "priced"})
_OF_LINE: Final = tuple(name for name in _SHARED if name != "period")
_FORMATS: Final[Mapping[Granularity, str]] = {"hour": "%Y-%m-%dT%H", "day": "%Y-%m-%d", "month": "%Y-%m"}
_REST_OF_START: Final = {
    len("2026-11-23T20"): ":00+00:00",
    len("2026-11-23"): "T00:00+00:00",
    len("2026-11"): "-01T00:00+00:00",
}
"""What a period's name lacks to be its start, by how long the name is."""
