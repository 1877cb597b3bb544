"""What watches the simulated scores: the shipped detector and rule, and what one might take instead.

Each gets an hour of counts, (60, series, scores), and says in which minutes it raises an alarm, (60,
series). All learn from the same first days and start over after an alarm. Those that river or a textbook
would feed one score at a time get a minute at a time, with the same arithmetic.
"""
# ruff: noqa: D102 - what the methods do is Watcher's to say

from collections import deque
from typing import Protocol

import numpy as np
import numpy.typing as npt
from world import SCORES

from evalworker.drift.baseline import BaselineSettings, Estimates, estimate
from evalworker.drift.evidence import STAKES, Floats, advance, log_growth, log_payoffs, log_total
from evalworker.drift.settings import DriftSettings

Alarms = npt.NDArray[np.bool_]

SHIPPED = DriftSettings()


class Watcher(Protocol):
    """One way of watching a number of series."""

    def learn(self, counts: npt.NDArray[np.int64]) -> None:
        """Take in an hour."""
        ...

    def watch(self, counts: npt.NDArray[np.int64]) -> Alarms:
        """Take in an hour and say where it rings."""
        ...


class Hours:
    """Hours, and the baseline they make by the worker's own arithmetic."""

    def __init__(self, settings: BaselineSettings) -> None:
        self._gap = settings.gaps_hours[0]
        self._columns: deque[Floats] = deque(maxlen=settings.days * 24 + self._gap)

    def add(self, counts: npt.NDArray[np.int64]) -> None:
        """Take in an hour."""
        n = counts.sum(axis=-1)
        totals = counts @ SCORES
        hour_n, hour_total = n.sum(axis=0), totals.sum(axis=0)
        of_minutes = (totals**2 / np.maximum(n, 1)).sum(axis=0)
        self._columns.append(
            np.array(
                [
                    hour_n,
                    hour_total,
                    (counts @ SCORES**2).sum(axis=0),
                    hour_n,
                    hour_total,
                    hour_total,
                    (n > 0).sum(axis=0),
                    np.maximum(of_minutes - hour_total**2 / np.maximum(hour_n, 1), 0.0),
                ]
            )
        )

    def baseline(self) -> Estimates:
        """Of each series, for the hour that comes next."""
        return estimate(np.stack(list(self._columns)[: -self._gap], axis=-1))


class Detector:
    """The sequential detector as shipped."""

    name = "this detector"

    def __init__(self, series: int) -> None:
        self.settings = SHIPPED.detector
        self.hours = Hours(self.settings.baseline)
        self._evidence = np.full((series, STAKES.size), -np.inf)

    def learn(self, counts: npt.NDArray[np.int64]) -> None:
        self.hours.add(counts)

    def watch(self, counts: npt.NDArray[np.int64]) -> Alarms:
        of, now = self.settings.baseline, self.hours.baseline()
        tolerated = np.maximum(of.min_effect * (SCORES[-1] - SCORES[0]), of.swing_sds * now.swing)
        reference = now.binned_mean - tolerated - of.error_sds * now.standard_error
        payoffs = log_payoffs((reference - 1) / 4, (SCORES - 1) / 4)
        growth = log_growth(counts.astype(float), payoffs, now.dispersion)
        rings = np.zeros(counts.shape[:2], dtype=bool)
        for minute in range(len(counts)):
            self._evidence = advance(self._evidence, 0.0, growth[minute])
            rings[minute] = log_total(self._evidence) >= self.settings.log_threshold
            self._evidence[rings[minute]] = -np.inf
        self.hours.add(counts)
        return rings


class PageHinkley:
    """river's PageHinkley at its defaults, told to look for falls."""

    name = "Page-Hinkley, river's defaults"
    delta, threshold, alpha = 0.005, 50.0, 1 - 0.0001

    def __init__(self, series: int) -> None:
        self._n, self._total, self._sum = np.zeros((3, series))

    def learn(self, counts: npt.NDArray[np.int64]) -> None:
        self._n += counts.sum(axis=(0, 2))
        self._total += (counts @ SCORES).sum(axis=0)

    def watch(self, counts: npt.NDArray[np.int64]) -> Alarms:
        rings = np.zeros(counts.shape[:2], dtype=bool)
        n, totals = counts.sum(axis=-1), counts @ SCORES
        for minute in range(len(counts)):
            self._n += n[minute]
            self._total += totals[minute]
            mean = self._total / np.maximum(self._n, 1)
            grown = self.alpha ** n[minute] * self._sum + n[minute] * (mean - self.delta) - totals[minute]
            self._sum = np.maximum(grown, 0.0)
            rings[minute] = self._sum >= self.threshold
            for kept in (self._n, self._total, self._sum):
                kept[rings[minute]] = 0.0
        return rings


