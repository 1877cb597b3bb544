"""Decides composite alarms on the states of others: what changes, why, and whose actions are held no longer.

Pure. Rules are read by `composites`, what holds actions is `suppression`'s.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime

from sandbox.alarms.composites import Node, agreeing, evaluate, name_of
from sandbox.alarms.deciding import Decision
from sandbox.alarms.definitions import CompositeAlarm, State, Status
from sandbox.alarms.suppression import Held, Phase, Suppressor, held_by
from sandbox.alarms.wording import moment


def compose(alarm: CompositeAlarm, rule: Node, statuses: Mapping[str, Status]) -> Decision:
    """Decide a composite alarm; the state that it has comes back when nothing changes."""
    states = {name: status.state for name, status in statuses.items()}
    holds = evaluate(rule, states)
    state: State = "ALARM" if holds else "OK"
    speaking = [statuses[name] for name in agreeing(rule, states, holds) if name in statuses]
    newest_first = sorted(speaking, key=lambda child: child.transitioned_at, reverse=True)
    newer = [child for child in newest_first if child.transitioned_at > alarm.status.transitioned_at]
    triggering = newer or newest_first
    if alarm.is_new or not triggering:
        verb = "created" if alarm.is_new else "updated"
        reason = f"{alarm.status.arn} was {verb} and its alarm rule evaluates to {state}"
    else:
        child = triggering[0]
        at = child.transitioned_at.astimezone(UTC)
        reason = f"{child.arn} transitioned to {child.state} at {at:%A %d %B, %Y %H:%M:%S} UTC"
    data = {
        "triggeringAlarms": [
            {
                "arn": child.arn,
                "state": {"value": child.state, "timestamp": moment(child.transitioned_at)},
            }
            for child in triggering
        ]
    }
    return Decision(state, reason, json.dumps(data, separators=(",", ":")))


def still_held_by(alarm: CompositeAlarm, statuses: Mapping[str, Status], now: datetime) -> Phase | None:
    """What holds the actions of an alarm whose actions are held; None is that they are taken now."""
    suppressor = statuses.get(name_of(alarm.suppressor)) if alarm.suppressor else None
    held = Held(
        phase=alarm.held_by or "WaitPeriod",
        changed_at=alarm.status.transitioned_at,
        wait_s=alarm.wait_s,
        extension_s=alarm.extension_s,
    )
    since = Suppressor(suppressor.state, suppressor.transitioned_at) if suppressor else None
    return held_by(held, since, now)
