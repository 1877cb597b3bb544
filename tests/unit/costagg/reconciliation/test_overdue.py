"""Whether the month before was held against AWS's bill in time."""

from datetime import UTC, date, datetime

import pytest

from costagg.reconciliation.overdue import month_before, overdue_days

NOVEMBER = (date(2026, 11, 1), date(2026, 11, 30))


def on(day: int, month: int = 12, hour: int = 12) -> datetime:
    return datetime(2026, month, day, hour, tzinfo=UTC)


@pytest.mark.parametrize(("day", "days"), [(1, 0), (6, 0), (7, 1), (8, 2), (31, 25)])
def test_a_month_waits_for_a_week_and_is_overdue_from_then_on(day: int, days: int) -> None:
    assert overdue_days(set(), on(day)) == days


def test_a_month_that_was_reconciled_whole_is_not_overdue() -> None:
    assert overdue_days({NOVEMBER}, on(20)) == 0


def test_a_part_of_a_month_does_not_count() -> None:
    assert overdue_days({(date(2026, 11, 1), date(2026, 11, 20))}, on(20)) == 14


def test_another_month_does_not_count() -> None:
    assert overdue_days({(date(2026, 10, 1), date(2026, 10, 31))}, on(7)) == 1


def test_the_month_before_january_is_the_december_of_another_year() -> None:
    assert month_before(datetime(2027, 1, 9, tzinfo=UTC)) == (date(2026, 12, 1), date(2026, 12, 31))


def test_a_leap_year_has_a_longer_february() -> None:
    assert month_before(datetime(2028, 3, 7, tzinfo=UTC)) == (date(2028, 2, 1), date(2028, 2, 29))
