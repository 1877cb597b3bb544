"""SetAlarmState, PutMetricAlarm and PutCompositeAlarm as AWS has them, with their actions and their history.

Nothing is evaluated here: the sandbox's own evaluator decides, metric alarms and composites, and sets. A
composite with a suppressor holds the actions of a change; the evaluator says what holds them, and when they
are taken, by setting the state that it is in with a `StateReasonData` that has only `sandbox:heldBy`.
"""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from . import documents

logger = logging.getLogger("cloudwatch")

STATES = ("OK", "ALARM", "INSUFFICIENT_DATA")
HELD_BY = "sandbox:heldBy"
ACTIONS = {"ALARM": "AlarmActions", "OK": "OKActions", "INSUFFICIENT_DATA": "InsufficientDataActions"}
OK_STATUS = 200
# What the emulator's PutMetricAlarm and PutCompositeAlarm do not keep.
KEPT_OF_METRIC = ("Metrics", "ThresholdMetricId", "EvaluateLowSampleCountPercentile")
PERIODS_OF_SUPPRESSOR = ("ActionsSuppressorWaitPeriod", "ActionsSuppressorExtensionPeriod")
KEPT_OF_COMPOSITE = ("ActionsSuppressor", *PERIODS_OF_SUPPRESSOR)
# What an update of its configuration leaves as it is.
STATE_MEMBERS = (
    "StateReasonData",
    "StateTransitionedTimestamp",
    "ActionsSuppressedBy",
    "ActionsSuppressedReason",
)

Answer = tuple[int, dict[str, str], bytes]
Handler = Callable[..., Answer]


