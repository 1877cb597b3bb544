"""Rows as they are answered: bills and hours as columns of text and numbers. Pure.

Money and quantities are decimals as strings, what is unknown is null, and a row is either known in full or
not at all: no sum hides a part that nobody knows.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from llmplatform.bills import BillRow, Granularity, exact_sum, hours_of, is_closed, period_of, period_start
from llmplatform.costs import CostLine, HourStatus

DIMENSIONS: Final = (
    "layer",
    "service",
    "endpoint_type",
    "model_id",
    "endpoint_name",
    "price_key",
    "region",
    "service_tier",
    "charge_class",
    "unit_price_usd",
    "usage_source",
    "computed_from",
    "allocation_method",
    "price_version",
)
"""What rows can be told apart by, beside period, tenant and unit."""

NUMBERS: Final = frozenset(
    {
        "quantity",
        "unit_price_usd",
        "amount_usd",
        "known_amount_usd",
        "requests",
        "hours",
        "hours_computed",
        "hours_closed",
        "hours_from_metrics",
        "unpriced_lines",
        "uncounted_requests",
    }
)
"""Columns that hold numbers, or nothing; all others are text."""

HOURS_COLUMNS: Final = (
    "period",
    "state",
    "hours",
    "hours_computed",
    "hours_closed",
    "hours_from_metrics",
    "computed_at",
    "known_amount_usd",
    "unpriced_lines",
    "uncounted_requests",
    "price_version",
)

Position = tuple[str, ...]
"""Where a row stands among all rows of its query."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row, and where it stands: its position stays the same whatever other rows come or go."""

    position: Position
    values: Mapping[str, str | int | None]


def cost_columns(group_by: Sequence[str]) -> tuple[str, ...]:
    """The columns of costs, in order. Requests can be added up within a class of charge only."""
    counted = ("requests",) if "charge_class" in group_by else ()
    return ("period", "tenant_id", *group_by, "unit", "quantity", "amount_usd", *counted, "completeness")


def cost_rows(bill: Iterable[BillRow], group_by: Sequence[str]) -> list[Row]:
    """The rows of an owner's bill, told apart by `group_by`, in order."""
    columns = cost_columns(group_by)
    groups: dict[Position, list[BillRow]] = {}
    for row in bill:
        apart = (row.tenant_id, row.period, *(_text(getattr(row, name)) for name in group_by), row.unit)
        known = (str(int(row.quantity is not None)), str(int(row.amount_usd is not None)))
        groups.setdefault((*apart, *known), []).append(row)
    return [Row(position, _added(groups[position], columns)) for position in sorted(groups)]


@dataclass(slots=True)
class Totals:
    """The sum of lines as far as it is known, and what it lacks."""

    lines: int = 0
    known: int = 0
    amount_usd: Decimal = Decimal(0)
    unpriced: int = 0
    uncounted: int = 0

    def add(self, lines: Sequence[CostLine]) -> None:
        """Count these lines too."""
        known = [line.amount_usd for line in lines if line.amount_usd is not None]
        self.lines += len(lines)
        self.known += len(known)
        self.amount_usd = exact_sum((self.amount_usd, *known))
        self.unpriced += sum(bool(line.unit_price_usd is None and line.quantity) for line in lines)
        self.uncounted += sum(line.requests for line in lines if line.quantity is None)

    def told(self, *, closed: bool) -> dict[str, Any]:
        """As they are answered; `closed` says whether all hours are."""
        return _totals(
            self.amount_usd if self.known or not self.lines else None,
            complete=closed and self.known == self.lines,
            unpriced=self.unpriced,
            uncounted=self.uncounted,
        )


def totals_of_hours(statuses: Iterable[HourStatus], *, closed: bool) -> dict[str, Any]:
    """The same for all owners, by what is known of the hours."""
    computed = [status for status in statuses if status.run]
    unpriced = sum(status.unpriced_lines for status in computed)
    uncounted = sum(status.uncounted_requests for status in computed)
    return _totals(
        _known(computed),
        complete=closed and not unpriced and not uncounted,
        unpriced=unpriced,
        uncounted=uncounted,
    )


