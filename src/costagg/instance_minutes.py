"""Datapoints of instances to the number of them in each minute of an hour, gaps filled.

Metrics have gaps: a datapoint is late, or lost. An instance that is silent is billed all the same, so a gap
carries on what was before it, unless the description of the endpoint says that there was none: a count that
is too high shows in the reconciliation, one of 0 would be lost without a word. Pure; who asks is `instances`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from costagg.hours import HOUR
from costagg.usage import MINUTES, InstanceSource
from llmplatform.metric_queries import MINUTE_S, Values

MINUTE: Final = timedelta(minutes=1)
AROUND: Final = HOUR
"""So much before and after an hour is looked at, to tell a gap at its edge from a beginning or an end."""

Metered = Mapping[datetime, int]
"""Instances by minute, as far as they were metered."""


@dataclass(frozen=True, slots=True)
class Description:
    """What an endpoint is now."""

    created_at: datetime
    instances: Mapping[str, int | None]
    """By variant; None where it has no instances of its own, as a serverless one."""


Described = Description | Literal["gone", "unknown"]


def metered_minutes(samples: Values, period_s: int, metric_period_s: int) -> Iterator[tuple[datetime, int]]:
    """Instances by minute, of the number of datapoints in each period.

    An instance publishes one every `metric_period_s`. Of a period longer than a minute, its instance minutes
    are spread evenly, the remainder on the last ones.
    """
    minutes = period_s // MINUTE_S
    for start, count in samples.items():
        instance_minutes = round(count * min(period_s, metric_period_s) / MINUTE_S)
        each, rest = divmod(instance_minutes, minutes)
        for at in range(minutes):
            yield start + at * MINUTE, each + (at >= minutes - rest)


def tells_all(metered: Metered, hour: datetime, over: int) -> bool:
    """Whether the `over` minutes of an hour are known without a description: no gap is at an edge."""
    known = _known(metered, hour)
    return not over or (bool(known) and known[0] <= hour and hour + (over - 1) * MINUTE <= known[-1])


def instances_by_minute(
    metered: Metered, hour: datetime, over: int, *, variant: str, described: Described
) -> tuple[tuple[int | None, ...], InstanceSource]:
    """The sixty counts of an hour of which `over` minutes have passed, 0 in the others; and whence.

    `described` is looked at only where `tells_all` does not hold.
    """
    to_come = (0,) * (MINUTES - over)
    if not over:
        return to_come, "metered"
    if known := _known(metered, hour):
        return (*_carried(metered, hour, over, (known[0], known[-1]), described), *to_come), "metered"
    if described == "unknown":
        return (*(None,) * over, *to_come), "unknown"
    # Not one datapoint: as many as there are now, for as long as this endpoint has been there.
    now = 0 if described == "gone" else described.instances.get(variant, 0)
    counts = [now if _existed(described, hour + at * MINUTE) else 0 for at in range(over)]
    return (*counts, *to_come), "unknown" if None in counts else "described"


def _known(metered: Metered, hour: datetime) -> list[datetime]:
    """Metered minutes of an hour and around it, in order; none if there is none in the hour itself."""
    if not any(hour + at * MINUTE in metered for at in range(MINUTES)):
        return []
    minutes = (hour - AROUND + at * MINUTE for at in range(3 * MINUTES))
    return [minute for minute in minutes if minute in metered]


def _carried(
    metered: Metered, hour: datetime, over: int, between: tuple[datetime, datetime], described: Described
) -> Iterator[int]:
    """Each gap as the minute before it, the first one as the first that is known.

    Before the first datapoint and after the last, only as long as the endpoint of now was there: its last
    minutes are often late. If nobody can say, it was.
    """
    first, last = between
    count = metered[first]
    minute = first
    while minute < hour:
        count = metered.get(minute, count)
        minute += MINUTE
    for at in range(over):
        minute = hour + at * MINUTE
        count = metered.get(minute, count)
        yield count if first <= minute <= last or _existed(described, minute) else 0


def _existed(described: Described, minute: datetime) -> bool:
    """Whether the endpoint was there in that minute, as far as its description tells."""
    if isinstance(described, Description):
        return minute + MINUTE > described.created_at
    return described == "unknown"
