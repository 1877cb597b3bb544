"""What DescribeAlarms tells becomes a rule, or words that say why there is none."""

from datetime import UTC, datetime
from typing import Any

import pytest

from sandbox.alarms.definitions import Rule, Series, read_composite_alarm, read_metric_alarm
from sandbox.alarms.windows import window_end, window_starts

TOLD: dict[str, Any] = {
    "AlarmName": "a",
    "AlarmArn": "arn:aws:cloudwatch:us-east-1:000000000000:alarm:a",
    "StateValue": "OK",
    "StateReason": "",
    "StateUpdatedTimestamp": datetime(2026, 11, 29, tzinfo=UTC),
    "Namespace": "N",
    "MetricName": "m",
    "Dimensions": [{"Name": "tenant_id", "Value": "acme"}, {"Name": "model_id", "Value": "big"}],
    "Statistic": "Average",
    "Period": 60,
    "EvaluationPeriods": 3,
    "Threshold": 1.0,
    "ComparisonOperator": "GreaterThanThreshold",
}
STAT = {"Metric": {"Namespace": "N", "MetricName": "m"}, "Period": 60, "Stat": "Sum"}


def rule_of(**more: Any) -> Rule:
    rule = read_metric_alarm(TOLD | more).rule
    assert isinstance(rule, Rule)
    return rule


def test_without_datapoints_to_alarm_all_of_them_are() -> None:
    assert rule_of() == Rule(
        series=Series("N", "m", (("model_id", "big"), ("tenant_id", "acme")), None, "Average", 60),
        n=3,
        m=3,
        threshold=1.0,
        comparison="GreaterThanThreshold",
        missing="missing",
        enough_samples=0,
    )
    assert rule_of(DatapointsToAlarm=2).m == 2


@pytest.mark.parametrize(
    ("statistic", "samples"),
    [("p99", 1_000), ("p50", 20), ("p99.9", 10_000), ("p10", 100), ("p100", float("inf"))],
)
def test_enough_samples_depend_on_the_percentile(statistic: str, samples: float) -> None:
    told: dict[str, Any] = {
        "Statistic": None,
        "ExtendedStatistic": statistic,
        "EvaluateLowSampleCountPercentile": "ignore",
    }
    assert rule_of(**told).enough_samples == pytest.approx(samples)
    assert rule_of(**told | {"EvaluateLowSampleCountPercentile": "evaluate"}).enough_samples == 0


def test_alarms_on_dynamodb_ignore_what_is_missing_unless_told_otherwise() -> None:
    assert rule_of(Namespace="AWS/DynamoDB").missing == "ignore"
    assert rule_of(Namespace="AWS/DynamoDB", TreatMissingData="breaching").missing == "breaching"


def test_one_metric_in_metrics_is_a_metric() -> None:
    told: dict[str, Any] = {
        "Namespace": None,
        "MetricName": None,
        "Statistic": None,
        "Period": None,
        "Dimensions": [],
    }
    rule = rule_of(**told, Metrics=[{"Id": "m1", "MetricStat": STAT, "ReturnData": True}])
    assert rule.series == Series("N", "m", (), None, "Sum", 60)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (
            {"Metrics": [{"Id": "e", "Expression": "m1 / m2"}, {"Id": "m1", "MetricStat": STAT}]},
            "metric math",
        ),
        ({"Metrics": [{"Id": "q", "Expression": "SELECT AVG(x) FROM N"}]}, "Metrics Insights"),
        (
            {
                "ThresholdMetricId": "ad",
                "Metrics": [
                    {"Id": "m1", "MetricStat": STAT},
                    {"Id": "ad", "Expression": "ANOMALY_DETECTION_BAND(m1, 2)"},
                ],
            },
            "an anomaly band",
        ),
        ({"Statistic": None, "ExtendedStatistic": "tm99"}, "the statistic tm99"),
        ({"ComparisonOperator": "LessThanLowerThreshold"}, "the comparison LessThanLowerThreshold"),
    ],
)
def test_what_cannot_be_evaluated_says_why(more: dict[str, Any], why: str) -> None:
    assert read_metric_alarm(TOLD | more).rule == f"{why} is not evaluated here"


def test_a_composite_is_new_until_it_has_had_a_state() -> None:
    told = TOLD | {"AlarmRule": "ALARM(b)", "StateValue": "INSUFFICIENT_DATA"}
    assert read_composite_alarm(told).is_new
    assert not read_composite_alarm(told | {"StateTransitionedTimestamp": datetime.now(UTC)}).is_new


@pytest.mark.parametrize(
    ("period_s", "n", "end"),
    [
        (60, 1, "12:06:00"),
        (300, 1, "12:06:00"),  # minutes 1 to 5 inclusive: the window slides by a minute
        (3_600, 24, "12:06:00"),
        (3_600, 25, "12:00:00"),  # more than a day: every hour
        (10, 3, "12:06:40"),
        (30, 3, "12:06:40"),
    ],
)
def test_windows_slide_by_what_the_period_is_evaluated_at(period_s: int, n: int, end: str) -> None:
    rule = rule_of(Period=period_s, EvaluationPeriods=n)
    now = datetime(2026, 11, 29, 12, 6, 48, tzinfo=UTC)
    found = window_end(rule, now, settle_s=5)
    assert f"{found:%H:%M:%S}" == end
    starts = window_starts(rule, found)
    assert len(starts) == n + 2
    assert (found - starts[-1]).total_seconds() == period_s


def test_a_period_counts_once_its_metric_has_had_time_to_come_in() -> None:
    ends = [
        window_end(rule_of(), datetime(2026, 11, 29, 12, 6, second, tzinfo=UTC), settle_s=5).minute
        for second in (4, 5)
    ]
    assert ends == [5, 6]
