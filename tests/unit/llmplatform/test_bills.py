"""Bills add up to their lines, keep apart what differs, and tell how far a period is."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cost_lines import HOUR, INPUT, INSTANCE, SERVICE, status_of, used
from llmplatform.bills import (
    BillRow,
    Granularity,
    bill_rows,
    exact_sum,
    hours_of,
    is_closed,
    period_end,
    period_of,
    period_start,
    total_usd,
)
from llmplatform.costs import CostLine, HourStatus

DAY = "2026-11-23"
GRANULARITIES: tuple[Granularity, ...] = ("hour", "day", "month")


def closed(period: str, **but: Any) -> dict[datetime, HourStatus]:
    """Statuses of a period whose hours are all closed, but for one: `at` and its fields."""
    statuses = {hour: status_of((), hour) for hour in hours_of(period)}
    if at := but.pop("at", None):
        statuses[at] = replace(statuses[at], **but)
    return statuses


def only(lines: Iterable[CostLine], statuses: Mapping[datetime, HourStatus]) -> BillRow:
    (row,) = bill_rows(lines, statuses, "day")
    return row


amounts = st.integers(0, 10**30).map(lambda units: Decimal(units).scaleb(-12))
lines = st.builds(
    lambda line, hours, quantity, amount, price: replace(
        line,
        hour=HOUR + timedelta(hours=hours),
        quantity=quantity,
        unit_price_usd=price,
        amount_usd=None if quantity is None or price is None else amount,
    ),
    st.sampled_from([INPUT, replace(INPUT, charge_class="output"), INSTANCE, SERVICE]),
    st.integers(-40 * 24, 40 * 24),
    st.none() | amounts,
    amounts,
    st.none() | st.sampled_from([Decimal("0.000001"), Decimal("0.000002")]),
)


@given(st.lists(lines), st.sampled_from(GRANULARITIES))
def test_rows_of_any_period_add_up_to_the_lines(some: list[CostLine], granularity: Granularity) -> None:
    rows = bill_rows(some, {}, granularity)
    assert total_usd(rows) == exact_sum(line.amount_usd for line in some)
    assert exact_sum(row.quantity for row in rows) == exact_sum(line.quantity for line in some)
    assert sum(row.requests for row in rows) == sum(line.requests for line in some)
    assert sum(row.tokens or 0 for row in rows) == sum(line.tokens or 0 for line in some)


@given(st.lists(lines), st.sampled_from(GRANULARITIES), st.randoms(use_true_random=False))
def test_the_order_of_lines_changes_nothing(
    some: list[CostLine], granularity: Granularity, chance: Any
) -> None:
    shuffled = list(some)
    chance.shuffle(shuffled)
    assert bill_rows(shuffled, {}, granularity) == bill_rows(some, {}, granularity)


@given(st.lists(lines))
def test_what_is_not_known_hides_in_no_sum(some: list[CostLine]) -> None:
    for row in bill_rows(some, {}, "month"):
        assert (row.amount_usd is None) == (row.completeness == "unpriced")
        if row.quantity is None or row.unit_price_usd is None:
            assert row.amount_usd is None


def test_sums_are_exact_beyond_the_digits_of_a_float_and_of_the_default_context() -> None:
    assert exact_sum([Decimal("1E+25"), Decimal("1E-12")]) == Decimal(
        "10000000000000000000000000.000000000001"
    )


def test_a_price_that_changed_within_the_period_gives_two_rows() -> None:
    before = used(INPUT, "1000000")
    after = used(INPUT, "1000000", hour=HOUR + timedelta(hours=1), unit_price_usd=Decimal("0.000002"))
    rows = bill_rows([before, after], closed("2026-11"), "month")
    assert [(row.unit_price_usd, row.amount_usd) for row in rows] == [
        (Decimal("0.000001"), Decimal(1)),
        (Decimal("0.000002"), Decimal(2)),
    ]


def test_hours_that_are_alike_are_one_row() -> None:
    row = only([INPUT, replace(INPUT, hour=HOUR + timedelta(hours=1))], closed(DAY))
    assert (row.period, row.quantity) == (DAY, Decimal(2_000_000))
    assert (row.amount_usd, row.requests) == (Decimal(2), 6)


def test_calls_that_nobody_counted_are_a_row_beside_those_that_were() -> None:
    rows = bill_rows([INPUT, used(INPUT, None, usage_source="reported")], closed(DAY), "day")
    assert [(row.quantity, row.amount_usd, row.completeness) for row in rows] == [
        (None, None, "unpriced"),
        (Decimal(1_000_000), Decimal(1), "closed"),
    ]


def test_a_day_is_closed_when_all_of_its_hours_are() -> None:
    assert only([INPUT], closed(DAY)).completeness == "closed"


@pytest.mark.parametrize("fields", [{"state": "open"}, {"claimed_run": 2}])
def test_an_hour_that_is_open_or_computed_again_leaves_its_day_open(fields: dict[str, Any]) -> None:
    assert only([INPUT], closed(DAY, at=HOUR - timedelta(hours=3), **fields)).completeness == "open"


def test_an_hour_that_was_never_computed_leaves_its_day_open() -> None:
    statuses = closed(DAY)
    del statuses[datetime(2026, 11, 23, 7, tzinfo=UTC)]
    assert only([INPUT], statuses).completeness == "open"


def test_a_day_that_is_not_over_is_open() -> None:
    """Nobody computes an hour before it ends: those to come are missing."""
    statuses = {hour: status for hour, status in closed(DAY).items() if hour <= HOUR}
    assert only([INPUT], statuses).completeness == "open"


def test_an_hour_is_closed_for_itself() -> None:
    assert is_closed("2026-11-23T20", {HOUR: status_of((), HOUR)})
    assert not is_closed("2026-11-23T21", {HOUR: status_of((), HOUR)})


@pytest.mark.parametrize(
    ("granularity", "period", "hours"),
    [("hour", "2026-11-23T20", 1), ("day", "2026-11-23", 24), ("month", "2026-11", 720)],
)
def test_a_period_is_named_for_what_it_holds(granularity: Granularity, period: str, hours: int) -> None:
    assert period_of(HOUR, granularity) == period
    assert len(list(hours_of(period))) == hours
    assert HOUR in hours_of(period)


@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_a_period_ends_where_the_next_begins(moment: datetime) -> None:
    for granularity in GRANULARITIES:
        period = period_of(moment, granularity)
        assert period_start(period) <= moment < period_end(period)
        assert period_start(period_of(period_end(period), granularity)) == period_end(period)
