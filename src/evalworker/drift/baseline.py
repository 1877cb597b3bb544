"""What a series of scores normally looks like: mean, error of that mean, swing of the day, burstiness. Pure.

A baseline is made of the hours of the seven days that ended a day before the hour at hand, so that scores
are not held against themselves: in a small series a fall takes a day to prove, and would have become part of
what is normal by then. Hours that touch a time in which scores had fallen are left out. Minutes become hours
first: 168 rows instead of 10,080, and hours can be kept.

Means are weighted by the requests that a score stands for, so that a brake on sampling does not move them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np

from evalworker.drift.evidence import Floats
from llmplatform.eval_series import MinuteScores

HOUR = timedelta(hours=1)
_CHANCE_SDS = 2.0
"""A ratio of variances is believed only for what exceeds 1 by this many of its standard deviations."""


@dataclass(frozen=True, slots=True)
class BaselineSettings:
    """What a baseline is made of, and how far below it scores may lie before anybody calls it a fall."""

    days: int = 7
    gaps_hours: tuple[int, ...] = (24, 1)
    """Full hours before the one at hand that are no part of it: the first that leaves enough scores.

    With (1,) the simulation never finds a fall of 0.6 points in 100 scores a day; with a day it takes 58 h.
    """
    min_samples: int = 500
    min_hours: int = 24
    """Different hours with scores; a single busy one knows nothing of the night."""
    min_effect: float = 0.025
    """Part of the scale that a mean may wander unremarked: 0.1 of a scale from 1 to 5."""
    swing_sds: float = 2.5
    """Standard deviations between hours that are tolerated where that is more.

    The trough of a sine is 1.41 below its middle, and more below a mean that busy hours dominate; with
    less than 2.5 the simulation's rough traffic rings more than once in a tenant-month.
    """
    error_sds: float = 3.0
    """Standard errors of the baseline's mean that are given up on top."""


@dataclass(frozen=True, slots=True)
class HourScores:
    """An hour of one series. `total`s are sums over scores by the values of their bins, `weighted_sum` exact.

    A BERTScore can lie 0.025 off the middle of its bin, always on the same side: what is compared with
    counts has to be made of counts, and what is compared with exact means of exact sums.
    """

    hour: datetime
    n: int
    total: float
    total_squares: float
    weight: float
    weighted_total: float
    weighted_sum: float
    minutes: int
    """With at least one score."""
    between_minutes: float
    """Sum over minutes of n times the squared distance of the minute's mean from the hour's."""


_COLUMNS = tuple(field.name for field in fields(HourScores) if field.name != "hour")


@dataclass(frozen=True, slots=True)
class Baseline:
    """What the scores of one series were, in points of its scale."""

    n: int
    mean: float
    binned_mean: float
    """Of the counts: what the detector's bets are against."""
    standard_error: float
    swing: float
    """Standard deviation between hours beyond what chance explains."""
    dispersion: float
    """How many scores of one minute say as much as one independent score; at least 1."""

    def reference(self, bins: Sequence[float], settings: BaselineSettings) -> float:
        """The mean below which scores count as fallen, in points."""
        tolerated = max(settings.min_effect * (bins[-1] - bins[0]), settings.swing_sds * self.swing)
        return self.binned_mean - tolerated - settings.error_sds * self.standard_error


@dataclass(frozen=True, slots=True)
class WarmingUp:
    """Too little is known for a baseline: nothing can be said, which is not the same as steady."""

    missing_samples: int
    missing_hours: int


ENOUGH = WarmingUp(0, 0)


