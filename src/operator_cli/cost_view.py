"""How cost looks, in a terminal and for programs. Pure but for the printing.

Amounts of a table have as many decimals as its sum needs, so that they can be added up by eye; programs get
them exactly. What is unknown is said to be, and a sum that lacks it is "at least".
"""

import csv
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from decimal import Decimal
from itertools import groupby
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from llmplatform.bills import (
    BillRow,
    Completeness,
    charge_name,
    charge_of,
    exact_sum,
    heading_of,
    period_of,
    total_usd,
)
from llmplatform.costs import PLATFORM, UNUSED
from llmplatform.spending import Hours, Overview, OwnerCost, Span, TenantCost
from llmplatform.spreadsheets import plain_text
from operator_cli.console import OUT, print_table
from operator_cli.cost import By, Format
from operator_cli.cost_chart import chart
from operator_cli.evals_times import iso, minute

_INDENT: Final = (0, 0, 0, 2)
_CHART_WIDTH: Final = 100
_MILLION: Final = 1_000_000
_ABOUT: Final = {UNUSED: "_unused (paid for, used by nobody)", PLATFORM: "_platform (what watching costs)"}
_UNKNOWN: Final = "unknown"
_CELLS: Final = ("charge", "quantity", "unit price", "amount", "state")
_HOW_TO_RUN: Final = "`python -m costagg run` computes the last hours, with --from and --to others"


def print_overview(found: Overview, form: Format) -> None:
    """Everybody's cost."""
    rows = [_owner_facts(found, owner) for owner in found.owners]
    match form:
        case "table":
            print_table(overview(found))
        case "json":
            print(json.dumps({**_frame_facts(found.span, found.hours), "owners": rows}, indent=2))
        case "csv":
            _print_csv(list(rows[0]), rows)


def print_tenant(found: TenantCost, by: By, form: Format) -> None:
    """One owner's cost."""
    rows = [_row_facts(row) for row in found.rows]
    match form:
        case "table":
            print_table(tenant(found, by, min(OUT.width, _CHART_WIDTH)))
        case "json":
            facts = {"tenant_id": found.owner, **_frame_facts(found.span, found.hours), "rows": rows}
            print(json.dumps(facts, indent=2))
        case "csv":
            _print_csv([field.name for field in fields(BillRow)], rows)


def overview(found: Overview) -> RenderableType:
    """Everybody's cost, for a terminal."""
    title = Text(f"cost of {found.span.name}, US dollars", style="bold")
    if not found.hours.closed and not found.hours.open:
        return Group(title, *_footer(found.hours))
    known = exact_sum(owner.span_usd for owner in found.owners)
    lacks = any(owner.has_unknown for owner in found.owners)
    digits = _digits(known)
    running = found.span.today is not None
    beside = running and found.span.first != found.span.last
    headings = ("today" if beside else "", found.span.name, "budget used" if running else "", "state")
    table = _table("tenant", [heading for heading in headings if heading])

    def add(name: str, *cells: str, style: str = "") -> None:
        table.add_row(
            name, *(cell for heading, cell in zip(headings, cells, strict=True) if heading), style=style
        )

    for owner in found.owners:
        amounts = (_usd(owner.today_usd, digits), _usd(owner.span_usd, digits))
        state = found.completeness(owner)
        add(_ABOUT.get(owner.owner, owner.owner), *amounts, _percent(owner), state)
    of_today = exact_sum(owner.today_usd for owner in found.owners)
    sums = [_at_least(amount, digits, lacks=lacks) for amount in (of_today, known)]
    add("total", sums[0], sums[1], "", _total_state(found, lacks=lacks), style="bold")
    return Group(title, Text(), Padding(table, _INDENT), Text(), *_footer(found.hours))


def tenant(found: TenantCost, by: By, width: int = _CHART_WIDTH) -> RenderableType:
    """One owner's cost, for a terminal."""
    known = total_usd(found.rows)
    lacks = any(row.amount_usd is None for row in found.rows)
    digits = _digits(known)
    title = f"{found.owner}, cost of {found.span.name}: {_at_least(known, digits, lacks=lacks)} US dollars"
    parts: list[RenderableType] = [Text(title, style="bold")]
    if found.hours.closed or found.hours.open:
        parts += [Text(), Padding(_by(found.rows, by, digits), _INDENT)]
        parts += [Text(), Padding(_chart(found, digits, width - 2), _INDENT)]
    return Group(*parts, Text(), *_footer(found.hours))


