"""Costs as an operator sees them: in 80 columns, without colour, and with nothing unknown shown as zero."""

import csv
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Any

import pytest
from rich.console import Console, RenderableType

from harness.cost_lines import INPUT, INSTANCE, SERVICE, status_of, used
from llmplatform.bills import bill_rows, period_of
from llmplatform.costs import PLATFORM, UNUSED, CostLine, HourStatus
from llmplatform.spending import Overview, OwnerCost, Span, TenantCost, hours_told
from operator_cli.cost_chart import chart
from operator_cli.cost_view import overview, print_tenant, tenant

NOW = datetime(2026, 11, 24, 3, 20, tzinfo=UTC)
MONTH = Span("2026-11", date(2026, 11, 1), date(2026, 11, 30), NOW)
TODAY = Span("today", NOW.date(), NOW.date(), NOW)
LONG = "a-tenant-with-a-name-of-forty-eight-characters-x"


def seen(what: RenderableType, width: int = 80) -> str:
    """What a terminal of that width shows, which knows no colour."""
    file = StringIO()
    Console(file=file, width=width, no_color=True, force_terminal=False, highlight=False).print(what)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines())


def statuses(span: Span, lines: Sequence[CostLine] = (), **fields: Any) -> dict[datetime, HourStatus]:
    """Of all hours of the span that have begun, closed unless told otherwise."""
    return {
        hour: status_of([line for line in lines if line.hour == hour], hour, **fields) for hour in span.hours
    }


def cost_of(span: Span, *lines: CostLine, **fields: Any) -> TenantCost:
    of_hours = statuses(span, lines, **fields)
    return TenantCost(
        "acme",
        span,
        bill_rows(lines, of_hours, span.granularity),
        hours_told(span, of_hours),
        frozenset(period_of(hour, span.granularity) for hour in of_hours),
    )


def owner(name: str, amount: str | None, **fields: Any) -> OwnerCost:
    known = None if amount is None else Decimal(amount)
    given: dict[str, Any] = {"budget_usd": None, "budget_used_percent": None, "has_unknown": amount is None}
    return OwnerCost(name, today_usd=known, span_usd=known, **(given | fields))


def overview_of(*owners: OwnerCost, span: Span = MONTH, **fields: Any) -> str:
    return seen(overview(Overview(span, owners, hours_told(span, statuses(span, **fields)))))


def line_with(text: str, told: str) -> list[str]:
    return next(line for line in told.splitlines() if text in line).split()


def test_everything_fits_into_eighty_columns() -> None:
    hour = NOW.replace(minute=0)
    lines = (
        used(INPUT, "987654321", hour=hour, model_id="us.anthropic.claude-sonnet-4-5-20250929-v1-global"),
        used(INSTANCE, "0.25", hour=hour),
        used(SERVICE, "1000", hour=hour),
    )
    shown = seen(tenant(cost_of(MONTH, *lines), "model", 80))
    shown += overview_of(owner(LONG, "123456.78"), owner(UNUSED, "1"), owner(PLATFORM, None))
    assert max(map(len, shown.splitlines())) <= 80
    assert "us.anthropic.claude-sonnet-4-5-20250929-v1-global" in shown


def test_an_amount_that_nobody_knows_is_no_zero() -> None:
    told = overview_of(owner("acme", None), owner("globex", "2"))
    assert line_with("acme", told) == ["acme", "unknown", "unknown", "unpriced"]
    assert line_with("total", told) == ["total", "≥", "2.0000", "≥", "2.0000", "unpriced"]


def test_a_tenant_that_spent_nothing_spent_zero() -> None:
    assert line_with("quiet", overview_of(owner("quiet", "0"))) == ["quiet", "0.0000", "0.0000", "closed"]


def test_an_amount_too_small_to_show_is_not_shown_as_zero() -> None:
    told = overview_of(owner("acme", "0.0000001"), owner("globex", "500"))
    assert line_with("acme", told)[1] == "<0.01"


def test_small_sums_have_more_decimals() -> None:
    assert line_with("acme", overview_of(owner("acme", "0.000123")))[1] == "0.000123"


def test_what_may_change_is_open() -> None:
    assert line_with("acme", overview_of(owner("acme", "1"), state="open"))[-1] == "open"


@pytest.mark.parametrize(("used_percent", "told"), [("112.4", "112 %"), (None, "unknown")])
def test_a_budget_is_told_beside_the_amount(used_percent: str | None, told: str) -> None:
    percent = None if used_percent is None else Decimal(used_percent)
    shown = overview_of(owner("acme", "1", budget_usd=Decimal(10), budget_used_percent=percent))
    assert " ".join(line_with("acme", shown)[3:-1]) == told


def test_one_day_needs_no_second_column_for_today() -> None:
    assert line_with("tenant", overview_of(owner("acme", "1"), span=TODAY)) == [
        "tenant", "today", "budget", "used", "state",
    ]  # fmt: skip


def test_a_price_that_changed_is_told_twice() -> None:
    hour = NOW.replace(minute=0)
    dearer = used(INPUT, "3000000", hour=hour, unit_price_usd=Decimal("0.000002"))
    told = seen(
        tenant(cost_of(MONTH, used(INPUT, "1000000", hour=hour - timedelta(hours=5)), dearer), "model")
    )
    rows = [line.split() for line in told.splitlines() if "tokens" in line]
    assert [(row[1], row[3], row[6]) for row in rows] == [
        ("1,000,000", "1.00", "1.0000"),
        ("3,000,000", "2.00", "6.0000"),
    ]