class Cusum:
    """Page's CUSUM from the textbook: slack of half a standard deviation, threshold of five."""

    name = "CUSUM, textbook k = 0.5, h = 5"

    def __init__(self, series: int) -> None:
        self._n, self._total, self._squares, self._sum = np.zeros((4, series))

    def learn(self, counts: npt.NDArray[np.int64]) -> None:
        self._n += counts.sum(axis=(0, 2))
        self._total += (counts @ SCORES).sum(axis=0)
        self._squares += (counts @ SCORES**2).sum(axis=0)

    def watch(self, counts: npt.NDArray[np.int64]) -> Alarms:
        mean = self._total / self._n
        deviation = np.sqrt(self._squares / self._n - mean**2)
        rings = np.zeros(counts.shape[:2], dtype=bool)
        n, totals = counts.sum(axis=-1), counts @ SCORES
        for minute in range(len(counts)):
            grown = self._sum + n[minute] * (mean - 0.5 * deviation) - totals[minute]
            self._sum = np.maximum(grown, 0.0)
            rings[minute] = self._sum > 5 * deviation
            self._sum[rings[minute]] = 0.0
        return rings


class Windows:
    """Means of windows of 15 minutes, an alarm at the end of the first one that is too low."""

    name: str

    def __init__(self, series: int) -> None:
        self._learnt: list[Floats] = []
        self._low = np.zeros(series, dtype=bool)
        self._limit: Floats | None = None

    def limit(self, means: Floats) -> Floats:
        """The mean below which a window is too low, by series."""
        raise NotImplementedError

    def learn(self, counts: npt.NDArray[np.int64]) -> None:
        self._learnt.append(self._means(counts))

    def watch(self, counts: npt.NDArray[np.int64]) -> Alarms:
        if self._limit is None:
            self._limit = self.limit(np.concatenate(self._learnt))
        rings = np.zeros(counts.shape[:2], dtype=bool)
        for window, mean in enumerate(self._means(counts)):
            low = np.where(np.isnan(mean), self._low, mean < self._limit)
            rings[15 * window + 14] = low & ~self._low
            self._low = low
        return rings

    @staticmethod
    def _means(counts: npt.NDArray[np.int64]) -> Floats:
        quarters = counts.reshape(4, 15, *counts.shape[1:]).sum(axis=1)
        n = quarters.sum(axis=-1)
        return np.asarray(np.where(n > 0, quarters @ SCORES / np.maximum(n, 1), np.nan))


class TwoSigma(Windows):
    """A band of two standard deviations of the windows of a week, as CloudWatch draws it by default."""

    name = "2 sigma band of 15-minute means"

    def limit(self, means: Floats) -> Floats:
        return np.asarray(np.nanmean(means, axis=0) - 2 * np.nanstd(means, axis=0))


class Percent15(Windows):
    """15 % below the mean of a week, of whatever the window holds."""

    name = "15 % rule on 15-minute means"

    def limit(self, means: Floats) -> Floats:
        return np.asarray(0.85 * np.nanmean(means, axis=0))


class ShippedDrop:
    """The 15 % rule as shipped: the last hundred scores and at least 15 minutes, each minute anew.

    Whether chance could have done it is left out: a hundred scores 15 % low are beyond it here.
    """

    name = "15 % rule as shipped"

    def __init__(self, series: int) -> None:
        self.settings = SHIPPED.drop
        self._n, self._total = np.zeros((2, series))
        self._recent = np.zeros((2, self.settings.max_minutes, series))
        self._low = np.zeros(series, dtype=bool)

    def learn(self, counts: npt.NDArray[np.int64]) -> None:
        self._n += counts.sum(axis=(0, 2))
        self._total += (counts @ SCORES).sum(axis=0)

    def watch(self, counts: npt.NDArray[np.int64]) -> Alarms:
        limit = (1 - self.settings.threshold_percent / 100) * self._total / self._n
        both = np.concatenate([self._recent, np.array([counts.sum(axis=-1), counts @ SCORES])], axis=1)
        self._recent = both[:, -self._recent.shape[1] :]
        summed = np.concatenate([np.zeros_like(both[:, :1]), both.cumsum(axis=1)], axis=1)
        rings = np.zeros(counts.shape[:2], dtype=bool)
        ends = self._recent.shape[1] + 1 + np.arange(len(counts))
        for at in range(counts.shape[1]):
            n, total = summed[:, :, at]
            filled = np.searchsorted(n, n[ends] - self.settings.min_samples, side="right") - 1
            start = np.minimum(filled, ends - self.settings.min_minutes)
            enough = start >= ends - self.settings.max_minutes
            start = np.maximum(start, 0)
            below = total[ends] - total[start] < limit[at] * (n[ends] - n[start])
            rings[:, at] = enough & below
        low = np.concatenate([self._low[None], rings])
        self._low = low[-1]
        return np.asarray(low[1:] & ~low[:-1])
