from datetime import UTC, datetime, timedelta

import pytest

from watch.console.charts import Chart, Series, Threshold, along

START = datetime(2026, 11, 24, 12, tzinfo=UTC)
TIMES = [START + timedelta(minutes=number) for number in range(4)]


def test_a_missing_datapoint_is_not_a_zero() -> None:
    values = along(TIMES, {TIMES[0]: 1.0, TIMES[2]: 0.0})
    assert values == [1.0, None, 0.0, None]
    chart = Chart(name="c", title="C", kind="ms", times=TIMES, series=[Series("p99", values)])
    assert chart.data["series"][0]["values"] == values
    assert not chart.empty


def test_the_week_before_is_drawn_at_this_weeks_times() -> None:
    week = timedelta(days=7)
    assert along(TIMES, {TIMES[1] - week: 5.0}, shift=week) == [None, 5.0, None, None]


def test_a_chart_of_nothing_says_so() -> None:
    values = [None, float("nan"), None, float("inf")]
    chart = Chart(name="c", title="C", kind="ms", times=TIMES, series=[Series("p99", values)])
    assert chart.empty
    assert chart.data["series"][0]["values"] == [None] * 4


def test_values_at_wrong_times_are_refused() -> None:
    with pytest.raises(ValueError, match="one value for each time"):
        Chart(name="c", title="C", kind="ms", times=TIMES, series=[Series("p99", [1.0])])


def test_the_figures_say_what_is_missing() -> None:
    chart = Chart(
        name="c",
        title="C",
        kind="ms",
        times=TIMES,
        series=[Series("p99", [3.0, None, 1.0, None])],
        thresholds=[Threshold("objective", 4.0)],
    )
    assert chart.summary.rows == [
        {"series": "p99", "latest": 1.0, "least": 1.0, "most": 3.0, "points": 2, "missing": 2}
    ]
    assert chart.table.csv().decode().splitlines()[2] == "2026-11-24T12:01:00+00:00,"