def test_what_judging_cost_is_told_apart_from_what_the_tenant_asked_for() -> None:
    hour = NOW.replace(minute=0)
    judged = used(INPUT, "1000000", hour=hour, layer="observability-layer")
    told = seen(tenant(cost_of(MONTH, used(INPUT, "1000000", hour=hour), judged), "model"))
    assert "claude-haiku-4-5  bedrock\n" in told
    assert "claude-haiku-4-5  bedrock  judging\n" in told


def test_unknown_quantities_and_prices_say_so() -> None:
    hour = NOW.replace(minute=0)
    uncounted = used(INPUT, None, hour=hour)
    unpriced = used(INPUT, "5", hour=hour, charge_class="output", unit_price_usd=None)
    told = seen(tenant(cost_of(MONTH, uncounted, unpriced), "model"))
    assert line_with("input", told) == ["input", "unknown", "1.00", "/", "M", "unknown", "unpriced"]
    assert line_with("output", told) == ["output", "5", "tokens", "unknown", "unknown", "unpriced"]
    assert "1 line without a price" in told
    assert "3 calls of which nobody knows" in told


def test_hours_that_no_run_computed_are_counted() -> None:
    hours = hours_told(TODAY, {NOW.replace(minute=0): status_of((), NOW.replace(minute=0))})
    assert (hours.closed, hours.open, hours.missing) == (1, 0, 3)


def test_an_hour_that_was_only_claimed_is_not_computed() -> None:
    assert hours_told(TODAY, statuses(TODAY, run=0)).missing == 4
    before_all = {hour: HourStatus(hour, "closed", claimed_run=0, run=0) for hour in TODAY.hours}
    assert hours_told(TODAY, before_all).missing == 0


def test_hours_from_metrics_are_said_to_be() -> None:
    told = seen(tenant(cost_of(TODAY, computed_from="cloudwatch-metrics"), "model"))
    assert "4 hours computed from CloudWatch's metrics" in told


def test_a_span_without_a_run_says_how_to_make_one() -> None:
    nothing = TenantCost("acme", MONTH, (), hours_told(MONTH, {}), frozenset())
    assert "python -m costagg run" in seen(tenant(nothing, "model"))
    assert "python -m costagg run" in seen(overview(Overview(MONTH, (), hours_told(MONTH, {}))))


def test_a_day_is_charted_by_its_hours() -> None:
    told = seen(tenant(cost_of(TODAY, used(INPUT, "1000000", hour=NOW.replace(minute=0))), "model"))
    assert "dollars per hour" in told
    assert line_with("00h", told) == ["00h", "03h"]


def columns(*amounts: str | None, missing: Sequence[int] = (), width: int = 80) -> list[str]:
    known = [None if amount is None else Decimal(amount) for amount in amounts]
    absent = [at in missing for at in range(len(known))]
    return str(chart(known, absent, ("a", "z"), "9.00", width)).splitlines()


def test_the_highest_column_fills_the_chart_and_half_of_it_is_half_as_high() -> None:
    *bars, _, _ = columns("8", "4")
    assert [line.split("│")[1] for line in bars] == ["██", "██", "██ ▄▄", "██ ██", "██ ██"]


def test_a_cent_beside_a_fortune_is_to_be_seen() -> None:
    assert "▁" in columns("1000000", "0.01")[-3]


def test_nothing_unknown_and_not_computed_look_different_without_colour() -> None:
    assert columns("1", "0", None, "0", missing=[3], width=12)[-2] == "   0 ┴─" + "─?·"


@pytest.mark.parametrize("width", [40, 80, 200])
@pytest.mark.parametrize("days", [1, 7, 31])
def test_a_chart_keeps_to_its_width(width: int, days: int) -> None:
    assert max(map(len, columns(*["1.5"] * days, width=width))) <= width


def test_a_chart_of_nothing_is_flat() -> None:
    *bars, base, _ = columns("0", "0")
    assert not any("█" in line or "▁" in line for line in bars)
    assert base.endswith("──────")


def test_rows_of_a_class_or_a_day_add_up() -> None:
    hour = NOW.replace(minute=0)
    lines = (used(INPUT, "1000000", hour=hour), replace(INPUT, hour=hour, model_id="another"))
    found = cost_of(MONTH, *lines)
    assert line_with("input (tokens)", seen(tenant(found, "class"))) == [
        "input",
        "(tokens)",
        "2.0000",
        "open",
    ]
    assert line_with("2026-11-24", seen(tenant(found, "day"))) == ["2026-11-24", "2.0000", "open"]


def test_a_spreadsheet_computes_nothing_of_a_name(capsys: pytest.CaptureFixture[str]) -> None:
    hour = NOW.replace(minute=0)
    named = used(INPUT, "1000000", hour=hour, model_id='=HYPERLINK("x")')
    print_tenant(cost_of(TODAY, named), "model", "csv")
    (row,) = csv.DictReader(StringIO(capsys.readouterr().out))
    assert row["model_id"] == '\'=HYPERLINK("x")'
    assert Decimal(row["quantity"]) == 1_000_000
