"""A day of requests, by chance: a curve over the hours, tenants of very different size, each with its bursts.

Counts a second and tenant, not single requests, so that a day of two billion costs no more than one of two
million. What is drawn is seeded: a run can be repeated.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

SECONDS: Final = 86_400
MINUTE: Final = 60
BURST_S: Final = 300
BURSTINESS: Final = 4.0
"""Shape of the gamma that a tenant's five minutes are multiplied by: 4 is a deviation of half the mean."""
SWING: Final = 0.83
"""How far the curve rises above its mean and falls below it: the busiest hour has 1.83 times the mean."""

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Day:
    """Requests by second and tenant; the first tenant is the largest."""

    counts: Counts

    @property
    def by_second(self) -> Counts:
        """Of all tenants."""
        summed: Counts = self.counts.sum(axis=1)
        return summed

    @property
    def by_minute(self) -> Counts:
        """Of all tenants."""
        return minutes(self.by_second)

    @property
    def peak_to_mean(self) -> float:
        """The busiest minute over the mean one."""
        return float(self.by_minute.max() / self.by_minute.mean())


def minutes(by_second: Counts) -> Counts:
    """Sums of sixty."""
    summed: Counts = by_second.reshape(-1, MINUTE).sum(axis=1)
    return summed


def zipf(tenants: int) -> Floats:
    """Shares of tenants of which the n-th has a n-th of what the first has."""
    weights = 1 / np.arange(1, tenants + 1, dtype=np.float64)
    shares: Floats = weights / weights.sum()
    return shares


def drawn(requests: float, shares: Floats, chance: np.random.Generator) -> Day:
    """A day with so many requests in the mean."""
    at = np.arange(SECONDS) / SECONDS
    curve = 1 + SWING * np.sin((at - 1 / 3) * 2 * np.pi)  # lowest at 2, highest at 14 o'clock
    bursts = chance.gamma(BURSTINESS, 1 / BURSTINESS, size=(SECONDS // BURST_S, len(shares)))
    rates = curve[:, None] * np.repeat(bursts, BURST_S, axis=0) * shares[None, :]
    return Day(chance.poisson(rates * requests / SECONDS))
