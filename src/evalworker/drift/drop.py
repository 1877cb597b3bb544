"""The design's own rule: the current mean is more than 15 % below the baseline of seven days. Pure.

A verdict by the size of the drop alone: a hundred times as many scores with the same means give the same
verdict. Whether chance alone could have done it is said beside it and changes nothing. It is a plain
comparison of the last hundred scores or more, made each minute anew, without a promise of how rarely it
errs; `detector.py` is the alarm that has one.
"""

from bisect import bisect_left
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
    min_samples: int = 100
    """With 30, the simulation's rough traffic breaches by chance up to fifty times in a tenant-month."""
    min_minutes: int = 15
    max_minutes: int = 1440


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


def window_before(
    moment: datetime, minutes: Sequence[MinuteScores], settings: DropSettings
) -> Sequence[MinuteScores] | None:
    """The last minutes before `moment` that hold enough scores; None where a day holds too few.

    `minutes` rise. Those before the window are of no use to any later moment either.
    """
    n, at = 0, bisect_left(minutes, moment, key=lambda minute: minute.minute)
    end, least = at, moment - timedelta(minutes=settings.min_minutes)
    most = moment - timedelta(minutes=settings.max_minutes)
    while at > 0 and minutes[at - 1].minute >= (most if n < settings.min_samples else least):
        at -= 1
        n += minutes[at].n
    return minutes[at:end] if n >= settings.min_samples else None


def drop_at(
    moment: datetime, minutes: Sequence[MinuteScores], baseline: Baseline, settings: DropSettings
) -> Drop | None:
    """The drop in the window that ends with (and without) `moment`; None while there are too few scores.

    None too where the baseline is not above 0: a percentage of it would say nothing.
    """
    window = [minute for minute in window_before(moment, minutes, settings) or () if minute.n]
    if baseline.mean <= 0 or not window:
        return None
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
        n=sum(minute.n for minute in window),
        window_minutes=(moment - window[0].minute) // timedelta(minutes=1),
    )


def _upper_tail(deviations: float) -> float:
    return erfc(deviations / sqrt(2)) / 2
