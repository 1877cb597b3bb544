"""Simulated scores, many series at once: volume by hour, and how good answers are by minute.

Scores are whole numbers from 1 to 5. A fall is a larger share of bad answers, which is how models fail;
it also widens the distribution and so takes longer to see than a shift of all scores would.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

SCORES = np.arange(1.0, 6.0)
GOOD = np.array([0.02, 0.03, 0.10, 0.35, 0.50])
"""Mean 4.28, standard deviation 0.91."""
BAD = np.array([0.35, 0.35, 0.20, 0.10, 0.00])
"""Mean 2.05."""
GOOD_MEAN = float(GOOD @ SCORES)
_PER_BAD = float((GOOD - BAD) @ SCORES)
_DAY_MINUTES = 1440


@dataclass(frozen=True)
class Conditions:
    """What normal traffic is like. Points are of the scale from 1 to 5."""

    name: str
    swing: float = 0.0
    """Amplitude of the mean over the day: it is this much higher at noon and lower at midnight."""
    burst: float = 0.0
    """Standard deviation of the mean from minute to minute; volume then comes in bursts too."""
    wander: float = 0.0
    """Standard deviation of a mean that drifts about within hours."""
    mix: float = 0.0
    """By how much the mean is lower on half of the half-days, chosen by chance: another mix of questions."""


CALM = Conditions("independent scores, day and night volume")
SWINGING = Conditions("and the mean swings by 0.1 over the day", swing=0.1)
ROUGH = Conditions("and bursts, wander and changes of mix", swing=0.1, burst=0.15, wander=0.05, mix=0.05)


class World:
    """Hours of scores of `series` like series that have `per_day` scores a day."""

    def __init__(self, conditions: Conditions, per_day: float, series: int, seed: int) -> None:
        self.conditions = conditions
        self.series = series
        self._per_minute = per_day / _DAY_MINUTES
        self._rng = np.random.default_rng(seed)
        self._wander: Floats = np.zeros(series)
        self._mix: Floats = np.zeros(series)

    def hour(self, index: int, fall: Floats | float = 0.0) -> npt.NDArray[np.int64]:
        """Counts of an hour, (60, series, scores); `fall` in points, broadcast to (60, series)."""
        of_day = (index * 60 + np.arange(60)) % _DAY_MINUTES / _DAY_MINUTES
        noonness = -np.cos(2 * np.pi * of_day)[:, None]
        rng, like = self._rng, self.conditions
        if index % 12 == 0:
            self._mix = like.mix * rng.integers(0, 2, self.series).astype(np.float64)
        moved = like.wander * 0.75**0.5 * rng.standard_normal(self.series)
        self._wander = 0.5 * self._wander + moved
        mean = like.swing * noonness + self._wander - self._mix - fall
        rate = self._per_minute * (1 + 0.6 * noonness)
        if like.burst:
            mean = mean + like.burst * rng.standard_normal((60, self.series))
            rate = rate * rng.gamma(2.0, 0.5, (60, self.series))
        bad = np.clip(-mean / _PER_BAD, -0.05, 1.0)[..., None]
        chances = np.maximum((1 - bad) * GOOD + bad * BAD, 0.0)
        n = rng.poisson(np.broadcast_to(rate, (60, self.series)))
        chances = np.broadcast_to(chances / chances.sum(axis=-1, keepdims=True), (60, self.series, 5))
        return np.asarray(rng.multinomial(n, chances))
