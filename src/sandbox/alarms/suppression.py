"""Whether the actions of a composite alarm wait, and for what.

`WaitPeriod`, `ExtensionPeriod`, or a suppressor in ALARM. Pure, and without memory: times and states are
those that DescribeAlarms tells, so a restart forgets nothing. The rules are those of "Suppressing composite
alarm actions". That page has actions taken "based on their current states" when a period ends; here only
those of a change whose actions were held are: a suppressor that comes and goes while a composite just stays
in ALARM rings nobody twice.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sandbox.alarms.definitions import State

Phase = Literal["WaitPeriod", "ExtensionPeriod", "Alarm"]


@dataclass(frozen=True, slots=True)
class Held:
    """A change whose actions were held by `phase` until now."""

    phase: str
    changed_at: datetime
    wait_s: int
    extension_s: int


@dataclass(frozen=True, slots=True)
class Suppressor:
    """The alarm that suppresses, and since when it is in its state."""

    state: State
    since: datetime


def held_by(held: Held, suppressor: Suppressor | None, now: datetime) -> Phase | None:
    """What holds the actions from now on; None is: they are taken.

    Periods count from the changes, not from when somebody looked. A suppressor that is gone holds nothing.
    """
    if suppressor is None:
        return None
    if suppressor.state == "ALARM":
        return "Alarm"
    if held.phase == "WaitPeriod":
        ends_at = held.changed_at + timedelta(seconds=held.wait_s)
        return "WaitPeriod" if now < ends_at else None
    ends_at = suppressor.since + timedelta(seconds=held.extension_s)
    return "ExtensionPeriod" if now < ends_at else None
