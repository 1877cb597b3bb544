"""An alarm in CloudWatch's words: what a definition is put as, and what is compared with what is there. Pure.

`PutMetricAlarm`, `PutCompositeAlarm` and `DescribeAlarms` name the members alike, so both sides go through
the same `normal`: members that CloudWatch adds are left out, defaults are filled in or left out alike, the
order of lists does not count, numbers are numbers.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, Literal

from watch.alarming.definitions import (
    SUPPRESSOR_EXTENSION_S,
    SUPPRESSOR_WAIT_S,
    AlarmDefinition,
    CompositeAlarm,
    MetricAlarm,
)
from watch.tables.readings import STATISTICS

Kind = Literal["metric", "composite"]

BAND: Final = "ANOMALY_DETECTION_BAND"
_MEASURED: Final = "m1"
_EXPECTED: Final = "band"

LOW_SAMPLES: Final = "evaluate"
"""A p99 is significant to CloudWatch from 1,000 samples a period on (10 / (1 - percentile)). With `ignore` a
tenant with less than 3 requests a second would have no alarm on its p99 at all. Chance is kept out by M of N:
one slow request does not make three of four windows."""

_OF_BOTH: Final = ("AlarmDescription", "AlarmActions", "OKActions", "InsufficientDataActions")
_OF_METRIC: Final = (
    *_OF_BOTH,
    "Namespace",
    "MetricName",
    "Dimensions",
    "Statistic",
    "ExtendedStatistic",
    "EvaluateLowSampleCountPercentile",
    "Metrics",
    "ThresholdMetricId",
    "Unit",
    "Period",
    "EvaluationPeriods",
    "DatapointsToAlarm",
    "ComparisonOperator",
    "Threshold",
    "TreatMissingData",
)
_OF_COMPOSITE: Final = (
    *_OF_BOTH,
    "AlarmRule",
    "ActionsSuppressor",
    "ActionsSuppressorWaitPeriod",
    "ActionsSuppressorExtensionPeriod",
)
_DEFAULTS: Final[Mapping[str, object]] = {
    "TreatMissingData": "missing",
    "EvaluateLowSampleCountPercentile": "evaluate",
    "ReturnData": True,
}
_BLANKS: Final = re.compile(r"\s+")
_CHILD: Final = re.compile(r'\b(?:ALARM|OK|INSUFFICIENT_DATA)\(\s*(?:"([^"]+)"|([^")\s]+))\s*\)')

Fields = Mapping[str, object]
"""Members of an alarm by name, in a form that can be compared."""


def kind_of(definition: AlarmDefinition) -> Kind:
    """Which of the two operations puts it."""
    return "metric" if isinstance(definition, MetricAlarm) else "composite"


def arguments_of(definition: AlarmDefinition) -> dict[str, Any]:
    """The arguments of PutMetricAlarm or PutCompositeAlarm, without tags and whether actions are enabled."""
    told = definition.told
    arguments: dict[str, Any] = {
        "AlarmName": definition.name,
        "AlarmDescription": told.description,
        "AlarmActions": list(told.actions),
        "OKActions": list(told.actions),
    }
    if isinstance(definition, CompositeAlarm):
        return arguments | _composite(definition)
    return arguments | _condition(definition)


def tags_of(definition: AlarmDefinition) -> list[dict[str, str]]:
    """Tags as the API has them."""
    return [{"Key": key, "Value": value} for key, value in definition.told.tags]


def fields_of(definition: AlarmDefinition) -> Fields:
    """What the alarm should be, in the form in which it is compared."""
    return normal(kind_of(definition), arguments_of(definition))


def normal(kind: Kind, members: Mapping[str, Any]) -> Fields:
    """Members of an alarm, put or described, in the form in which they are compared."""
    known = _OF_METRIC if kind == "metric" else _OF_COMPOSITE
    picked = {name: members[name] for name in known if name in members}
    if kind == "metric":
        picked.setdefault("DatapointsToAlarm", picked.get("EvaluationPeriods"))
        if picked.get("ThresholdMetricId"):
            picked.pop("Threshold", None)  # of a band: a number there means nothing, and may be a 0
    else:
        picked["AlarmRule"] = _BLANKS.sub(" ", picked.get("AlarmRule", "")).strip()
        picked["ActionsSuppressor"] = name_in(picked.get("ActionsSuppressor") or "")
    return {
        name: _comparable(value)
        for name, value in picked.items()
        if _says_something(value) and _DEFAULTS.get(name) != value
    }


def name_in(reference: str) -> str:
    """The name of an alarm that is referred to by name or ARN."""
    return reference.partition(":alarm:")[2] if reference.startswith("arn:") else reference


def children_of(members: Mapping[str, Any]) -> frozenset[str]:
    """The alarms that a described composite depends on, its suppressor included."""
    named = {name_in(quoted or bare) for quoted, bare in _CHILD.findall(members.get("AlarmRule", ""))}
    suppressor = name_in(members.get("ActionsSuppressor") or "")
    return frozenset(named | ({suppressor} if suppressor else set()))


def _composite(alarm: CompositeAlarm) -> dict[str, Any]:
    arguments: dict[str, Any] = {"AlarmRule": alarm.alarm_rule}
    if alarm.suppressor is not None:
        arguments |= {
            "ActionsSuppressor": alarm.suppressor,
            "ActionsSuppressorWaitPeriod": SUPPRESSOR_WAIT_S,
            "ActionsSuppressorExtensionPeriod": SUPPRESSOR_EXTENSION_S,
        }
    return arguments


def _condition(alarm: MetricAlarm) -> dict[str, Any]:
    """No unit: an alarm with one is blind to what is published in another, and says nothing about it."""
    series = alarm.series
    metric = {
        "Namespace": series.namespace,
        "MetricName": series.name,
        "Dimensions": [{"Name": name, "Value": value} for name, value in series.dimensions],
    }
    arguments: dict[str, Any] = {
        "EvaluationPeriods": alarm.of,
        "DatapointsToAlarm": alarm.datapoints,
        "TreatMissingData": alarm.missing,
    }
    if alarm.band:
        return arguments | _band(alarm, metric)
    arguments |= {
        **metric,
        "Period": alarm.period_s,
        "ComparisonOperator": alarm.comparison,
        "Threshold": float(alarm.threshold),
    }
    if series.statistic in STATISTICS:
        return arguments | {"Statistic": series.statistic}
    return arguments | {
        "ExtendedStatistic": series.statistic,
        "EvaluateLowSampleCountPercentile": LOW_SAMPLES,
    }


def _band(alarm: MetricAlarm, metric: Mapping[str, Any]) -> dict[str, Any]:
    """Below CloudWatch's anomaly band: the one alarm that does arithmetic, and nothing rests on it."""
    if alarm.comparison != "LessThanThreshold":
        raise ValueError(f"alarm {alarm.name}: only what is below a band is asked for")
    return {
        "ComparisonOperator": "LessThanLowerThreshold",
        "ThresholdMetricId": _EXPECTED,
        "Metrics": [
            {
                "Id": _MEASURED,
                "MetricStat": {
                    "Metric": dict(metric),
                    "Period": alarm.period_s,
                    "Stat": alarm.series.statistic,
                },
                "ReturnData": True,
            },
            {
                "Id": _EXPECTED,
                "Expression": f"{BAND}({_MEASURED}, {alarm.threshold:g})",
                "Label": f"{alarm.series.name} (expected)",
                "ReturnData": True,
            },
        ],
    }


def _says_something(value: object) -> bool:
    return value is not None and value not in ("", [], {})


def _comparable(value: Any) -> object:
    """Without order, without defaults, numbers as floats."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, Mapping):
        return tuple(
            (name, _comparable(value[name]))
            for name in sorted(value)
            if _says_something(value[name]) and _DEFAULTS.get(name) != value[name]
        )
    if isinstance(value, list | tuple):
        return tuple(sorted(map(_comparable, value), key=repr))
    return value
