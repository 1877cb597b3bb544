"""What is expected of an alarm, what became of it, and whether that will do. Pure.

Times are those of the clocks that saw it: CloudWatch's for a change of state, the receiver's for a message,
the drill's for the rest; on a laptop all three are one.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from watch.alarming.definitions import NOTICE, PREFIX, rule_named
from watch.alarming.receiving import Notification

Since = Literal["broken", "healed"]

HEARD_WITHIN_S: Final = 45.0
"""From an alarm's change to its message."""
NOTICE_WITHIN_S: Final = 180.0
"""The same where a notice waits for its suppressor: two minutes of CloudWatch's, and the above."""
ALL_CLEAR_WITHIN_S: Final = 360.0
"""From quiet to the message that it is over: a notice waits for five minutes after its suppressor."""
SHOWN_WITHIN_S: Final = 60.0
"""From an alarm's change to the console's page."""

_THRESHOLD: Final = re.compile(r"\b(?:above|below) -?[\d.,]+")


@dataclass(frozen=True, slots=True)
class Expected:
    """An alarm that has to ring, and how soon."""

    alarm: str
    """Its name without what begins all of ours: `endpoint/large/AllTraffic/gpu-failing`."""
    within_s: float
    """From the moment of `since` to the alarm's change."""
    quiet_within_s: float | None
    """From the moment at which all was well again to its end; None is not waited for: its rule keeps it on
    for a quarter of an hour, so that what flaps rings once."""
    since: Since = "broken"

    @property
    def name(self) -> str:
        """The whole name."""
        return f"{PREFIX}{self.alarm}"

    @property
    def title(self) -> str:
        """What is wrong, in words."""
        rule = rule_named(self.name)
        return self.alarm if rule is None else rule.title

    @property
    def about(self) -> tuple[str, ...]:
        """Words that a message must have in it for a person to know whom it is about."""
        match self.alarm.split("/"):
            case ["platform", _]:
                return ("the platform",)
            case ["endpoint", endpoint, variant, _]:
                return (endpoint, variant)
            case [_, *names, _]:
                return tuple(names)
            case _:
                return (self.alarm,)


@dataclass(frozen=True, slots=True)
class Heard:
    """A message, and when it was there."""

    at: datetime
    topic: str
    said: Notification


@dataclass(frozen=True, slots=True)
class Shown:
    """What the console said of an alarm."""

    at: datetime
    line: str
    url: str
    """Of the page with that line."""
    page_url: str
    """Of the alarm's own page."""
    page_line: str
    unanswered: tuple[str, ...] = ()
    """Links of the alarm's page and of its message that do not answer, each with its status."""


@dataclass(slots=True)
class Course:
    """One alarm from the fault to the all-clear; None is what did not happen."""

    expected: Expected
    has_notice: bool
    """Whether a composite speaks for it, which waits for its suppressor."""
    since: datetime
    rang_at: datetime | None = None
    reason: str = ""
    heard: Heard | None = None
    shown: Shown | None = None
    quiet_at: datetime | None = None
    over: Heard | None = None
    healed_at: datetime | None = None

    @property
    def told_as(self) -> str:
        """The name under which people are told, and the console lists it."""
        return f"{self.expected.name}{NOTICE}" if self.has_notice else self.expected.name

    @property
    def heard_within_s(self) -> float:
        """From its change to its message, at most."""
        return NOTICE_WITHIN_S if self.has_notice else HEARD_WITHIN_S

    def problems(self, console_url: str) -> tuple[str, ...]:
        """Whatever was not as it has to be, in the order of time; nothing where all was."""
        expected, found = self.expected, list[str]()
        if self.rang_at is None:
            return (f"did not ring within {expected.within_s:g} s",)
        if (took_s := seconds(self.since, self.rang_at)) > expected.within_s:
            found.append(f"rang after {took_s:.0f} s, more than {expected.within_s:g} s")
        if self.heard is None:
            found.append(f"no message within {self.heard_within_s:g} s")
        else:
            lacking = lacking_in(self.heard.said, expected, console_url)
            found += [f"the message does not name {what}" for what in lacking]
        if self.shown is None:
            found.append(f"the console did not show it within {SHOWN_WITHIN_S:g} s")
        else:
            found += [f"a link leads nowhere: {link}" for link in self.shown.unanswered]
        if self.healed_at is not None and expected.quiet_within_s is not None:
            found += self._of_the_end(self.healed_at, expected.quiet_within_s)
        return tuple(found)

    def _of_the_end(self, healed_at: datetime, within_s: float) -> Iterable[str]:
        if self.quiet_at is None:
            yield f"still rings {within_s:g} s after all is well"
            return
        if (took_s := seconds(healed_at, self.quiet_at)) > within_s:
            yield f"was quiet after {took_s:.0f} s, more than {within_s:g} s"
        if self.over is None:
            yield "no message that it is over"


@dataclass(slots=True)
class Incident:
    """One scenario: what was broken when, and the alarms about it."""

    name: str
    broken: str
    broken_at: datetime
    courses: Sequence[Course] = ()
    healed: str = ""
    healed_at: datetime | None = None
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """Beyond those of its alarms."""

    def all_problems(self, console_url: str) -> tuple[str, ...]:
        """Of all its alarms, and its own."""
        of_alarms = [
            f"{course.expected.alarm}: {problem}"
            for course in self.courses
            for problem in course.problems(console_url)
        ]
        return (*self.problems, *of_alarms)


def lacking_in(said: Notification, expected: Expected, console_url: str) -> tuple[str, ...]:
    """What a person would look for in a message and not find."""
    text = said.description
    checks = {
        **{f"{word}": word in text for word in expected.about},
        "what is wrong": expected.title in text,
        "a threshold": _THRESHOLD.search(text) is not None,
        "the view": f"View: {console_url}/alarms/" in text,
        "the runbook": f"Runbook: {console_url}/runbooks/" in text,
        "since when": bool(said.changed_at),
        "why": bool(said.reason),
    }
    return tuple(what for what, found in checks.items() if not found)


def seconds(first: datetime, last: datetime) -> float:
    """From one to the other."""
    return (last - first).total_seconds()


def facts_of(incident: Incident, console_url: str) -> dict[str, Any]:
    """The same for programs: times as text, what did not happen as null."""
    return {
        "scenario": incident.name,
        "broken": incident.broken,
        "broken_at": _text(incident.broken_at),
        "healed": incident.healed,
        "healed_at": _text(incident.healed_at),
        "alarms": [_course_facts(course, console_url) for course in incident.courses],
        "notes": incident.notes,
        "problems": list(incident.all_problems(console_url)),
    }


def _course_facts(course: Course, console_url: str) -> dict[str, Any]:
    return {
        "alarm": course.expected.name,
        "title": course.expected.title,
        "since": _text(course.since),
        "rang_at": _text(course.rang_at),
        "after_s": None if course.rang_at is None else round(seconds(course.since, course.rang_at), 1),
        "within_s": course.expected.within_s,
        "reason": course.reason,
        "message_at": _text(course.heard.at if course.heard else None),
        "message": course.heard.said.text() if course.heard else None,
        "console_at": _text(course.shown.at if course.shown else None),
        "console": course.shown.line if course.shown else None,
        "console_url": course.shown.url if course.shown else None,
        "quiet_at": _text(course.quiet_at),
        "over_at": _text(course.over.at if course.over else None),
        "problems": list(course.problems(console_url)),
    }


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="milliseconds")
