"""Decides one metric alarm from its datapoints, as CloudWatch documents it.

Pure: datapoints, time and the state so far are given. The rules are those of "Configuring how CloudWatch
alarms treat missing data": real datapoints of the evaluation range come first, what is missing is filled in
as few times as possible, and an alarm that is all breaching rings early only once its oldest datapoint is `m`
old.

Where that page is silent (missing is `missing`, all that is there breaches, yet too little and too young for
ALARM: `- - - - X`), its tables of 2018 say INSUFFICIENT_DATA, and so does this.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sandbox.alarms.definitions import Comparison, Rule, State
from sandbox.alarms.wording import Evidence, insufficient, reason_data, threshold_crossed

_BREACHES: Final[Mapping[Comparison, Callable[[float, float], bool]]] = {
    "GreaterThanThreshold": operator.gt,
    "GreaterThanOrEqualToThreshold": operator.ge,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}


@dataclass(frozen=True, slots=True)
class Point:
    """One period of the evaluation range; `value` None where the metric has nothing."""

    at: datetime
    value: float | None
    samples: float | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """A state with what SetAlarmState tells of it."""

    state: State
    reason: str
    data: str


def decide(rule: Rule, points: Sequence[Point], *, state: State, now: datetime) -> Decision:
    """Decide on `points`, the oldest first, one for each period of the evaluation range.

    A state that is to stay comes back as it is, without words.
    """
    there = [point for point in points if point.value is not None][-rule.n :]
    if there and sum(point.samples or 0 for point in there) < rule.enough_samples:
        return Decision(state, "", "")
    breaching = [point for point in there if breaches(rule, point)]
    filled = rule.n - len(there)
    decided = _decided(rule, points, there, breaching, filled) or state
    if decided == state:
        return Decision(state, "", "")
    evidence = Evidence(
        rule=rule,
        received=[(point.at, point.value or 0.0) for point in there],
        breaching=[(point.at, point.value or 0.0) for point in breaching],
        filled=filled,
        now=now,
    )
    if decided == "INSUFFICIENT_DATA":
        return Decision(decided, insufficient(evidence), reason_data(evidence))
    return Decision(decided, threshold_crossed(evidence, decided), reason_data(evidence))


def breaches(rule: Rule, point: Point) -> bool:
    """Tell whether a datapoint that is there lies beyond the threshold."""
    return point.value is not None and _BREACHES[rule.comparison](point.value, rule.threshold)


def _decided(
    rule: Rule, points: Sequence[Point], there: list[Point], breaching: list[Point], filled: int
) -> State | None:
    """Decide; None is: stay."""
    counted = len(breaching) + (filled if rule.missing == "breaching" else 0)
    if counted >= rule.m:
        return "ALARM"
    if filled == 0 or rule.missing in {"breaching", "notBreaching"} or len(breaching) < len(there):
        return "OK"
    if rule.missing == "ignore":
        return None
    return "ALARM" if there and _age(points, there[0]) >= rule.m else "INSUFFICIENT_DATA"


def _age(points: Sequence[Point], point: Point) -> int:
    """How many periods ago, the latest being 1."""
    return len(points) - points.index(point)
