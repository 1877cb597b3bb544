"""What CloudWatch says of an alarm: the notification, its subject, and the history beside it.

Fields and order are those of "Schema of Amazon SNS notifications when alarms change state" and of
notifications that were published. An alarm is the emulator's own: DescribeAlarms' members, times as seconds
since 1970.
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

Alarm = Mapping[str, Any]

MAX_SUBJECT = 100
REGION_NAMES = {"us-east-1": "US East (N. Virginia)"}
"""Notifications name a region as the console does; the sandbox has this one."""


def moment(at_s: float) -> str:
    """Write a time with its milliseconds, and an offset without a colon."""
    at = datetime.fromtimestamp(at_s, UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}+0000"


def subject(alarm: Alarm, region: str) -> str:
    """Say state, alarm and region in at most 100 characters: a long name is cut."""
    start, end = f'{alarm["StateValue"]}: "', f'" in {REGION_NAMES.get(region, region)}'
    name = re.sub("[^ -~]+", "_", alarm["AlarmName"])
    room = MAX_SUBJECT - len(start) - len(end)
    return start + (name if len(name) <= room else name[: room - 3] + "...") + end


def notification(alarm: Alarm, *, old_state: str, account_id: str, region: str) -> str:
    """Tell of an alarm's state: JSON."""
    rule = alarm.get("AlarmRule")
    told: dict[str, Any] = {
        "AlarmName": alarm["AlarmName"],
        "AlarmDescription": alarm.get("AlarmDescription") or None,
        "AWSAccountId": account_id,
        "AlarmConfigurationUpdatedTimestamp": moment(alarm["AlarmConfigurationUpdatedTimestamp"]),
        "NewStateValue": alarm["StateValue"],
        "NewStateReason": alarm["StateReason"],
        "StateChangeTime": moment(alarm["StateUpdatedTimestamp"]),
        "Region": REGION_NAMES.get(region, region),
        "AlarmArn": alarm["AlarmArn"],
        "OldStateValue": old_state,
        "OKActions": list(alarm.get("OKActions") or ()),
        "AlarmActions": list(alarm.get("AlarmActions") or ()),
        "InsufficientDataActions": list(alarm.get("InsufficientDataActions") or ()),
    }
    if rule is None:
        told["Trigger"] = _trigger(alarm)
    else:
        del told["AlarmConfigurationUpdatedTimestamp"]  # a composite's notification has none
        told |= {"AlarmRule": rule, "TriggeringChildren": _triggering_children(alarm)}
    return json.dumps(told)


def state_update(alarm: Alarm, old: Alarm) -> str:
    """History data of a change of state: JSON."""
    return json.dumps({"version": "1.0", "oldState": _state(old), "newState": _state(alarm)})


def action(alarm: Alarm, arn: str, *, outcome: str, message: str | None, error: str | None) -> str:
    """History data of an action that was taken, failed or was suppressed: JSON."""
    return json.dumps(
        {
            "actionState": outcome,
            "stateUpdateTimestamp": int(alarm["StateUpdatedTimestamp"] * 1000),
            "notificationResource": arn,
            "publishedMessage": None if message is None else json.dumps({"default": message}),
            "error": error,
        }
    )


def _state(alarm: Alarm) -> dict[str, Any]:
    told = {"stateValue": alarm["StateValue"], "stateReason": alarm.get("StateReason")}
    if alarm.get("StateReasonData"):
        told["stateReasonData"] = _loaded(alarm["StateReasonData"])
    if alarm.get("ActionsSuppressedBy"):
        told["actionsSuppressedBy"] = alarm["ActionsSuppressedBy"]
        told["actionsSuppressedReason"] = alarm.get("ActionsSuppressedReason")
    return told


def _trigger(alarm: Alarm) -> dict[str, Any]:
    evaluation = {
        "Period": alarm.get("Period"),
        "EvaluationPeriods": alarm.get("EvaluationPeriods"),
        "DatapointsToAlarm": alarm.get("DatapointsToAlarm"),
        "ComparisonOperator": alarm.get("ComparisonOperator"),
        "Threshold": alarm.get("Threshold"),
        "TreatMissingData": alarm.get("TreatMissingData") or "",
        "EvaluateLowSampleCountPercentile": alarm.get("EvaluateLowSampleCountPercentile") or "",
    }
    if evaluation["DatapointsToAlarm"] is None:
        del evaluation["DatapointsToAlarm"]
    if alarm.get("Metrics"):
        del evaluation["Period"]
        return evaluation | {"Metrics": alarm["Metrics"]}
    extended = alarm.get("ExtendedStatistic")
    return {
        "MetricName": alarm.get("MetricName"),
        "Namespace": alarm.get("Namespace"),
        "StatisticType": "ExtendedStatistic" if extended else "Statistic",
        "Statistic": extended or str(alarm.get("Statistic") or "").upper(),
        "Unit": alarm.get("Unit") or None,
        "Dimensions": [
            {"value": dimension["Value"], "name": dimension["Name"]}
            for dimension in alarm.get("Dimensions") or ()
        ],
        **evaluation,
    }


def _triggering_children(alarm: Alarm) -> list[dict[str, Any]]:
    """Children as the reason's data has them: theirs may have changed since."""
    data = _loaded(alarm.get("StateReasonData") or "{}")
    told = data.get("triggeringAlarms", []) if isinstance(data, dict) else []
    return [
        {
            "Arn": child["arn"],
            "State": {"Value": child["state"]["value"], "Timestamp": child["state"]["timestamp"]},
        }
        for child in told
    ]


def _loaded(data: str) -> Any:
    """Load a caller's JSON; what is none stays text."""
    try:
        return json.loads(data)
    except ValueError:
        return data