class Alarms:
    """The emulator's alarms; `cloudwatch` and `sns` are its modules."""

    def __init__(self, cloudwatch: Any, sns: Any) -> None:
        self._its = vars(cloudwatch)
        self._sns = sns
        self._put_metric: Handler = self._its["_put_metric_alarm"]
        self._put_composite: Handler = self._its["_put_composite_alarm"]

    def places(self) -> dict[str, Callable[..., Any]]:
        """What goes where in the emulator's module."""
        return {
            "_evaluate_alarm": lambda _alarm: None,
            "_evaluate_all_alarms": lambda: None,
            "_evaluate_parent_alarms": lambda _child, _seen=frozenset(): None,
            "_transition_composite": lambda *_told, **_more: None,
            "_record_history": lambda *_told, **_more: None,
            "_set_alarm_state": self.set_alarm_state,
            "_put_metric_alarm": self.put_metric_alarm,
            "_put_composite_alarm": self.put_composite_alarm,
        }

    def set_alarm_state(
        self,
        _params: Any,
        data: Mapping[str, Any],
        *_protocol: bool,
    ) -> Answer:
        """Set a state, whoever asks for it; if its value changes, record that and act."""
        name, state = data.get("AlarmName", ""), data.get("StateValue", "")
        alarm = self._find(name)
        if alarm is None:
            return self._refuse("ResourceNotFound", f"Alarm {name} not found", 404)
        if state not in STATES:
            problem = f"Value '{state}' at 'stateValue' failed to satisfy constraint"
            return self._refuse("ValidationError", problem, 400)
        told = _held_by(data.get("StateReasonData"))
        if told is not None:
            self._hold_on(alarm, told)
        else:
            self._set(alarm, state, data.get("StateReason") or "", data.get("StateReasonData"))
        return self._answer({})

    def put_metric_alarm(
        self,
        params: Any,
        data: Mapping[str, Any],
        *_protocol: bool,
    ) -> Answer:
        """Keep all that was put, and nothing that was not."""
        name = data.get("AlarmName", "")
        before = dict(self._its["_alarms"].get(name) or {})
        answer = self._put_metric(params, data, False, True)
        if answer[0] == OK_STATUS:
            alarm = self._its["_alarms"][name]
            self._keep(alarm, data, KEPT_OF_METRIC, before)
            for default in (
                "Statistic",
                "Period",
                "TreatMissingData",
                "Namespace",
                "MetricName",
                "Threshold",
            ):
                if default not in data:
                    alarm.pop(default, None)
        return answer

    def put_composite_alarm(
        self,
        params: Any,
        data: Mapping[str, Any],
        *_protocol: bool,
    ) -> Answer:
        """Keep the suppressor too. A new suppressor finds what is held, and decides about it.

        As on AWS it is an alarm that is there, and both periods come with it.
        """
        name = data.get("AlarmName", "")
        suppressor = data.get("ActionsSuppressor")
        if suppressor and self._find(_name(suppressor)) is None:
            return self._refuse("ValidationError", f"Suppressor alarm {suppressor} does not exist", 400)
        if suppressor and any(data.get(period) is None for period in PERIODS_OF_SUPPRESSOR):
            problem = "ActionsSuppressor needs ActionsSuppressorWaitPeriod and ...ExtensionPeriod"
            return self._refuse("ValidationError", problem, 400)
        before = dict(self._its["_composite_alarms"].get(name) or {})
        answer = self._put_composite(params, data, False, True)
        if answer[0] == OK_STATUS:
            alarm = self._its["_composite_alarms"][name]
            self._keep(alarm, data, KEPT_OF_COMPOSITE, before)
        return answer

    def _keep(
        self,
        alarm: dict[str, Any],
        data: Mapping[str, Any],
        members: tuple[str, ...],
        before: Mapping[str, Any],
    ) -> None:
        alarm |= {member: data[member] for member in members if data.get(member) is not None}
        alarm |= {member: before[member] for member in STATE_MEMBERS if member in before}
        now = _now()
        alarm["AlarmConfigurationUpdatedTimestamp"] = now
        if not before:
            alarm["StateUpdatedTimestamp"] = now
        kind = "Update" if before else "Create"
        self._record(
            alarm,
            "ConfigurationUpdate",
            f'Alarm "{alarm["AlarmName"]}" {"updated" if before else "created"}',
            json.dumps({"version": "1.0", "type": kind}),
            now,
        )

    def _set(self, alarm: dict[str, Any], state: str, reason: str, reason_data: str | None) -> None:
        old = dict(alarm)
        now = _now()
        alarm |= {"StateValue": state, "StateReason": reason, "StateUpdatedTimestamp": now}
        alarm.pop("StateReasonData", None)
        if reason_data:
            alarm["StateReasonData"] = reason_data
        if state == old["StateValue"]:
            return
        alarm["StateTransitionedTimestamp"] = now
        self._tell_held(alarm, self._held_at_first(alarm))
        summary = f"Alarm updated from {old['StateValue']} to {state}"
        self._record(alarm, "StateUpdate", summary, documents.state_update(alarm, old), now)
        self._act(alarm, old["StateValue"], now)

    def _held_at_first(self, alarm: Mapping[str, Any]) -> str | None:
        """What holds the actions of a change that is just made; later it is the evaluator's to say."""
        suppressor = self._find(_name(alarm.get("ActionsSuppressor") or ""))
        if suppressor is None:
            return None
        if suppressor["StateValue"] == "ALARM":
            return "Alarm"
        return "WaitPeriod" if alarm.get("ActionsSuppressorWaitPeriod") else None

    def _hold_on(self, alarm: dict[str, Any], told: str) -> None:
        """Go on holding, for whatever reason it is now, or take the actions that were held."""
        if not alarm.get("ActionsSuppressedBy"):
            return
        self._tell_held(alarm, told or None)
        if not told:
            alarm["StateUpdatedTimestamp"] = now = _now()
            self._act(alarm, self._state_before(alarm), now)

    def _tell_held(self, alarm: dict[str, Any], by: str | None) -> None:
        alarm.pop("ActionsSuppressedBy", None)
        alarm.pop("ActionsSuppressedReason", None)
        if by is not None:
            suppressor = self._find(_name(alarm.get("ActionsSuppressor") or ""))
            what = suppressor["AlarmArn"] if by == "Alarm" and suppressor is not None else by
            alarm |= {"ActionsSuppressedBy": by, "ActionsSuppressedReason": f"Actions suppressed by {what}"}

    def _state_before(self, alarm: Mapping[str, Any]) -> str:
        """The state before the last change, which history has."""
        for entry in reversed(self._its["_history_entries"]()):
            if entry["AlarmName"] == alarm["AlarmName"] and entry["HistoryItemType"] == "StateUpdate":
                return str(json.loads(entry["HistoryData"])["oldState"]["stateValue"])
        return "INSUFFICIENT_DATA"

    def _act(self, alarm: Mapping[str, Any], old_state: str, now: float) -> None:
        """Take the actions of the state that it is in, or record that they are suppressed."""
        if not alarm.get("ActionsEnabled", True):
            return
        for arn in alarm.get(ACTIONS[alarm["StateValue"]]) or ():
            if alarm.get("ActionsSuppressedBy"):
                data = documents.action(alarm, arn, outcome="Suppressed", message=None, error=None)
                self._record(alarm, "Action", f"Suppressed action {arn}", data, now)
            else:
                self._take(alarm, arn, old_state, now)

    def _take(self, alarm: Mapping[str, Any], arn: str, old_state: str, now: float) -> None:
        message = documents.notification(
            alarm,
            old_state=old_state,
            account_id=self._its["get_account_id"](),
            region=self._its["get_region"](),
        )
        error = self._publish(alarm, arn, message)
        if error is None:
            summary, outcome = f"Successfully executed action {arn}", "Succeeded"
        else:
            summary, outcome = f'Failed to execute action {arn}. Received error: "{error}"', "Failed"
        published = message if error is None else None
        data = documents.action(alarm, arn, outcome=outcome, message=published, error=error)
        self._record(alarm, "Action", summary, data, now)

    def _publish(self, alarm: Mapping[str, Any], arn: str, message: str) -> str | None:
        """Publish to a topic; None, or what was wrong."""
        if not self._its["_is_sns_action_arn"](arn):
            return "the sandbox takes no other actions than SNS topics"
        group = hashlib.sha256(alarm["AlarmArn"].encode()).hexdigest() if arn.endswith(".fifo") else ""
        unique = f"{alarm['AlarmArn']}{alarm['StateUpdatedTimestamp']}" if group else ""
        try:
            published = self._sns.publish_internal(
                arn,
                message,
                documents.subject(alarm, self._its["get_region"]()),
                message_group_id=group,
                message_deduplication_id=hashlib.sha256(unique.encode()).hexdigest() if unique else "",
            )
        except self._sns.SnsPublishError as problem:
            return str(problem)
        return f"Topic does not exist: {arn}" if published is None else None

    def _record(self, alarm: Mapping[str, Any], kind: str, summary: str, data: str, at_s: float) -> None:
        self._its["_history_entries"]().append(
            {
                "AlarmName": alarm["AlarmName"],
                "AlarmType": "CompositeAlarm" if "AlarmRule" in alarm else "MetricAlarm",
                "Timestamp": at_s,
                "HistoryItemType": kind,
                "HistorySummary": summary,
                "HistoryData": data,
            }
        )

    def _find(self, name: str) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self._its["_alarms"].get(name)
        return found or self._its["_composite_alarms"].get(name)

    def _answer(self, told: Mapping[str, Any]) -> Answer:
        answer: Answer = self._its["_json_ok"](told)
        return answer

    def _refuse(self, code: str, problem: str, status: int) -> Answer:
        answer: Answer = self._its["_error"](code, problem, status, use_json=True)
        return answer


def _held_by(reason_data: str | None) -> str | None:
    """What the evaluator says of held actions: a reason, "" to take them; None when it says nothing."""
    if not reason_data or HELD_BY not in reason_data:
        return None
    try:
        told = json.loads(reason_data)
    except ValueError:
        return None
    return str(told[HELD_BY]) if isinstance(told, dict) and HELD_BY in told else None


def _name(reference: str) -> str:
    return reference.split(":alarm:", 1)[-1] if reference.startswith("arn:") else reference


def _now() -> float:
    return round(time.time(), 3)
