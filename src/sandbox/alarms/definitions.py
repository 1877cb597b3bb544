"""Alarms as DescribeAlarms tells them, read into types; what cannot be evaluated here says why.

Pure. Deciding is `deciding`'s (metric alarms) and `composites`'.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, get_args

State = Literal["OK", "ALARM", "INSUFFICIENT_DATA"]
Missing = Literal["missing", "notBreaching", "breaching", "ignore"]
Comparison = Literal[
    "GreaterThanThreshold",
    "GreaterThanOrEqualToThreshold",
    "LessThanThreshold",
    "LessThanOrEqualToThreshold",
]
Dimensions = tuple[tuple[str, str], ...]

_STATISTICS: Final = frozenset({"SampleCount", "Average", "Sum", "Minimum", "Maximum"})
_PERCENTILE: Final = re.compile(r"p(\d{1,2}(?:\.\d+)?|100)")
LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Series:
    """What one query asks for. `dimensions` sorted by name; without a unit, whatever the unit."""

    namespace: str
    metric: str
    dimensions: Dimensions
    unit: str | None
    statistic: str
    period_s: int

    def counted(self) -> "Series":
        """How many samples each datapoint of this one rests on."""
        return Series(self.namespace, self.metric, self.dimensions, self.unit, "SampleCount", self.period_s)


@dataclass(frozen=True, slots=True)
class Rule:
    """When a metric alarm rings: `m` of `n` datapoints beyond the threshold."""

    series: Series
    n: int
    m: int
    threshold: float
    comparison: Comparison
    missing: Missing
    enough_samples: float
    """Below so many samples in its `n` datapoints the state stays; 0 where it is evaluated all the same."""


@dataclass(frozen=True, slots=True)
class Status:
    """What any alarm has. `transitioned_at` is when its value changed last."""

    name: str
    arn: str
    state: State
    reason: str
    transitioned_at: datetime


@dataclass(frozen=True, slots=True)
class MetricAlarm:
    """A metric alarm: its rule, or in words why there is none that is evaluated here."""

    status: Status
    rule: Rule | str


@dataclass(frozen=True, slots=True)
class CompositeAlarm:
    """A composite alarm. `held_by` tells why the actions of its last change wait, None where none does."""

    status: Status
    rule: str
    suppressor: str | None
    wait_s: int
    extension_s: int
    held_by: str | None
    is_new: bool


def read_metric_alarm(told: Mapping[str, Any]) -> MetricAlarm:
    """Read one of DescribeAlarms' `MetricAlarms`."""
    return MetricAlarm(_status(told), _rule(told))


def read_composite_alarm(told: Mapping[str, Any]) -> CompositeAlarm:
    """Read one of DescribeAlarms' `CompositeAlarms`."""
    return CompositeAlarm(
        status=_status(told),
        rule=told["AlarmRule"],
        suppressor=told.get("ActionsSuppressor") or None,
        wait_s=told.get("ActionsSuppressorWaitPeriod", 0),
        extension_s=told.get("ActionsSuppressorExtensionPeriod", 0),
        held_by=told.get("ActionsSuppressedBy"),
        is_new=told["StateValue"] == "INSUFFICIENT_DATA" and "StateTransitionedTimestamp" not in told,
    )


def percentile_of(statistic: str) -> float | None:
    """Percent of a percentile (`p99.9` is 99.9), or None for another statistic."""
    found = _PERCENTILE.fullmatch(statistic)
    return float(found[1]) if found else None


def _status(told: Mapping[str, Any]) -> Status:
    return Status(
        name=told["AlarmName"],
        arn=told["AlarmArn"],
        state=told["StateValue"],
        reason=told.get("StateReason") or "",
        transitioned_at=told.get("StateTransitionedTimestamp")
        or told.get("StateUpdatedTimestamp")
        or LONG_AGO,
    )


def _rule(told: Mapping[str, Any]) -> Rule | str:
    if told.get("ThresholdMetricId"):
        return "an anomaly band is not evaluated here"
    series = _series(told)
    if isinstance(series, str):
        return series
    comparison: Any = told.get("ComparisonOperator")
    if comparison not in get_args(Comparison):
        return f"the comparison {comparison} is not evaluated here"
    percentile = percentile_of(series.statistic)
    if percentile is None and series.statistic not in _STATISTICS:
        return f"the statistic {series.statistic} is not evaluated here"
    n = told["EvaluationPeriods"]
    waits_for_samples = told.get("EvaluateLowSampleCountPercentile") == "ignore"
    return Rule(
        series=series,
        n=n,
        m=told.get("DatapointsToAlarm") or n,
        threshold=told["Threshold"],
        comparison=comparison,
        missing=_missing(told.get("TreatMissingData"), series.namespace),
        enough_samples=_enough_samples(percentile) if waits_for_samples and percentile is not None else 0,
    )


def _series(told: Mapping[str, Any]) -> Series | str:
    """Find what it watches, which a single entry of `Metrics` may say as well."""
    metrics = told.get("Metrics") or []
    if not metrics:
        statistic = told.get("ExtendedStatistic") or told.get("Statistic") or ""
        return _made(told, told.get("Unit"), statistic, told["Period"])
    if len(metrics) > 1 or metrics[0].get("Expression"):
        expressions = [entry["Expression"] for entry in metrics if entry.get("Expression")]
        if any("ANOMALY_DETECTION_BAND" in expression for expression in expressions):
            return "an anomaly band is not evaluated here"
        if any(expression.lstrip().upper().startswith("SELECT") for expression in expressions):
            return "Metrics Insights is not evaluated here"
        return "metric math is not evaluated here"
    stat = metrics[0]["MetricStat"]
    return _made(stat["Metric"], stat.get("Unit"), stat["Stat"], stat["Period"])


def _made(metric: Mapping[str, Any], unit: str | None, statistic: str, period_s: int) -> Series:
    return Series(
        namespace=metric["Namespace"],
        metric=metric["MetricName"],
        dimensions=_dimensions(metric.get("Dimensions") or ()),
        unit=unit or None,
        statistic=statistic,
        period_s=period_s,
    )


def _dimensions(told: Sequence[Mapping[str, str]]) -> Dimensions:
    return tuple(sorted((dimension["Name"], dimension["Value"]) for dimension in told))


def _missing(told: str | None, namespace: str) -> Missing:
    """Alarms on DynamoDB's metrics ignore what is missing unless told otherwise; all others do not."""
    if told in get_args(Missing):
        return told  # type: ignore[return-value]  # it is one of them
    return "ignore" if namespace == "AWS/DynamoDB" else "missing"


def _enough_samples(percentile: float) -> float:
    """Samples from which on a percentile says something ("Percentile-based alarms and low data samples").

    10 / (1 - p) for the upper half and 10 / p for the lower: 1,000 for p99. Nothing is enough for p0 and
    p100.
    """
    share = percentile / 100
    tail = 1 - share if share >= 0.5 else share  # noqa: PLR2004  # the half
    return 10 / tail if tail else float("inf")
