"""The table of alarms holds together, and has all that it should have."""

import pytest

from llmplatform import metrics as ours
from llmplatform.aws.tables import TABLES
from llmplatform.metrics import Metric
from watch.alarming.alarm_limits import check_window
from watch.alarms import BY_KEY, RULES, rules_of
from watch.tables import native
from watch.tables.readings import (
    BACKEND_MODEL,
    ENDPOINT,
    ENDPOINT_TYPE,
    EVAL_DIMENSION,
    JUDGE,
    MODEL,
    TENANT,
    VARIANT,
)
from watch.tables.rules import CompositeRule, MetricRule, Rule, keys_in
from watch.tables.targets import SCOPES, Scope

FILLED_IN: dict[Scope, frozenset[str]] = {
    "platform": frozenset(),
    "tenant": frozenset({TENANT}),
    "endpoint": frozenset({ENDPOINT, VARIANT}),
    "model": frozenset({MODEL, ENDPOINT_TYPE, BACKEND_MODEL}),
    "scores": frozenset({TENANT, MODEL, EVAL_DIMENSION}),
    "judge": frozenset({JUDGE}),
}
METRIC_RULES = [rule for rule in RULES if isinstance(rule, MetricRule)]
COMPOSITES = [rule for rule in RULES if isinstance(rule, CompositeRule)]

every_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.key)
every_metric_rule = pytest.mark.parametrize("rule", METRIC_RULES, ids=lambda rule: rule.key)
every_composite = pytest.mark.parametrize("rule", COMPOSITES, ids=lambda rule: rule.key)


def test_no_two_rules_have_the_same_key() -> None:
    assert len(BY_KEY) == len(RULES)


def test_every_rule_is_about_something_that_there_is() -> None:
    assert {rule.key for scope in SCOPES for rule in rules_of(scope)} == set(BY_KEY)


@every_rule
def test_a_rule_says_what_is_wrong_and_what_it_means_to_a_person(rule: Rule) -> None:
    assert rule.title[0].isupper()
    assert not rule.title.endswith(".")
    assert rule.meaning.endswith(".")


@every_metric_rule
def test_what_a_rule_reads_can_be_filled_in_by_what_it_is_about(rule: MetricRule) -> None:
    assert rule.reading.variables <= FILLED_IN[rule.scope]


@every_metric_rule
def test_windows_are_within_what_cloudwatch_evaluates(rule: MetricRule) -> None:
    check_window(rule.key, rule.period_s, rule.of)
    assert 1 <= rule.datapoints <= rule.of


@every_metric_rule
def test_what_is_bad_every_other_period_does_not_come_and_go(rule: MetricRule) -> None:
    """Of such a series a window has half of its datapoints bad, one more or less where it is odd."""
    fewest, most = rule.of // 2, (rule.of + 1) // 2
    assert rule.of == 1 or most < rule.datapoints or fewest >= rule.datapoints


@every_composite
def test_the_parts_of_a_composite_are_metric_alarms_of_the_same_thing(rule: CompositeRule) -> None:
    for key in keys_in(rule.condition):
        part = BY_KEY[key]
        assert isinstance(part, MetricRule)
        assert part.scope == rule.scope


@every_rule
def test_what_speaks_for_another_is_of_the_same_thing_or_the_platform_and_speaks_for_itself(
    rule: Rule,
) -> None:
    if rule.suppressed_by is None:
        return
    suppressor = BY_KEY[rule.suppressed_by]
    assert suppressor.scope in {rule.scope, "platform"}
    assert suppressor.suppressed_by is None
    assert isinstance(suppressor, CompositeRule) or suppressor.notifies


@every_rule
def test_what_is_critical_waits_for_nobody(rule: Rule) -> None:
    assert rule.severity != "critical" or rule.suppressed_by is None


@every_metric_rule
def test_what_tells_nobody_is_a_part_of_something_that_tells(rule: MetricRule) -> None:
    parts = {key for composite in COMPOSITES for key in keys_in(composite.condition)}
    assert rule.notifies or rule.key in parts


def test_no_alarm_does_arithmetic_but_the_band_that_nobody_is_called_by() -> None:
    (band,) = (rule for rule in METRIC_RULES if rule.anomaly)
    assert band.severity == "information"


