"""Which hours a run computes, and when an hour is closed. Pure.

An hour is computed again at every run until it is closed: the running one as far as it is, a past one because
late rows may still come. It closes when it was read whole long enough after its end. One of which not all can
be known (the ledger cannot be read, say, only CloudWatch's metrics) waits for that as long as the automatic
run looks back at it, and closes at last labelled as what it is. A price that becomes known after an hour was
closed needs a rerun by hand.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from llmplatform.aws.tables import REQUEST_LEDGER
from llmplatform.costs import HourState, HourStatus
from llmplatform.errors import ConfigFault

HOUR: Final = timedelta(hours=1)

LEDGER_KEEPS: Final = timedelta(days=REQUEST_LEDGER.retention_days)
"""An hour that began before is gone from the ledger in part: computing it again would lose what is known."""

_FORM: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d", re.ASCII)


@dataclass(frozen=True, slots=True)
class HourRules:
    """How long hours stay open. Raises ConfigFault where no hour could ever close."""

    close_after: timedelta = timedelta(hours=6)
    """From an hour's end: rows that come later are not in its cost."""
    look_back: timedelta = timedelta(hours=72)
    """How far the automatic run goes back. A new platform's first run begins there as well: nobody knows the
    oldest row, and empty hours cost a few reads."""

    def __post_init__(self) -> None:
        if self.close_after < timedelta(0):
            raise ConfigFault("COST_CLOSE_AFTER_H: an hour cannot close before it ends")
        if self.look_back < self.close_after + 2 * HOUR:
            raise ConfigFault("COST_LOOK_BACK_H: must be two hours longer than COST_CLOSE_AFTER_H at least")


@dataclass(frozen=True, slots=True)
class Plan:
    """The hours of an automatic run."""

    hours: tuple[datetime, ...]
    """Oldest first; the last is the running one."""
    left_open: tuple[datetime, ...]
    """Older hours, as far back as statuses are known, that were never computed, or computed and never closed:
    to be computed by hand."""


def hour_of(moment: datetime) -> datetime:
    """The start of the UTC hour that a moment is in."""
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def midnight_of(moment: datetime) -> datetime:
    """The start of the UTC day that a moment is in."""
    return hour_of(moment).replace(hour=0)


def hours_due(now: datetime, statuses: Mapping[datetime, HourStatus], rules: HourRules) -> Plan:
    """The hours to compute at `now`: all within the look-back that are not closed, the running one too."""
    running = hour_of(now)
    first = hour_of(now - rules.look_back)
    count = (running - first) // HOUR + 1
    within = (first + at * HOUR for at in range(count))
    oldest = min(statuses, default=first)
    older = (oldest + at * HOUR for at in range((first - oldest) // HOUR))

    def is_due(hour: datetime) -> bool:
        return hour not in statuses or not statuses[hour].closed

    return Plan(hours=tuple(filter(is_due, within)), left_open=tuple(filter(is_due, older)))


def state_after(hour: datetime, read_at: datetime, rules: HourRules, *, whole: bool) -> HourState:
    """Whether an hour is closed by a run that began to read its usage at `read_at`.

    `whole` says that all of it could be known: from the ledger, of everybody, with every instance.
    """
    settled = hour + HOUR + rules.close_after
    if not whole:
        # In the last hours of the look-back, so that more than one run can do it.
        settled = max(settled, hour + rules.look_back - rules.close_after)
    return "closed" if read_at >= settled else "open"


def asked_hours(
    now: datetime, *, hour: str | None = None, first: str | None = None, last: str | None = None
) -> tuple[datetime, ...]:
    """The hours that `--hour`, or `--from` and `--to`, ask for, both ends included; without `--to` until now.

    Empty when nothing is asked for. Raises ConfigFault that names the option and the form.
    """
    if hour is not None and (first is not None or last is not None):
        raise ConfigFault("--hour: goes without --from and --to")
    if hour is not None:
        return (_known_hour(hour, "--hour", now),)
    if first is None:
        if last is not None:
            raise ConfigFault("--to: needs --from")
        return ()
    start = _known_hour(first, "--from", now)
    end = hour_of(now) if last is None else _known_hour(last, "--to", now)
    if end < start:
        raise ConfigFault("--to: is before --from")
    return tuple(start + at * HOUR for at in range((end - start) // HOUR + 1))


def computed_when_over(status: HourStatus) -> bool:
    """Whether an hour was computed after its end, so that all of it was there to be seen."""
    return status.computed_at is not None and status.computed_at >= status.hour + HOUR


def cost_age_s(now: datetime, statuses: Mapping[datetime, HourStatus]) -> float | None:
    """Seconds since the end of the newest hour that was computed after it was over; None before the first."""
    ends = [hour + HOUR for hour, status in statuses.items() if status.run and computed_when_over(status)]
    return (now - max(ends)).total_seconds() if ends else None


def _known_hour(text: str, option: str, now: datetime) -> datetime:
    hour = _parse(text, option)
    if hour > now:
        raise ConfigFault(f"{option}: {text} has not begun")
    if hour < now - LEDGER_KEEPS:
        raise ConfigFault(f"{option}: the ledger keeps {LEDGER_KEEPS.days} days, {text} is older")
    return hour


def _parse(text: str, option: str) -> datetime:
    try:
        if _FORM.fullmatch(text):
            return datetime.fromisoformat(f"{text}:00+00:00")
    except ValueError:
        pass
    raise ConfigFault(f"{option}: must be an hour in UTC such as 2026-11-23T20")
