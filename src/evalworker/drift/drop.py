"""The design's own rule: the current mean is more than 15 % below the baseline of seven days. Pure.

A verdict by the size of the drop alone: a hundred times as many scores with the same means give the same
verdict. Whether chance alone could have done it is said beside it and changes nothing. It is a plain
comparison, made each minute anew, without a rate of false alarms; `detector.py` is the alarm that has one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import erfc, sqrt

from evalworker.drift.baseline import Baseline
from llmplatform.eval_series import MinuteScores


@dataclass(frozen=True, slots=True)
class DropSettings:
    """What is compared, and from where on it counts."""

    threshold_percent: float = 15.0
    windows_minutes: tuple[int, ...] = (15, 60, 240, 1440)
    """The first of these that holds enough scores is the current window."""
    min_samples: int = 100
    """With 30, the simulation's rough traffic breaches by chance up to fifty times in a tenant-month."""


@dataclass(frozen=True, slots=True)
class Drop:
    """How far scores lie below their baseline right now; weighted means, in points of the scale."""

    percent: float
    """Of the baseline's mean; negative where scores rose."""
    breached: bool
    p_value: float
    """How often chance alone would show so low a mean if nothing had fallen; normal approximation."""
    current_mean: float
    baseline_mean: float
    n: int
    window_minutes: int


def drop_at(
    moment: datetime, minutes: Sequence[MinuteScores], baseline: Baseline, settings: DropSettings
) -> Drop | None:
    """The drop in the window that ends with (and without) `moment`; None while there are too few scores.

    None too where the baseline is not above 0: a percentage of it would say nothing.
    """
    if baseline.mean <= 0:
        return None
    for window_minutes in settings.windows_minutes:
        start = moment - timedelta(minutes=window_minutes)
        window = [minute for minute in minutes if minute.n and start <= minute.minute < moment]
        n = sum(minute.n for minute in window)
        if n >= settings.min_samples:
            return _drop(window, n, window_minutes, baseline, settings)
    return None


def _drop(
    window: Sequence[MinuteScores], n: int, window_minutes: int, baseline: Baseline, settings: DropSettings
) -> Drop:
    weight = sum(minute.weight for minute in window)
    mean = sum(minute.weighted_sum for minute in window) / weight
    variance = max(sum(minute.weighted_sum_squares for minute in window) / weight - mean**2, 0.0)
    # a score that stands for w requests: effective number of scores after Kish, at minutes' mean weights
    effective = weight**2 / sum(minute.weight**2 / minute.n for minute in window)
    error = sqrt(variance * baseline.dispersion / effective + baseline.standard_error**2)
    fell_by = baseline.mean - mean
    percent = 100 * fell_by / baseline.mean
    return Drop(
        percent=percent,
        breached=percent > settings.threshold_percent,
        p_value=_upper_tail(fell_by / error) if error else float(fell_by <= 0),
        current_mean=mean,
        baseline_mean=baseline.mean,
        n=n,
        window_minutes=window_minutes,
    )


def _upper_tail(deviations: float) -> float:
    return erfc(deviations / sqrt(2)) / 2
