"""Which stretch of time an alarm looks at, and when it looks again.

Pure. The rule of "Alarm evaluation" in CloudWatch's user guide: an alarm whose period is a minute or longer
is evaluated every minute on a window that slides by a minute (period 5 minutes, evaluated at the end of
minute 6: minutes 2 to 6), so its periods do not stand on the clock's multiples of five. One with a shorter
period is evaluated every 10 seconds, one that looks back over more than a day every hour. Only periods that
are over count, and `settle_s` later: until then a metric may still come in (EMF says within 5 s).

More datapoints than `n` are fetched, so that real ones stand in for missing ones. AWS does not say how many;
its own tables have 5 for an `n` of 3, so here it is two more.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

from sandbox.alarms.definitions import Rule

EXTRA_DATAPOINTS: Final = 2
_MINUTE_S: Final = 60
_HOUR_S: Final = 3_600
_DAY_S: Final = 86_400
_HIGH_RESOLUTION_STEP_S: Final = 10


def window_end(rule: Rule, now: datetime, *, settle_s: float) -> datetime:
    """When the latest period that counts is over; as long as this stays, nothing new is to decide."""
    period_s = rule.series.period_s
    if period_s < _MINUTE_S:
        step_s = min(period_s, _HIGH_RESOLUTION_STEP_S)
    elif period_s * rule.n > _DAY_S:
        step_s = _HOUR_S
    else:
        step_s = _MINUTE_S
    settled_s = int(now.timestamp() - settle_s)
    return datetime.fromtimestamp(settled_s - settled_s % step_s, UTC)


def window_starts(rule: Rule, end: datetime) -> list[datetime]:
    """Begin of each period of the evaluation range, the oldest first."""
    period = timedelta(seconds=rule.series.period_s)
    return [end - back * period for back in range(rule.n + EXTRA_DATAPOINTS, 0, -1)]