@dataclass(frozen=True, slots=True)
class Span:
    """A time [start, end)."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class HourTable:
    """Hours of one series as columns, rising in time."""

    start_s: Floats
    """Seconds since 1970."""
    columns: Floats
    """(8, hours): the numbers of HourScores in their order."""


class Estimates(NamedTuple):
    """Arrays over series: see Baseline."""

    mean: Floats
    binned_mean: Floats
    standard_error: Floats
    swing: Floats
    dispersion: Floats


def hour_of(moment: datetime) -> datetime:
    """The beginning of a moment's hour, UTC."""
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def hours_of(minutes: Sequence[MinuteScores], bins: Sequence[float]) -> list[HourScores]:
    """The hours that minutes make, rising; minutes rise, and those without scores are passed over."""
    kept = [minute for minute in minutes if minute.n]
    if not kept:
        return []
    values = np.asarray(bins)
    counts = np.array([minute.counts for minute in kept], dtype=np.float64)
    n = counts.sum(axis=1)
    total = counts @ values
    weight = np.array([minute.weight for minute in kept])
    of_hour = np.array([int(minute.minute.timestamp()) // 3600 for minute in kept])
    first = np.flatnonzero(np.diff(of_hour, prepend=of_hour[0] - 1))

    def summed(by_minute: Floats) -> Floats:
        return np.add.reduceat(by_minute, first)

    hour_n, hour_total = summed(n), summed(total)
    columns = (
        hour_n.astype(int),
        hour_total,
        summed(counts @ values**2),
        summed(weight),
        summed(weight * total / n),
        summed(np.array([minute.weighted_sum for minute in kept])),
        summed(np.ones_like(n)).astype(int),
        np.maximum(summed(total**2 / n) - hour_total**2 / hour_n, 0.0),
    )
    rows = zip(of_hour[first].tolist(), *(column.tolist() for column in columns), strict=True)
    return [HourScores(datetime.fromtimestamp(hour * 3600, UTC), *row) for hour, *row in rows]


def tabulated(hours: Iterable[HourScores]) -> HourTable:
    """Hours, rising, as a table to take baselines from."""
    rows = [(hour.hour.timestamp(), *(getattr(hour, name) for name in _COLUMNS)) for hour in hours]
    table = np.array(rows, dtype=np.float64).reshape(-1, len(_COLUMNS) + 1).T
    return HourTable(table[0], table[1:])


def baseline_at(
    moment: datetime,
    hours: HourTable,
    settings: BaselineSettings,
    *,
    excluded: Sequence[Span] = (),
    since: datetime | None = None,
) -> Baseline | WarmingUp:
    """The baseline for all minutes of a moment's hour, from whatever of `hours` belongs to it.

    `excluded` are times of fallen scores; nothing before `since` counts, where a new level was accepted.
    """
    kept = hours.start_s >= (-np.inf if since is None else since.timestamp())
    for span in excluded:
        kept &= (hours.start_s + 3600 <= span.start.timestamp()) | (hours.start_s >= span.end.timestamp())
    missing = WarmingUp(settings.min_samples, settings.min_hours)
    for gap_hours in settings.gaps_hours:
        end_s = (hour_of(moment) - gap_hours * HOUR).timestamp()
        start_s = end_s - settings.days * 86_400
        columns = hours.columns[:, kept & (hours.start_s >= start_s) & (hours.start_s < end_s)]
        samples, with_scores = int(columns[0].sum()), columns.shape[1]
        missing = WarmingUp(max(settings.min_samples - samples, 0), max(settings.min_hours - with_scores, 0))
        if missing == ENOUGH:
            return _baseline(samples, estimate(columns))
    return missing


def _baseline(samples: int, found: Estimates) -> Baseline:
    return Baseline(
        n=samples,
        mean=float(found.mean),
        binned_mean=float(found.binned_mean),
        standard_error=float(found.standard_error),
        swing=float(found.swing),
        dispersion=float(found.dispersion),
    )


def estimate(columns: Floats) -> Estimates:
    """Baselines of series; `columns` are those of an HourTable, (8, ..., hours), with a score in each series.

    Analysis of variance in two steps: of minutes within hours (bursts) and of hours (the day's swing).
    The standard error is the larger of that for independent scores and that for independent hours.
    """
    n, total, total_squares, weight, weighted_total, weighted_sum, minutes, between = columns
    hour_n = np.maximum(n, 1.0)
    samples, hours, all_weight = n.sum(axis=-1), (n > 0).sum(axis=-1), weight.sum(axis=-1)
    mean = weighted_total.sum(axis=-1) / all_weight
    within_hours = np.maximum((total_squares - total**2 / hour_n).sum(axis=-1), 0.0)
    variance = _ratio(within_hours, samples - hours)

    free_minutes = minutes.sum(axis=-1) - hours
    of_minutes = _ratio(between.sum(axis=-1), free_minutes)
    chance = 1.0 + _CHANCE_SDS * np.sqrt(_ratio(2.0, free_minutes))
    dispersion = np.maximum(_ratio(of_minutes, variance) / chance, 1.0)

    off = np.where(n > 0, weighted_total / np.maximum(weight, 1e-12) - mean[..., None], 0.0)
    between_hours = _ratio((n * off**2).sum(axis=-1), hours - 1)
    by_chance = dispersion * variance * (1.0 + _CHANCE_SDS * np.sqrt(_ratio(2.0, hours - 1)))
    per_hour = _ratio(samples - _ratio((n**2).sum(axis=-1), samples), hours - 1)
    swing = np.sqrt(_ratio(np.maximum(between_hours - by_chance, 0.0), per_hour))

    of_scores = variance * dispersion * (weight**2 / hour_n).sum(axis=-1)
    of_hours = ((weight * off) ** 2).sum(axis=-1)
    standard_error = np.sqrt(np.maximum(of_scores, of_hours)) / all_weight
    return Estimates(weighted_sum.sum(axis=-1) / all_weight, mean, standard_error, swing, dispersion)


def _ratio(above: float | Floats, below: float | Floats) -> Floats:
    """A quotient, 0 where there is nothing to divide by."""
    divisor = np.asarray(below, dtype=np.float64)
    return np.asarray(np.where(divisor > 0, above / np.where(divisor > 0, divisor, 1.0), 0.0))
