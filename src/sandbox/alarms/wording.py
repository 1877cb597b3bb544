"""What CloudWatch writes beside a state: its reason in words, and the same as data.

Pure. The sentences are those of AWS's samples ("Alarm events and EventBridge", SNS messages that people
published).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sandbox.alarms.definitions import Comparison, Rule, State

_BEYOND: Final[dict[Comparison, str]] = {
    "GreaterThanThreshold": "greater than",
    "GreaterThanOrEqualToThreshold": "greater than or equal to",
    "LessThanThreshold": "less than",
    "LessThanOrEqualToThreshold": "less than or equal to",
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a decision rests on: datapoints oldest first, and how many were filled in."""

    rule: Rule
    received: Sequence[tuple[datetime, float]]
    breaching: Sequence[tuple[datetime, float]]
    filled: int
    now: datetime


def threshold_crossed(evidence: Evidence, state: State) -> str:
    """Reason of ALARM and of OK."""
    rule = evidence.rule
    missing = ""
    if evidence.filled:
        treated = {"breaching": "Breaching", "notBreaching": "NonBreaching"}.get(
            rule.missing, rule.missing.capitalize()
        )
        was = "datapoint was" if evidence.filled == 1 else "datapoints were"
        missing = f" and {evidence.filled} missing {was} treated as [{treated}]"
    if not evidence.received:
        return f"Threshold Crossed: no datapoints were received for {_periods(rule.n)}{missing}."
    rings = state == "ALARM"
    telling = [point for point in evidence.received if (point in evidence.breaching) == rings]
    needed = rule.m if rings else rule.n - rule.m + 1
    change = "OK -> ALARM" if rings else "ALARM -> OK"
    minimum = f"(minimum {needed} {_datapoints(needed)} for {change} transition)"
    if not telling:
        count = len(evidence.received)
        was = "was" if count == 1 else "were"
        return (
            f"Threshold Crossed: {count} {_datapoints(count)} {was} received for {_periods(rule.n)}{missing}."
        )
    listed = ", ".join(f"{value!r} ({at:%d/%m/%y %H:%M:%S})" for at, value in reversed(telling))
    was = "was" if len(telling) == 1 else "were"
    negated = "" if rings else "not "
    return (
        f"Threshold Crossed: {len(telling)} out of the last {rule.n} datapoints [{listed}] {was} {negated}"
        f"{_BEYOND[rule.comparison]} the threshold ({rule.threshold!r}){missing} {minimum}."
    )


def insufficient(evidence: Evidence) -> str:
    """Reason of INSUFFICIENT_DATA."""
    was = "was" if evidence.filled == 1 else "were"
    return f"Insufficient Data: {evidence.filled} {_datapoints(evidence.filled)} {was} unknown."


def reason_data(evidence: Evidence) -> str:
    """StateReasonData of a metric alarm: JSON, the datapoints oldest first, those evaluated newest first."""
    series = evidence.rule.series
    told: dict[str, object] = {"version": "1.0", "queryDate": moment(evidence.now)}
    if evidence.received:
        told["startDate"] = moment(evidence.received[0][0])
    if series.unit:
        told["unit"] = series.unit
    told |= {
        "statistic": series.statistic,
        "period": series.period_s,
        "recentDatapoints": [value for _, value in evidence.received],
        "threshold": evidence.rule.threshold,
        "evaluatedDatapoints": [
            {"timestamp": moment(at), "value": value} for at, value in reversed(evidence.received)
        ],
    }
    return json.dumps(told, separators=(",", ":"))


def moment(at: datetime) -> str:
    """Write a time as CloudWatch does in its documents: milliseconds, and an offset without a colon."""
    at = at.astimezone(UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}+0000"


def _datapoints(count: int) -> str:
    return "datapoint" if count == 1 else "datapoints"


def _periods(count: int) -> str:
    return "1 period" if count == 1 else f"{count} periods"
