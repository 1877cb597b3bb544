from datetime import UTC, datetime, timedelta

import pytest

from llmplatform.errors import MalformedRequest
from watch.console.timerange import KEPT_FOR, LAST, MOST_POINTS, WEEK, TimeRange

NOW = datetime(2026, 11, 24, 12, 34, 56, tzinfo=UTC)


@pytest.mark.parametrize(
    ("last", "period_s"),
    [("15m", 60), ("1h", 60), ("3h", 60), ("24h", 300), ("7d", 3_600), ("30d", 10_800)],
)
def test_a_period_makes_a_chart_that_can_be_read(last: str, period_s: int) -> None:
    asked = TimeRange.asked({"last": last}, NOW)
    assert asked.period_s == period_s
    assert len(asked.steps) <= MOST_POINTS + 1
    assert asked.end - asked.first >= LAST[last]


@pytest.mark.parametrize(
    ("days_ago", "period_s"), [(14, 60), (15.5, 300), (62, 300), (64, 3_600), (454, 3_600)]
)
def test_a_period_is_one_that_is_still_kept(days_ago: float, period_s: int) -> None:
    first = NOW - timedelta(days=days_ago)
    query = {"from": first.isoformat(), "to": (first + timedelta(hours=1)).isoformat()}
    assert TimeRange.asked(query, NOW).period_s == period_s


def test_a_comparison_has_the_period_that_the_week_before_still_has() -> None:
    first = NOW - timedelta(days=10)
    query = {"from": first.isoformat(), "to": (first + timedelta(hours=1)).isoformat()}
    assert TimeRange.asked(query, NOW).period_s == 60
    assert TimeRange.asked({**query, "compare": "week"}, NOW).period_s == 300


@pytest.mark.parametrize("last", list(LAST))
def test_both_ends_stand_on_whole_periods(last: str) -> None:
    asked = TimeRange.asked({"last": last, "compare": "week"}, NOW)
    assert asked.first.timestamp() % asked.period_s == 0
    assert asked.end.timestamp() % asked.period_s == 0
    assert asked.first + len(asked.steps) * asked.period == asked.end
    assert [step - WEEK for step in asked.steps] == list(asked.week_before.steps)


def test_the_same_question_within_one_period_is_the_same_question() -> None:
    later = NOW + timedelta(seconds=3)
    assert TimeRange.asked({"last": "1h"}, NOW) == TimeRange.asked({"last": "1h"}, later)


def test_its_own_query_asks_for_it_again() -> None:
    for query in ({"last": "3h"}, {"last": "7d", "compare": "week"}):
        asked = TimeRange.asked(query, NOW)
        assert TimeRange.asked(asked.query, NOW) == asked
    asked = TimeRange.asked({"from": "2026-11-24T10:00", "to": "2026-11-24T11:00"}, NOW)
    assert TimeRange.asked(asked.query, NOW) == asked


def test_a_fixed_link_shows_the_same_time_tomorrow() -> None:
    asked = TimeRange.asked({"last": "3h"}, NOW)
    tomorrow = TimeRange.asked(asked.fixed_query, NOW + timedelta(days=1))
    assert (tomorrow.first, tomorrow.end) == (asked.first, asked.end)


def test_a_time_without_an_offset_is_utc() -> None:
    naive = TimeRange.asked({"from": "2026-11-24T10:00", "to": "2026-11-24T11:00"}, NOW)
    offset = TimeRange.asked({"from": "2026-11-24T12:00+02:00", "to": "2026-11-24T11:00Z"}, NOW)
    assert naive == offset


def test_the_future_is_not_asked_for() -> None:
    asked = TimeRange.asked({"from": "2026-11-24T12:00", "to": "2027-01-01T00:00"}, NOW)
    assert asked.end <= NOW + timedelta(minutes=1)


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({"to": "2026-11-24T10:00"}, "from"),
        ({"last": "5m"}, "last"),
        ({"compare": "month"}, "compare"),
        ({"from": "yesterday"}, "from"),
        ({"from": "2026-11-24T10:00", "to": "<script>"}, "to"),
        ({"from": "2026-11-24T11:00", "to": "2026-11-24T10:00"}, "from"),
        ({"from": "2026-11-25T11:00"}, "from"),
        ({"from": (NOW - KEPT_FOR - timedelta(days=1)).isoformat()}, "from"),
        ({"from": "0001-01-01T00:00+14:00"}, "from"),
    ],
)
def test_a_range_that_cannot_be_shown_names_its_parameter(query: dict[str, str], parameter: str) -> None:
    with pytest.raises(MalformedRequest) as raised:
        TimeRange.asked(query, NOW)
    assert raised.value.param == parameter
