"""What is asked of CloudWatch's metrics for a page, what came of it, and how long that may be shown again.

Calls and their pages are in `llmplatform.metric_queries`; who asks is `watch.reading.metrics`. Pure.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from watch.tables.readings import Series

_SETTLED: Final = timedelta(hours=3)
"""Datapoints that come up to three hours late are there within two more (CloudWatch, PutMetricData)."""
_FRESH: Final = timedelta(seconds=20)
_SETTLED_FRESH: Final = timedelta(minutes=10)
STILL_SHOWN: Final = timedelta(hours=1)
"""How old an answer may be that is shown because there is no newer one."""


@dataclass(frozen=True, slots=True)
class Span:
    """From `first` until before `end`, in periods; CloudWatch's begin with `first` (boto/boto3#3457)."""

    first: datetime
    end: datetime
    period_s: int

    @classmethod
    def whole(cls, first: datetime, end: datetime) -> "Span":
        """One period for all of it: percentiles of a time are not those of its minutes."""
        return cls(first, end, round((end - first).total_seconds()))

    @property
    def length(self) -> timedelta:
        """How long it is."""
        return self.end - self.first


@dataclass(frozen=True, slots=True)
class Wanted:
    """A series over a span: what is asked for once, however many panels and people want it."""

    series: Series
    span: Span


@dataclass(frozen=True, slots=True)
class Found:
    """What a series says over a span."""

    values: Mapping[datetime, float]
    """By the start of their period, UTC; a period without datapoint is absent."""
    read_at: datetime | None
    """When CloudWatch said so; None when it said nothing."""
    incomplete: str = ""
    """Why these are not all its values, in CloudWatch's words; never taken for time without any."""
    failed: str = ""
    """Why CloudWatch could not be asked just now; the values, if any, are then those of `read_at`."""

    @property
    def unknown(self) -> bool:
        """Whether nothing was read: no values says nothing then."""
        return self.read_at is None

    @property
    def only(self) -> float | None:
        """The value of a `Span.whole`; None where there is none, or where it may not be the whole one's."""
        if self.incomplete or len(self.values) != 1:
            return None
        return next(iter(self.values.values()))

    @property
    def latest(self) -> tuple[datetime, float] | None:
        """The last datapoint."""
        return max(self.values.items(), default=None)


NOTHING: Final = Found({}, None, failed="not asked for")


class Figures:
    """What was read for a page, by series and span."""

    def __init__(self, found: Mapping[Wanted, Found]) -> None:
        self._found = found

    def of(self, series: Series, span: Span) -> Found:
        """What a series says; one that was not asked for is unknown."""
        return self._found.get(Wanted(series, span), NOTHING)

    @property
    def failed(self) -> str:
        """Why some could not be asked for just now, "" where all could."""
        return next((found.failed for found in self._found.values() if found.failed), "")

    @property
    def incomplete(self) -> str:
        """Why some are incomplete, "" where none is."""
        return next((found.incomplete for found in self._found.values() if found.incomplete), "")

    @property
    def nothing_read(self) -> bool:
        """Whether none of them could be read, now or lately."""
        return bool(self._found) and all(found.unknown for found in self._found.values())

    @property
    def stale_since(self) -> datetime | None:
        """The age of the oldest figure that is shown for want of a newer one; None where all are fresh."""
        return min(
            (found.read_at for found in self._found.values() if found.failed and found.read_at), default=None
        )


def wanted(series: Iterable[Series], *spans: Span) -> Iterator[Wanted]:
    """These series over each of these spans."""
    for one in series:
        for span in spans:
            yield Wanted(one, span)


def by_span(wants: Iterable[Wanted]) -> dict[Span, list[Series]]:
    """What can be asked for in one call, each series once."""
    sorted_out: dict[Span, dict[Series, None]] = {}
    for want in wants:
        sorted_out.setdefault(want.span, {})[want.series] = None
    return {span: list(series) for span, series in sorted_out.items()}


def fresh_for(span: Span, read_at: datetime) -> timedelta:
    """How long an answer stands: what is long over hardly changes any more."""
    return _SETTLED_FRESH if read_at - span.end >= _SETTLED else _FRESH


def may_stand_in(old: Span, new: Span) -> bool:
    """Whether the answer for one span can be shown for another while there is none: times that move on."""
    alike = old.period_s == new.period_s and old.length == new.length
    return alike and timedelta(0) <= new.end - old.end <= STILL_SHOWN