@pytest.mark.parametrize(
    "metric",
    [
        # infrastructure
        native.GPU_UTILIZATION,
        native.GPU_MEMORY_UTILIZATION,
        native.DISK_UTILIZATION,
        native.ENDPOINT_INVOCATIONS,
        native.ENDPOINT_MODEL_ERRORS,
        native.ENDPOINT_MID_STREAM_ERRORS,
        native.ENDPOINT_5XX,
        native.ENDPOINT_4XX,  # throttles of endpoints are in it
        native.BEDROCK_THROTTLES,
        ours.CIRCUIT_OPEN,
        ours.MODEL_DAYS_TO_END_OF_LIFE,
        # latency and availability
        ours.TIME_TO_FIRST_TOKEN,
        ours.TOTAL_LATENCY,
        ours.REQUEST_FAILED,
        ours.TTFT_SLOW,
        ours.OUTPUT_TOKENS_PER_SECOND,
        ours.GATEWAY_OVERHEAD,
        # quality
        ours.SCORE_FALLEN,
        ours.SCORE_DROPPED,
        ours.EVAL_SCORE,
        ours.JUDGE_FAILED,
        ours.SCORES_MISSING,
        ours.CALIBRATION_AGE_DAYS,
        ours.EPOCH_CHANGED,
        # cost
        ours.BUDGET_USED_PERCENT,
        ours.BUDGET_PROJECTED_PERCENT,
        ours.TOKEN_BUDGET_USED_PERCENT,
        ours.TOKEN_BUDGET_PROJECTED_PERCENT,
        ours.UNPRICED_USAGE,
        ours.LEDGER_DIFFERENCE_PERCENT,
        ours.RECONCILIATION_ERROR_PERCENT,
        ours.OBSERVABILITY_SHARE_PERCENT,
        ours.OBSERVABILITY_BUDGET_USED_PERCENT,
        # the platform itself
        ours.AVAILABILITY,
        ours.TRACE_PROPAGATED,
        native.STREAM_ITERATOR_AGE,
        ours.SINK_DROPPED,
        native.EMF_PARSING_ERRORS,
        native.EMF_VALIDATION_ERRORS,
        ours.EVAL_RECORDS,
        native.TABLE_WRITES_THROTTLED,
        native.STREAM_WRITE_THROTTLED,
        ours.COST_AGE_SECONDS,
        ours.RECONCILIATION_OVERDUE_DAYS,
        ours.ACCOUNT_BUDGET_USED_PERCENT,
        native.DEAD_LETTERS,
        native.STREAM_PUSHED_AGE,
    ],
    ids=lambda metric: metric.name,
)
def test_what_must_be_watched_has_an_alarm(metric: Metric) -> None:
    assert any(rule.reading.metric is metric for rule in METRIC_RULES)


def test_every_sink_and_every_table_has_an_alarm() -> None:
    watched = {value for rule in METRIC_RULES for _, value in rule.reading.dimensions}
    assert watched.issuperset(ours.SINKS)
    assert watched.issuperset(table.name for table in TABLES)


def test_every_job_and_process_that_stands_still_is_told() -> None:
    told = {
        dict(rule.reading.dimensions).get("component")
        for rule in METRIC_RULES
        if rule.reading.metric is ours.AVAILABILITY and rule.missing == "breaching"
    }
    assert told == {ours.GATEWAY, ours.EVALWORKER, ours.DRIFT, ours.COMPACTION, ours.COSTAGG}


def test_busy_alone_is_a_warning_and_busy_and_failing_is_critical() -> None:
    assert BY_KEY["gpu-utilization"].severity == "warning"
    failing = BY_KEY["gpu-failing"]
    assert isinstance(failing, CompositeRule)
    assert failing.severity == "critical"
    assert {"gpu-pressure", "gpu-memory-pressure"} < set(keys_in(failing.condition))
    assert {"endpoint-ttft-p99", "endpoint-model-errors", "mid-stream-errors"} < set(
        keys_in(failing.condition)
    )


def test_all_that_a_gpu_fault_needs_rings_within_two_minutes() -> None:
    failing = BY_KEY["gpu-failing"]
    assert isinstance(failing, CompositeRule)
    for key in keys_in(failing.condition):
        part = BY_KEY[key]
        assert isinstance(part, MetricRule)
        assert part.period_s * part.datapoints <= 120