def _by(rows: Sequence[BillRow], by: By, digits: int) -> RenderableType:
    match by:
        case "model":
            return Group(*_by_model(rows, digits))
        case "class":
            return _summed(rows, "class", lambda row: f"{row.charge_class} ({row.unit})", digits)
        case "day":
            return _summed(rows, "day", lambda row: row.period[: len("2026-11-23")], digits)


def _by_model(rows: Sequence[BillRow], digits: int) -> Iterator[RenderableType]:
    """Each model and endpoint with its token classes, prices and amounts, in columns of one width."""
    models = [
        (name, [_cells(alike, digits) for _, alike in _grouped(of_model, charge_of)])
        for name, of_model in _grouped(rows, heading_of)
    ]
    told = [_CELLS, *(cells for _, of_model in models for cells in of_model)]
    widths = [max(map(len, column)) for column in zip(*told, strict=True)]
    for number, (name, of_model) in enumerate(models):
        yield Text("  ".join(name))
        table = _table(_CELLS[0], _CELLS[1:], widths=widths, show_header=not number)
        for cells in of_model:
            table.add_row(*cells)
        yield Padding(table, _INDENT)


def _cells(alike: Sequence[BillRow], digits: int) -> tuple[str, ...]:
    first = alike[0]
    price, amount = _unit_price(first), _usd(_amount(alike), digits)
    return (charge_name(first), _quantity(alike), price, amount, _state(alike))


def _summed(rows: Sequence[BillRow], heading: str, key: Any, digits: int) -> Table:
    table = _table(heading, ("amount", "state"))
    for name, alike in _grouped(rows, key):
        lacks = any(row.amount_usd is None for row in alike)
        amount = _amount(alike)
        told = _UNKNOWN if amount is None else _at_least(amount, digits, lacks=lacks)
        table.add_row(name, told, _state(alike))
    return table


def _chart(found: TenantCost, digits: int, width: int) -> RenderableType:
    periods = list(dict.fromkeys(period_of(hour, found.span.granularity) for hour in found.span.hours))
    of_period = dict(_grouped(found.rows, lambda row: row.period))
    amounts = [_amount(of_period.get(period, [])) for period in periods]
    highest = max((amount for amount in amounts if amount is not None), default=Decimal(0))
    cut = len("2026-") if found.span.granularity == "day" else len("2026-11-23T")
    suffix = "" if found.span.granularity == "day" else "h"
    ends = (f"{periods[0][cut:]}{suffix}", f"{periods[-1][cut:]}{suffix}")
    missing = [period not in found.computed for period in periods]
    return Group(
        Text(f"dollars per {found.span.granularity}", style="dim"),
        chart(amounts, missing, ends, _usd(highest, digits), width),
    )


def _footer(hours: Hours) -> Iterator[Text]:
    """How far the figures are, and what to do about what is missing."""
    if not hours.closed and not hours.open:
        yield Text(f"no hour of it has been computed yet: {_HOW_TO_RUN}")
        return
    last = "at an unknown time" if hours.last_run is None else minute(hours.last_run)
    missing = f", {hours.missing:,} never computed" if hours.missing else ""
    yield Text(f"hours: {hours.closed:,} closed, {hours.open:,} open{missing}; last run {last}")
    if hours.unpriced_lines:
        yield Text(
            f"not in the amounts, of all tenants: {_count(hours.unpriced_lines, 'line')} without a price"
        )
    if hours.uncounted_requests:
        calls = _count(hours.uncounted_requests, "call")
        yield Text(f"not in the amounts, of all tenants: {calls} of which nobody knows how much was used")
    if hours.by_metrics:
        told = _count(hours.by_metrics, "hour")
        yield Text(f"{told} computed from CloudWatch's metrics, since the ledger could not be read")


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _table(
    heading: str, numbers: Sequence[str], *, widths: Sequence[int] | None = None, show_header: bool = True
) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", show_header=show_header)
    for at, name in enumerate((heading, *numbers)):
        left = name in {heading, "state"}
        table.add_column(
            name,
            justify="left" if left else "right",
            no_wrap=at > 0,
            overflow="fold",
            min_width=None if widths is None else widths[at],
        )
    return table


