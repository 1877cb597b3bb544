"""A composite alarm's state comes with the children that gave it."""

import json
from datetime import UTC, datetime, timedelta

from sandbox.alarms.composing import compose, still_held_by
from sandbox.alarms.composites import parse
from sandbox.alarms.definitions import CompositeAlarm, State, Status

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
ARN = "arn:aws:cloudwatch:us-east-1:000000000000:alarm:"


def status(name: str, state: State, *, minutes_ago: float) -> Status:
    return Status(name, ARN + name, state, "", NOW - timedelta(minutes=minutes_ago))


def composite(state: State, *, minutes_ago: float = 10, is_new: bool = False) -> CompositeAlarm:
    return CompositeAlarm(
        status=status("c", state, minutes_ago=minutes_ago),
        rule="",
        suppressor=ARN + "s",
        wait_s=60,
        extension_s=60,
        held_by="WaitPeriod",
        is_new=is_new,
    )


def test_the_child_that_changed_last_is_the_reason_and_older_ones_are_not_named() -> None:
    children = {
        "old": status("old", "ALARM", minutes_ago=60),
        "first": status("first", "ALARM", minutes_ago=3),
        "last": status("last", "ALARM", minutes_ago=1),
        "fine": status("fine", "OK", minutes_ago=0),
    }
    rule = parse("ALARM(old) AND ALARM(first) AND (ALARM(last) OR ALARM(fine))")
    decision = compose(composite("OK"), rule, children)
    assert decision.state == "ALARM"
    assert decision.reason == f"{ARN}last transitioned to ALARM at Sunday 29 November, 2026 11:59:00 UTC"
    assert json.loads(decision.data) == {
        "triggeringAlarms": [
            {"arn": ARN + "last", "state": {"value": "ALARM", "timestamp": "2026-11-29T11:59:00.000+0000"}},
            {"arn": ARN + "first", "state": {"value": "ALARM", "timestamp": "2026-11-29T11:57:00.000+0000"}},
        ]
    }


def test_a_new_one_says_that_it_was_created() -> None:
    children = {"a": status("a", "OK", minutes_ago=5)}
    decision = compose(composite("INSUFFICIENT_DATA", is_new=True), parse("ALARM(a)"), children)
    assert decision.reason == f"{ARN}c was created and its alarm rule evaluates to OK"


def test_a_rule_without_children_was_updated() -> None:
    decision = compose(composite("OK"), parse("TRUE"), {})
    assert (decision.state, decision.reason) == (
        "ALARM",
        f"{ARN}c was updated and its alarm rule evaluates to ALARM",
    )


def test_a_suppressor_is_found_by_its_arn() -> None:
    alarm = composite("ALARM", minutes_ago=0)
    suppressor = {"s": status("s", "ALARM", minutes_ago=5)}
    assert still_held_by(alarm, suppressor, NOW) == "Alarm"
    assert still_held_by(alarm, {}, NOW) is None
