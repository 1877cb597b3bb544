"""Which minutes of which series are read for a page, and from when on where all would be too many. Pure.

A week of one series is 10,080 minutes, each a row where there were scores. What may be read is bounded by the
minutes that there can be, not by those that turn out to be there: a page is asked for before it is read.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from llmplatform.eval_series import Series, minute_of
from llmplatform.eval_status import SeriesStatus

_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Reach:
    """Minutes of a series, from `first` until before `end`."""

    series: Series
    first: datetime
    end: datetime

    @property
    def minutes(self) -> int:
        """How many there can be."""
        return max(0, (self.end - self.first) // _MINUTE)


def reaches_of(statuses: Iterable[SeriesStatus], first: datetime, end: datetime) -> tuple[Reach, ...]:
    """What there can be of these series in a time, as the drift job tells when each began and last scored."""
    reaches = []
    for status in statuses:
        # Of a series that scores come from now the job knows all but the last minutes.
        last = end if status.current else min(end, minute_of(status.latest) + _MINUTE)
        reach = Reach(status.series, max(first, minute_of(status.began)), last)
        if reach.minutes:
            reaches.append(reach)
    return tuple(reaches)


def total(reaches: Iterable[Reach]) -> int:
    """How many minutes these are together."""
    return sum(reach.minutes for reach in reaches)


def held_to(
    reaches: Sequence[Reach], steps: Sequence[datetime], most: int
) -> tuple[tuple[Reach, ...], datetime | None]:
    """The reaches, or the newest part of them that is at most `most` minutes, and where that begins.

    It begins with a step, so that no point of a chart is made of a part of its time. None where all are read.
    """
    if total(reaches) <= most:
        return tuple(reaches), None
    for step in steps:
        cut = tuple(replace(reach, first=max(reach.first, step)) for reach in reaches)
        if total(cut) <= most:
            return tuple(reach for reach in cut if reach.minutes), step
    return (), steps[-1] if steps else None