def _grouped(rows: Iterable[BillRow], key: Any) -> list[tuple[Any, list[BillRow]]]:
    return [(name, list(alike)) for name, alike in groupby(sorted(rows, key=key), key=key)]


def _amount(rows: Sequence[BillRow]) -> Decimal | None:
    """What is known; None where there is something and nothing of it is known."""
    return None if rows and all(row.amount_usd is None for row in rows) else total_usd(rows)


def _quantity(rows: Sequence[BillRow]) -> str:
    if rows[0].quantity is None:
        return _UNKNOWN
    quantity = exact_sum(row.quantity for row in rows)
    match rows[0].unit:
        case "tokens":
            return f"{quantity:,.0f} tokens"
        case "instance-hours":
            return f"{quantity:,.3f} hours"
        case unit:
            return f"{quantity:,.0f} {unit}" if quantity == int(quantity) else f"{quantity:,.3f} {unit}"


def _unit_price(row: BillRow) -> str:
    if row.unit_price_usd is None:
        return _UNKNOWN
    match row.unit:
        case "tokens":
            return f"{_plain(row.unit_price_usd * _MILLION)} / M"
        case "instance-hours":
            return f"{_plain(row.unit_price_usd)} / h"
        case _:
            return f"{_plain(row.unit_price_usd)} / unit"


def _plain(price: Decimal) -> str:
    """A price without needless zeros, with two decimals at least."""
    text = f"{price.normalize():f}"
    whole, _, part = text.partition(".")
    return f"{whole}.{part:0<2}"


def _state(rows: Sequence[BillRow]) -> str:
    states = {row.completeness for row in rows}
    return next(state for state in ("unpriced", "open", "closed") if state in states)


def _percent(owner: OwnerCost) -> str:
    if owner.owner in _ABOUT or owner.budget_usd is None:
        return ""
    return _UNKNOWN if owner.budget_used_percent is None else f"{owner.budget_used_percent:,.0f} %"


def _digits(total: Decimal) -> int:
    """Decimals that a table's amounts need for its sum to have four digits."""
    return 2 if total >= 100 else 4 if total >= 1 or not total else 6  # noqa: PLR2004


def _usd(amount: Decimal | None, digits: int) -> str:
    if amount is None:
        return _UNKNOWN
    smallest = Decimal(1).scaleb(-digits)
    return f"<{smallest}" if 0 < amount < smallest else f"{amount:,.{digits}f}"


def _total_state(found: Overview, *, lacks: bool) -> Completeness:
    if lacks:
        return "unpriced"
    return "closed" if found.hours.are_closed else "open"


def _at_least(amount: Decimal, digits: int, *, lacks: bool) -> str:
    return f"≥ {_usd(amount, digits)}" if lacks else _usd(amount, digits)


def _frame_facts(span: Span, hours: Hours) -> dict[str, Any]:
    return {
        "first_day": span.first.isoformat(),
        "last_day": span.last.isoformat(),
        "currency": "USD",
        "hours": asdict(hours) | {"last_run": None if hours.last_run is None else iso(hours.last_run)},
    }


def _owner_facts(found: Overview, owner: OwnerCost) -> dict[str, Any]:
    return {
        "tenant_id": owner.owner,
        "today_usd": _exact(owner.today_usd),
        "amount_usd": _exact(owner.span_usd),
        "daily_budget_usd": _exact(owner.budget_usd),
        "daily_budget_used_percent": _exact(owner.budget_used_percent),
        "completeness": found.completeness(owner),
    }


def _row_facts(row: BillRow) -> dict[str, Any]:
    return {
        name: _exact(value) if isinstance(value, Decimal) else value for name, value in asdict(row).items()
    }


def _exact(value: Decimal | None) -> str | None:
    return None if value is None else f"{value:f}"


def _print_csv(names: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    writer = csv.DictWriter(sys.stdout, names, lineterminator="\n")
    writer.writeheader()
    # Amounts and quantities are never negative, so no number is touched.
    writer.writerows(
        {name: plain_text(value) if isinstance(value, str) else value for name, value in row.items()}
        for row in rows
    )
