"""The time that a view shows, as its URL says it: `?last=3h`, or `?from=…&to=…`, and `&compare=week`. Pure.

Which period of CloudWatch goes with it: as fine as makes a chart of at most 300 points, and as is still kept
(CloudWatch User Guide, metrics retention: 1 minute for 15 days, 5 minutes for 63, 1 hour for 455). Both ends
stand on whole periods, so that the same question asked twice within one is the same question.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Self

from llmplatform.errors import MalformedRequest

LAST: Final[Mapping[str, timedelta]] = {
    "15m": timedelta(minutes=15),
    "1h": timedelta(hours=1),
    "3h": timedelta(hours=3),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}
DEFAULT_LAST: Final = "3h"
WEEK: Final = timedelta(days=7)
MOST_POINTS: Final = 300
KEPT_FOR: Final = timedelta(days=455)
_PERIODS_S: Final = (60, 300, 900, 1_800, 3_600, 10_800, 21_600, 86_400, 604_800)
_KEPT: Final = ((timedelta(days=15), 60), (timedelta(days=63), 300), (KEPT_FOR, 3_600))
"""How old a datapoint may be, and the finest period that it then still has."""
_SHORTEST: Final = timedelta(minutes=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE: Final = "%Y-%m-%dT%H:%MZ"


@dataclass(frozen=True, slots=True)
class TimeRange:
    """From `first` until before `end`, in steps of `period_s`."""

    first: datetime
    end: datetime
    period_s: int
    last: str | None = None
    """As it was asked for, where the range ends now."""
    compare_week: bool = False
    """Whether the same time a week before is asked for too."""
    unended: bool = False
    """Whether its last period is not over: what is added up in it is less than will be."""

    @classmethod
    def asked(cls, query: Mapping[str, str], now: datetime, *, default: str = DEFAULT_LAST) -> Self:
        """The range that a query asks for. Raises MalformedRequest that names the parameter."""
        compare = query.get("compare", "")
        if compare not in {"", "week"}:
            raise MalformedRequest("compare: can only be `week`", param="compare")
        if query.get("from"):
            first = _moment(query["from"], "from")
            end = min(_moment(query["to"], "to") if query.get("to") else now, now)
            last = None
        else:
            if query.get("to"):
                raise MalformedRequest("from: is needed where `to` is given", param="from")
            last = query.get("last") or default
            if last not in LAST:
                raise MalformedRequest(f"last: must be one of {', '.join(LAST)}", param="last")
            first, end = now - LAST[last], now
        if end - first < _SHORTEST:
            raise MalformedRequest("from: must be at least a minute before `to` and now", param="from")
        if now - first > KEPT_FOR:
            raise MalformedRequest(f"from: nothing is kept longer than {KEPT_FOR.days} days", param="from")
        oldest = first - WEEK if compare else first
        period_s = _period_s(end - first, now - oldest)
        period = timedelta(seconds=period_s)
        until = _ceil(end, period)
        return cls(_floor(first, period), until, period_s, last, bool(compare), until > now)

    @property
    def period(self) -> timedelta:
        """`period_s` as a duration."""
        return timedelta(seconds=self.period_s)

    @property
    def span(self) -> timedelta:
        """How long it is."""
        return self.end - self.first

    @property
    def steps(self) -> tuple[datetime, ...]:
        """The start of each period, in order: where CloudWatch dates its datapoints."""
        first, period = self.first, self.period
        return tuple(first + number * period for number in range(int(self.span / period)))

    @property
    def week_before(self) -> Self:
        """The same time a week before."""
        return type(self)(self.first - WEEK, self.end - WEEK, self.period_s)

    @property
    def query(self) -> Mapping[str, str]:
        """The parameters that ask for it again, for links to other pages; one that ends now still does."""
        compare = {"compare": "week"} if self.compare_week else {}
        return {**({"last": self.last} if self.last else self._fixed), **compare}

    @property
    def fixed_query(self) -> Mapping[str, str]:
        """The parameters that ask for this very time, whenever the link is followed."""
        return {**self._fixed, **({"compare": "week"} if self.compare_week else {})}

    @property
    def told(self) -> str:
        """In words, UTC."""
        if self.last is not None:
            return f"the last {self.last}"
        return f"{self.first:%Y-%m-%d %H:%M} to {self.end:%Y-%m-%d %H:%M} UTC"

    @property
    def period_told(self) -> str:
        """How much time one point of a chart covers."""
        for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
            if self.period_s % size == 0:
                return f"{self.period_s // size} {unit}"
        return f"{self.period_s} s"

    @property
    def _fixed(self) -> dict[str, str]:
        return {"from": self.first.strftime(_MINUTE), "to": self.end.strftime(_MINUTE)}


def _period_s(span: timedelta, age: timedelta) -> int:
    finest = next((period for kept_for, period in _KEPT if age <= kept_for), _PERIODS_S[-1])
    fitting = (
        period
        for period in _PERIODS_S
        if period >= finest and span / timedelta(seconds=period) <= MOST_POINTS
    )
    return next(fitting, _PERIODS_S[-1])


def _moment(text: str, parameter: str) -> datetime:
    """The moment that a text names; without an offset it is UTC, to the minute is enough."""
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise MalformedRequest(
            f"{parameter}: must be a time such as 2026-11-24T12:30Z", param=parameter
        ) from None


def _floor(moment: datetime, period: timedelta) -> datetime:
    return moment - (moment - _EPOCH) % period


def _ceil(moment: datetime, period: timedelta) -> datetime:
    return moment + (_EPOCH - moment) % period
