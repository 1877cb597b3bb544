"""Minutes of judge scores by chance, from a seed: normal traffic, and traffic whose quality changes."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

from llmplatform.eval_series import JUDGE_BINS, MinuteScores

BEGIN = datetime(2026, 11, 2, tzinfo=UTC)
DAY = 1440
SCORES = np.asarray(JUDGE_BINS)
GOOD = np.array([0.02, 0.03, 0.10, 0.35, 0.50])
BAD = np.array([0.35, 0.35, 0.20, 0.10, 0.00])


def at_minute(index: int) -> datetime:
    """The minute `index` of a series."""
    return BEGIN + timedelta(minutes=index)


def chances(fall: float | npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Chances of the scores 1 to 5 when their mean is `fall` points lower; a rise is a negative fall."""
    bad = (np.asarray(fall) / float((GOOD - BAD) @ SCORES))[..., None]
    mixed = np.maximum((1 - bad) * GOOD + bad * BAD, 0.0)
    return np.asarray(mixed / mixed.sum(axis=-1, keepdims=True))


def scores_of(index: int, counts: npt.NDArray[np.int64], rate: float = 0.05) -> MinuteScores:
    """A minute with these counts, sampled at `rate`."""
    return MinuteScores(
        minute=at_minute(index),
        n=int(counts.sum()),
        weight=float(counts.sum()) / rate,
        weighted_sum=float(counts @ SCORES) / rate,
        weighted_sum_squares=float(counts @ SCORES**2) / rate,
        counts=tuple(counts.tolist()),
    )


def series(
    minutes: int, per_day: float, *, fall: Callable[[int], float] = lambda _: 0.0, seed: int = 1
) -> list[MinuteScores]:
    """Minutes of a series of `per_day` scores a day that are `fall(index)` points worse than normal."""
    rng = np.random.default_rng(seed)
    falls = np.array([fall(index) for index in range(minutes)])
    counts = rng.multinomial(rng.poisson(per_day / DAY, minutes), chances(falls))
    return [scores_of(index, of_minute) for index, of_minute in enumerate(counts)]
