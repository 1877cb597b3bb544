"""What the pages about cost show: owners, days and charges as tables and a chart. Pure.

An amount that lacks something unknown is a lower bound and said to be one; what is unknown is no zero.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import groupby
from typing import Any, Final, TypeVar

from llmplatform.bills import BillRow, Completeness, charge_name, charge_of, exact_sum, heading_of, total_usd
from llmplatform.costs import PLATFORM, UNUSED, CostLine, HourStatus
from llmplatform.spending import Hours, Overview, Span
from watch.console.charts import Chart, Mark, Series
from watch.console.tables import Cell, Column, Row, State, Table

_DAY: Final = timedelta(days=1)
_MILLION: Final = 1_000_000
_MOST_LINES: Final = 8
"""Owners with a line of their own in the chart; the rest is one."""
_ABOUT: Final = {UNUSED: "paid for, used by nobody", PLATFORM: "what watching costs"}
_Key = TypeVar("_Key", bound=tuple[Any, ...])
_STATES: Final[Mapping[Completeness, State]] = {"closed": "ok", "open": "info", "unpriced": "warning"}


def days_that_lack(statuses: Mapping[datetime, HourStatus]) -> frozenset[date]:
    """The days on which something has no price or no count: whose, only the lines tell."""
    return frozenset(
        hour.date() for hour, status in statuses.items() if status.unpriced_lines or status.uncounted_requests
    )


def owners_table(found: Overview, used: Mapping[str, Cell], *, looked_at: int | None = None) -> Table:
    """Every owner with its cost; `used` has what the job last said of today's budgets.

    `looked_at` is of how many days alone it is known who lacks a price, where it is not of all.
    """
    rows: list[Row] = [
        {
            "owner": Cell(
                owner.owner,
                href=f"/cost/{owner.owner}?month={_month(found.span)}",
                note=_ABOUT.get(owner.owner),
            ),
            "today": owner.today_usd,
            "span": _at_least(owner.span_usd, lacks=owner.has_unknown),
            "budget": owner.budget_usd,
            "used": used.get(owner.owner),
            "state": _state(found.completeness(owner)),
        }
        for owner in found.owners
    ]
    today = (Column("today", "Today", "usd"),) if found.span.today is not None else ()
    of_budget = (Column("used", "Of today's budget", "percent"),) if found.span.today is not None else ()
    lacks = any(owner.has_unknown for owner in found.owners)
    return Table(
        name="owners",
        caption=f"Cost of {found.span.name} by tenant, US dollars",
        columns=(
            Column("owner", "Tenant"),
            *today,
            Column("span", found.span.name, "usd"),
            Column("budget", "Daily budget", "usd", help="Of inference; what judging costs is not in it."),
            *of_budget,
            Column("state", "State"),
        ),
        rows=rows,
        rests_on=hours_told(found.hours)
        + ("" if looked_at is None else f"; who lacks a price is known of the newest {looked_at} days"),
        empty="Nothing was spent.",
        totals={
            "owner": "total",
            "today": exact_sum(owner.today_usd for owner in found.owners),
            "span": _at_least(exact_sum(owner.span_usd for owner in found.owners), lacks=lacks),
        },
    )


def days_chart(span: Span, statuses: Mapping[datetime, HourStatus], owners: Sequence[str]) -> Chart:
    """Dollars a day, of the largest owners a line each and of the rest together."""
    days = [span.first + number * _DAY for number in range((span.last - span.first).days + 1)]
    days = [day for day in days if day <= span.now.date()]
    by_day: defaultdict[date, defaultdict[str, list[Decimal]]] = defaultdict(lambda: defaultdict(list))
    totals: defaultdict[str, Decimal] = defaultdict(Decimal)
    for hour, status in statuses.items():
        of_day = by_day[hour.date()] if status.run else None
        for owner, amount in status.amounts_usd.items():
            if amount is not None and of_day is not None:
                of_day[owner].append(amount)
                totals[owner] += amount
    largest = sorted(owners, key=lambda owner: totals[owner], reverse=True)
    shown, rest = largest[:_MOST_LINES], largest[_MOST_LINES:]

    def along(of: Sequence[str]) -> list[float | None]:
        known = [[amount for owner in of for amount in by_day[day][owner]] for day in days]
        return [float(exact_sum(amounts)) if amounts else None for amounts in known]

    series = [Series(owner, along([owner])) for owner in shown]
    if rest:
        series.append(Series(f"{len(rest)} others", along(rest)))
    today = span.today
    return Chart(
        name="days",
        title="Dollars a day",
        question=f"When was it spent?{'' if today is None else ' Of today as far as it is known.'}",
        marks=[]
        if today is None
        else [Mark("so far", datetime(today.year, today.month, today.day, tzinfo=UTC))],
        kind="usd",
        times=[datetime(day.year, day.month, day.day, tzinfo=UTC) for day in days],
        series=series,
        period=_DAY,
        stepped=True,
        when_empty="No hour of this time has been computed yet. That is not zero.",
    )


def charges_table(rows: Sequence[BillRow], statuses_told: str) -> Table:
    """What an owner pays for: model, token class or instance, quantity, price, amount."""
    charges: list[Row] = []
    for heading, of_heading in _grouped(rows, heading_of):
        for _, alike in _grouped(of_heading, charge_of):
            first = alike[0]
            charges.append(
                {
                    "model": " · ".join(heading),
                    "charge": charge_name(first),
                    "quantity": None if first.quantity is None else exact_sum(row.quantity for row in alike),
                    "unit": first.unit,
                    "price": _price(first),
                    "amount": None
                    if all(row.amount_usd is None for row in alike)
                    else exact_sum(row.amount_usd for row in alike),
                    "requests": sum(row.requests for row in alike),
                    "price_key": first.price_key,
                    "source": ", ".join(sorted({row.usage_source for row in alike})),
                    "method": ", ".join(sorted({row.allocation_method for row in alike})),
                    "prices": ", ".join(sorted({row.price_version for row in alike})),
                    "state": _state(_worst(alike)),
                }
            )
    lacks = any(row.amount_usd is None for row in rows)
    return Table(
        name="charges",
        caption="What it was spent on, US dollars",
        columns=(
            Column("model", "Model, where"),
            Column("charge", "Charge"),
            Column("quantity", "Quantity", "number"),
            Column("unit", "Unit"),
            Column("price", "Unit price", "usd", help="A million tokens, an hour, a unit."),
            Column("amount", "Amount", "usd"),
            Column("requests", "Requests", "number"),
            Column("state", "State"),
            Column("price_key", "Price", help="The key in the table of prices."),
            Column("source", "Counted by"),
            Column("method", "Shared by"),
            Column("prices", "Prices of"),
        ),
        rows=charges,
        rests_on=statuses_told,
        empty="Nothing was spent.",
        totals={"model": "total", "amount": _at_least(total_usd(rows), lacks=lacks)},
    )


def bill_table(rows: Sequence[BillRow]) -> Table:
    """Every row of a bill, for a file."""
    names = (
        "period",
        "tenant_id",
        "layer",
        "service",
        "endpoint_type",
        "model_id",
        "endpoint_name",
        "price_key",
        "region",
        "service_tier",
        "charge_class",
        "unit",
        "unit_price_usd",
        "usage_source",
        "computed_from",
        "allocation_method",
        "price_version",
        "quantity",
        "amount_usd",
        "requests",
        "completeness",
    )
    return Table(
        name="bill",
        caption="Bill",
        columns=[Column(name, name) for name in names],
        rows=[{name: getattr(row, name) for name in names} for row in rows],
    )


def hours_of_owner(hours: Hours, lines: Iterable[CostLine]) -> Hours:
    """Hours with what is unknown in one owner's lines: what they say themselves is of all owners together.

    A call that two lines of an hour leave open, of two token classes, counts once.
    """
    unpriced = 0
    calls: dict[tuple[datetime | str | None, ...], int] = {}
    for line in lines:
        unpriced += line.unit_price_usd is None and bool(line.quantity)
        if line.quantity is None:
            priced_by = line.endpoint_name or line.price_key
            about = (line.hour, line.layer, line.model_id, priced_by, line.service_tier)
            calls[about] = max(calls.get(about, 0), line.requests)
    return replace(hours, unpriced_lines=unpriced, uncounted_requests=sum(calls.values()))


def hours_told(hours: Hours) -> str:
    """How far the hours are that figures rest on."""
    if not hours.closed and not hours.open:
        return "no hour: none has been computed yet"
    missing = f", {hours.missing:,} never computed" if hours.missing else ""
    metrics = f", {hours.by_metrics:,} by CloudWatch's metrics" if hours.by_metrics else ""
    return f"{hours.closed:,} closed and {hours.open:,} open hours{missing}{metrics}"


def _at_least(amount: Decimal | None, *, lacks: bool) -> Cell:
    return Cell(amount, note="at least" if lacks and amount is not None else None)


def _price(row: BillRow) -> Cell:
    if row.unit_price_usd is None:
        return Cell(None)
    if row.unit == "tokens":
        return Cell(row.unit_price_usd * _MILLION, note="a million")
    return Cell(row.unit_price_usd, note="an hour" if row.unit == "instance-hours" else "a unit")


def _state(completeness: Completeness) -> Cell:
    return Cell(completeness, state=_STATES[completeness])


def _worst(rows: Sequence[BillRow]) -> Completeness:
    states = {row.completeness for row in rows}
    order: tuple[Completeness, ...] = ("unpriced", "open", "closed")
    return next(state for state in order if state in states)


def _month(span: Span) -> str:
    return f"{span.first:%Y-%m}"


def _grouped(rows: Iterable[BillRow], key: Callable[[BillRow], _Key]) -> list[tuple[_Key, list[BillRow]]]:
    return [(name, list(alike)) for name, alike in groupby(sorted(rows, key=key), key=key)]
