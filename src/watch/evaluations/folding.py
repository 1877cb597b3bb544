"""Minutes of scores as points in time, sums and distributions. Nothing is lost on the way. Pure.

Means are weighted by the requests that each score stands for. Distributions count answers as they were
scored: the weight of a single score is not in a minute's row. What was not scored has no value.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from llmplatform.eval_scores import Mean
from llmplatform.eval_series import MinuteScores
from llmplatform.evaluations import MAX_SCORE, MIN_SCORE

_ENOUGH: Final = 20
"""Answers a point: their mean is uncertain by 0.2 points of the scale, where single scores scatter by 0.9."""
_FEWEST_POINTS: Final = 12
_PERIODS: Final = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 30, 60, 180, 360, 1_440))
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Bin:
    """A bar of a distribution."""

    label: str
    count: int
    share: float | None
    """Of all answers; None where there are none."""


def whole_of(minutes: Iterable[MinuteScores]) -> Mean:
    """All of them as one."""
    mean = Mean()
    for minute in minutes:
        mean.add_minute(minute)
    return mean


def points_of(
    minutes: Iterable[MinuteScores], steps: Sequence[datetime], period: timedelta
) -> tuple[Mean, ...]:
    """A mean for each step of a time; minutes outside of it are in none."""
    points = tuple(Mean() for _ in steps)
    if not steps:
        return points
    for minute in minutes:
        at = (minute.minute - steps[0]) // period
        if 0 <= at < len(points):
            points[at].add_minute(minute)
    return points


def steps_of(
    first: datetime, end: datetime, finest: timedelta, answers: int
) -> tuple[tuple[datetime, ...], timedelta]:
    """The points of a chart from `first` until before `end`, and how long each is.

    As fine as leaves enough answers for each on average, since the mean of a few says little, but never so
    coarse that no course is to be seen. The first and the last may be made of a part of their time.
    """
    span = end - first
    period = finest
    for coarser in _PERIODS:
        enough = answers >= _ENOUGH * (span / period)
        if enough or (coarser > finest and span / coarser < _FEWEST_POINTS):
            break
        period = max(period, coarser)
    begins = first - (first - _EPOCH) % period
    return tuple(begins + at * period for at in range(-((begins - end) // period))), period


def counts_of(minutes: Iterable[MinuteScores], bins: int) -> tuple[int, ...]:
    """Answers by bin."""
    counts = [0] * bins
    for minute in minutes:
        for at, count in enumerate(minute.counts[:bins]):
            counts[at] += count
    return tuple(counts)


def bins_of(counts: Sequence[int]) -> tuple[Bin, ...]:
    """The bars of a distribution, the lowest first: one a score, or twenty over [0, 1] for BERTScore."""
    answers = sum(counts)
    of_scores = len(counts) == MAX_SCORE - MIN_SCORE + 1
    return tuple(
        Bin(
            str(MIN_SCORE + at) if of_scores else f"{at / len(counts):.2f}–{(at + 1) / len(counts):.2f}",
            count,
            count / answers if answers else None,
        )
        for at, count in enumerate(counts)
    )