def all_closed(first: date, end: date, statuses: Mapping[datetime, HourStatus]) -> bool:
    """Whether every hour from `first` until before `end` is closed."""
    return all(is_closed(day.isoformat(), statuses) for day in _days(first, end))


def hours_rows(
    statuses: Mapping[datetime, HourStatus],
    *,
    first: date,
    end: date,
    granularity: Granularity,
    now: datetime,
) -> list[Row]:
    """How far each period is that has begun."""
    hours = (hour for day in _days(first, end) for hour in hours_of(day.isoformat()))
    periods = dict.fromkeys(period_of(hour, granularity) for hour in hours)
    return [Row((period,), _how_far(period, statuses)) for period in periods if period_start(period) <= now]


def _added(rows: Sequence[BillRow], columns: Sequence[str]) -> dict[str, str | int | None]:
    first = rows[0]
    values = {name: _shown(getattr(first, name)) for name in columns}
    if len(rows) > 1:
        values["quantity"] = _shown(_sum(row.quantity for row in rows))
        values["amount_usd"] = _shown(_sum(row.amount_usd for row in rows))
        if any(row.completeness == "open" for row in rows):
            values["completeness"] = "open"
        if "requests" in values:
            values["requests"] = sum(row.requests for row in rows)
    return values


def _how_far(period: str, statuses: Mapping[datetime, HourStatus]) -> dict[str, str | int | None]:
    hours = list(hours_of(period))
    computed = [status for hour in hours if (status := statuses.get(hour)) is not None and status.run]
    latest = max(
        (status for status in computed if status.computed_at is not None),
        key=lambda status: (status.computed_at, status.hour),
        default=None,
    )
    return {
        "period": period,
        "state": "closed" if is_closed(period, statuses) else "open",
        "hours": len(hours),
        "hours_computed": len(computed),
        "hours_closed": sum(status.closed for status in computed),
        "hours_from_metrics": sum(status.computed_from == "cloudwatch-metrics" for status in computed),
        "computed_at": latest.computed_at.isoformat() if latest and latest.computed_at else None,
        "known_amount_usd": _shown(_known(computed)),
        "unpriced_lines": sum(status.unpriced_lines for status in computed) if computed else None,
        "uncounted_requests": sum(status.uncounted_requests for status in computed) if computed else None,
        "price_version": latest.price_version if latest else None,
    }


def _totals(amount: Decimal | None, *, complete: bool, unpriced: int, uncounted: int) -> dict[str, Any]:
    return {
        "known_amount_usd": _shown(amount),
        "complete": complete,
        "unpriced_lines": unpriced,
        "uncounted_requests": uncounted,
    }


def _known(computed: Sequence[HourStatus]) -> Decimal | None:
    """What these hours cost as far as it is known; None where no hour is computed or no amount is known."""
    amounts = [amount for status in computed for amount in status.amounts_usd.values()]
    known = [amount for amount in amounts if amount is not None]
    return exact_sum(known) if known or (computed and not amounts) else None


def _sum(amounts: Iterable[Decimal | None]) -> Decimal | None:
    """All of them, added up; None as soon as one is."""
    known = list(amounts)
    return None if None in known else exact_sum(known)


def _shown(value: Any) -> str | int | None:
    """A value as it is answered: a decimal in full digits without zeros at its end."""
    if isinstance(value, Decimal):
        digits = f"{value:f}"
        return (digits.rstrip("0").rstrip(".") or "0") if "." in digits else digits
    return value if isinstance(value, int) or value is None else str(value)


def _text(value: Any) -> str:
    """A value as part of a position: what is unknown comes first and is nothing else's text."""
    return "" if value is None else f"={_shown(value)}"


def _days(first: date, end: date) -> Iterator[date]:
    return (first + timedelta(days=number) for number in range((end - first).days))
