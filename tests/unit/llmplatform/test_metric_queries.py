import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmplatform.metric_queries import (
    MAX_DATAPOINTS,
    MAX_QUERIES,
    Answer,
    Call,
    Series,
    calls_for,
    finest_period_s,
    series_of,
)
from llmplatform.metrics import EVENTS_SKIPPED, INPUT_TOKEN_COUNT

HOUR = datetime(2026, 11, 23, 20, tzinfo=UTC)
PERIODS = (60, 300, 3_600)


def some(count: int) -> list[Series]:
    return [Series("A/B", "tokens", (("tenant_id", f"t{at}"),)) for at in range(count)]


def page(*results: dict[str, Any], **more: Any) -> Any:
    defaults = {"StatusCode": "Complete", "Timestamps": [], "Values": []}
    return {"MetricDataResults": [{**defaults, **result} for result in results], **more}


@given(
    count=st.integers(0, 1_700),
    hours=st.integers(1, 24 * 200),
    period_s=st.sampled_from(PERIODS),
)
def test_every_series_is_asked_for_its_whole_time_once_within_the_limits(
    count: int, hours: int, period_s: int
) -> None:
    end = HOUR + timedelta(hours=hours)
    calls = calls_for(some(count), HOUR, end, period_s)
    covered: Counter[Series] = Counter()
    for call in calls:
        datapoints = (call.end - call.start) // timedelta(seconds=period_s)
        assert 1 <= len(call.series) <= MAX_QUERIES
        assert len(call.series) * datapoints <= MAX_DATAPOINTS
        for series in call.series:
            covered[series] += datapoints
    assert covered == dict.fromkeys(some(count), hours * 3_600 // period_s)


def test_a_day_names_as_many_metrics_as_an_hour() -> None:
    hour = calls_for(some(1_200), HOUR, HOUR + timedelta(hours=1), 3_600)
    day = calls_for(some(1_200), HOUR, HOUR + timedelta(hours=24), 3_600)
    assert [len(call.series) for call in hour] == [500, 500, 200]
    assert sum(len(call.series) for call in day) == 1_200


def test_long_times_by_the_minute_put_fewer_series_in_a_call_and_ask_for_none_twice() -> None:
    calls = calls_for(some(100), HOUR, HOUR + timedelta(days=1), 60)
    assert [len(call.series) for call in calls] == [70, 30]


def test_a_month_in_one_period_is_one_call() -> None:
    (call,) = calls_for(some(3), HOUR, HOUR + timedelta(days=30), 30 * 86_400)
    assert (call.start, call.end) == (HOUR, HOUR + timedelta(days=30))


def test_queries_have_ids_that_cloudwatch_accepts() -> None:
    (call,) = calls_for(some(500), HOUR, HOUR + timedelta(hours=1), 3_600)
    ids = [query["Id"] for query in call.queries()]
    assert len(set(ids)) == 500
    assert all(re.fullmatch(r"[a-z][a-zA-Z0-9_]*", one) for one in ids)


def test_a_query_names_metric_statistic_and_period() -> None:
    series = series_of(INPUT_TOKEN_COUNT, {"tenant_id": "acme"})
    (query,) = Call([series], HOUR, HOUR + timedelta(hours=1), 3_600).queries()
    assert query["MetricStat"] == {
        "Metric": {
            "Namespace": "LLMPlatform/Inference",
            "MetricName": "input_token_count",
            "Dimensions": [{"Name": "tenant_id", "Value": "acme"}],
        },
        "Period": 3_600,
        "Stat": "Sum",
    }


def test_a_set_that_is_not_published_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="not published"):
        series_of(EVENTS_SKIPPED, {"tenant_id": "acme"})


def test_values_go_on_over_pages_and_missing_datapoints_stay_missing() -> None:
    series = some(2)
    answer = Answer(Call(series, HOUR, HOUR + timedelta(hours=3), 3_600))
    answer.add(
        page(
            {"Id": "m0", "StatusCode": "PartialData", "Timestamps": [HOUR], "Values": [5.0]}, NextToken="more"
        )
    )
    last = HOUR + timedelta(hours=2)
    answer.add(page({"Id": "m0", "Timestamps": [last], "Values": [7.0]}, {"Id": "m1"}))
    assert answer.flaws == ()
    assert answer.values() == {series[0]: {HOUR: 5.0, last: 7.0}, series[1]: {}}


@pytest.mark.parametrize("status", ["PartialData", "InternalError", "Forbidden"])
def test_a_series_that_did_not_end_complete_is_a_flaw(status: str) -> None:
    answer = Answer(Call(some(2), HOUR, HOUR + timedelta(hours=1), 3_600))
    answer.add(page({"Id": "m0", "StatusCode": status}, {"Id": "m1"}))
    assert answer.flaws == (status,)


def test_a_series_that_no_page_mentions_is_a_flaw() -> None:
    answer = Answer(Call(some(2), HOUR, HOUR + timedelta(hours=1), 3_600))
    answer.add(page({"Id": "m1"}))
    assert answer.flaws == ("absent",)


def test_messages_are_flaws_whether_of_the_call_or_of_a_series() -> None:
    answer = Answer(Call(some(1), HOUR, HOUR + timedelta(hours=1), 3_600))
    answer.add(
        page(
            {"Id": "m0", "Messages": [{"Code": "Odd", "Value": "odd"}]},
            Messages=[{"Code": "MaxMetricsExceeded", "Value": "too many"}],
        )
    )
    assert answer.flaws == ("MaxMetricsExceeded", "Odd")


@pytest.mark.parametrize(
    ("age", "period_s"),
    [
        (timedelta(hours=-1), 60),
        (timedelta(days=14, hours=23), 60),
        (timedelta(days=15), 300),
        (timedelta(days=62, hours=23), 300),
        (timedelta(days=63), 3_600),
        (timedelta(days=900), 3_600),
    ],
)
def test_old_datapoints_are_asked_for_in_the_periods_that_are_kept(age: timedelta, period_s: int) -> None:
    assert finest_period_s(HOUR - age, HOUR) == period_s
