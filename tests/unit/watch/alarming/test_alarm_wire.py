"""What CloudWatch is asked for, and what of its answers is compared."""

from typing import Any

import pytest

from harness.alarm_world import ACCOUNT, alarms
from watch.alarming.alarm_wire import BAND, arguments_of, children_of, fields_of, kind_of, normal, tags_of
from watch.alarming.definitions import SUPPRESSOR_EXTENSION_S, SUPPRESSOR_WAIT_S, CompositeAlarm, MetricAlarm

ALARMS = alarms()
PERCENTILE = "llm-platform/tenant/acme/ttft-p99"
BANDED = "llm-platform/scores/acme/smollm2-135m/relevance/score-anomaly"
NOTICE = "llm-platform/tenant/acme/ttft-p99.notice"


def described(name: str) -> dict[str, Any]:
    """The alarm as DescribeAlarms gives it back: with what CloudWatch adds, in an order of its own."""
    answer = arguments_of(ALARMS[name])
    for several in ("Dimensions", "Metrics"):
        if several in answer:
            answer[several] = list(reversed(answer[several]))
    return answer | {
        "AlarmArn": ACCOUNT.alarm_arn(name),
        "ActionsEnabled": True,
        "InsufficientDataActions": [],
        "StateValue": "OK",
        "StateReason": "all is well",
    }


def test_a_plain_alarm() -> None:
    alarm = ALARMS["llm-platform/tenant/acme/budget-usd"]
    assert isinstance(alarm, MetricAlarm)
    assert arguments_of(alarm) == {
        "AlarmName": "llm-platform/tenant/acme/budget-usd",
        "AlarmDescription": alarm.told.description,
        "AlarmActions": ["arn:aws:sns:us-east-1:123456789012:llm-platform-warning"],
        "OKActions": ["arn:aws:sns:us-east-1:123456789012:llm-platform-warning"],
        "Namespace": "LLMPlatform/Cost",
        "MetricName": "budget_used_percent",
        "Dimensions": [{"Name": "tenant_id", "Value": "acme"}],
        "Statistic": "Maximum",
        "Period": alarm.period_s,
        "EvaluationPeriods": alarm.of,
        "DatapointsToAlarm": alarm.datapoints,
        "Threshold": 120.0,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "ignore",
    }


def test_a_percentile_is_an_extended_statistic_that_is_always_evaluated() -> None:
    arguments = arguments_of(ALARMS[PERCENTILE])
    assert arguments["ExtendedStatistic"] == "p99"
    assert "Statistic" not in arguments
    assert arguments["EvaluateLowSampleCountPercentile"] == "evaluate"


def test_no_alarm_has_a_unit() -> None:
    for alarm in ALARMS.values():
        assert "Unit" not in arguments_of(alarm)


def test_a_band_is_cloudwatchs_own_with_the_deviations_of_the_limits() -> None:
    arguments = arguments_of(ALARMS[BANDED])
    measured, expected = arguments["Metrics"]
    assert expected["Expression"] == f"{BAND}(m1, 2)"
    assert expected["Id"] == arguments["ThresholdMetricId"]
    assert arguments["ComparisonOperator"] == "LessThanLowerThreshold"
    assert measured["MetricStat"]["Stat"] == "Average"
    assert measured["MetricStat"]["Metric"]["MetricName"] == "eval_score"
    assert not {"Threshold", "Period", "MetricName", "Namespace", "Statistic"} & arguments.keys()


def test_nothing_else_does_arithmetic() -> None:
    for name, alarm in ALARMS.items():
        arguments = arguments_of(alarm)
        if not name.endswith("/score-anomaly"):
            assert "Metrics" not in arguments
        else:
            assert [one["Expression"] for one in arguments["Metrics"] if "Expression" in one] == [
                f"{BAND}(m1, 2)"
            ]


def test_a_notice_has_its_suppressor_with_both_periods() -> None:
    arguments = arguments_of(ALARMS[NOTICE])
    assert arguments["ActionsSuppressor"] == "llm-platform/tenant/acme/ttft-burn-fast"
    assert arguments["ActionsSuppressorWaitPeriod"] == SUPPRESSOR_WAIT_S
    assert arguments["ActionsSuppressorExtensionPeriod"] == SUPPRESSOR_EXTENSION_S


def test_without_a_suppressor_there_are_no_periods() -> None:
    arguments = arguments_of(ALARMS["llm-platform/tenant/acme/ttft-burn-fast"])
    assert not [name for name in arguments if name.startswith("ActionsSuppressor")]


def test_tags_say_that_it_is_ours_and_what_it_is_about() -> None:
    tags = {tag["Key"]: tag["Value"] for tag in tags_of(ALARMS[BANDED])}
    assert tags == {
        "llm-platform:managed-by": "watch",
        "llm-platform:scope": "scores",
        "llm-platform:severity": "information",
        "llm-platform:tenant": "acme",
        "observability-layer": "alarms",
    }


@pytest.mark.parametrize("name", ALARMS)
def test_what_cloudwatch_adds_and_reorders_is_no_difference(name: str) -> None:
    assert normal(kind_of(ALARMS[name]), described(name)) == fields_of(ALARMS[name])


def test_defaults_that_are_left_out_and_arns_are_no_difference() -> None:
    notice = described(NOTICE)
    notice["ActionsSuppressor"] = ACCOUNT.alarm_arn(notice["ActionsSuppressor"])
    notice["AlarmRule"] = f"  {notice['AlarmRule']}\n"
    assert normal("composite", notice) == fields_of(ALARMS[NOTICE])
    percentile = described(PERCENTILE)
    del percentile["EvaluateLowSampleCountPercentile"]
    percentile |= {"Threshold": 3_000, "Unit": None}
    assert normal("metric", percentile) == fields_of(ALARMS[PERCENTILE])
    band = described(BANDED) | {"Threshold": 0.0}
    for query in band["Metrics"]:
        del query["ReturnData"]
    assert normal("metric", band) == fields_of(ALARMS[BANDED])


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("Threshold", 2_999.0),
        ("Unit", "Milliseconds"),
        ("AlarmActions", ["arn:aws:sns:us-east-1:123456789012:mine"]),
        ("EvaluateLowSampleCountPercentile", "ignore"),
        ("TreatMissingData", "missing"),
        ("DatapointsToAlarm", 4),
        ("Dimensions", [{"Name": "tenant_id", "Value": "globex"}]),
        ("AlarmDescription", "mine"),
    ],
)
def test_what_somebody_changed_is_a_difference(member: str, value: object) -> None:
    assert normal("metric", described(PERCENTILE) | {member: value}) != fields_of(ALARMS[PERCENTILE])


def test_children_are_read_from_any_rule() -> None:
    for alarm in ALARMS.values():
        if isinstance(alarm, CompositeAlarm):
            assert children_of(arguments_of(alarm)) == alarm.depends_on
        else:
            assert isinstance(alarm, MetricAlarm)
    rule = f'ALARM(bare) AND NOT OK("quoted name") OR INSUFFICIENT_DATA({ACCOUNT.alarm_arn("by/arn")})'
    assert children_of({"AlarmRule": rule}) == {"bare", "quoted name", "by/arn"}
