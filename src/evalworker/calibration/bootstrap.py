"""Percentile bootstrap over items. Pure: the generator is given.

Items are drawn with replacement and everything that hangs on an item comes along: all its raters, all its
repeats, its baselines. So a difference of two statistics is taken within each resample (paired), and several
raters of one item do not pass for several items. Percentile and not BCa: at the 200 items that the gate asks
for, the skew of kappa costs it little (docs/calibration.md has the measured coverage).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from evalworker.calibration.statistics import Array

Measure = Callable[[Array], Array]
"""From how often each item was drawn, shape (resamples, items), to one value a resample."""

CONSTANT: Final = "one side is constant"
NO_ITEMS: Final = "no item has both a label and a score"
FEWEST_ITEMS: Final = 10
"""Under this many items an interval of their resamples says nothing."""
_CELLS_AT_ONCE: Final = 250_000
"""Resamples are taken in blocks of this many draws: a few megabytes, whatever the file's length."""
_MOSTLY: Final = 0.95
_PERCENTILES: Final = (2.5, 97.5)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A statistic with its 95 % interval. What is None is undefined, and `reason` says why."""

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str | None = None


def estimate(
    measures: Mapping[str, Measure],
    *,
    items: int,
    resamples: int,
    rng: np.random.Generator,
) -> dict[str, Estimate]:
    """Each measure on all `items` as they are, with the interval of its values on resamples of them."""
    if items == 0:
        return dict.fromkeys(measures, Estimate(None, reason=NO_ITEMS))
    as_they_are = np.ones((1, items))
    points = {name: float(measure(as_they_are)[0]) for name, measure in measures.items()}
    drawn: dict[str, list[Array]] = {name: [] for name in measures}
    if items >= FEWEST_ITEMS:
        for counts in _resampled(items, resamples, rng):
            for name, measure in measures.items():
                drawn[name].append(measure(counts))
    return {
        name: _estimate(points[name], np.concatenate(drawn[name]) if drawn[name] else None)
        for name in measures
    }


def _estimate(point: float, drawn: Array | None) -> Estimate:
    if np.isnan(point):
        return Estimate(None, reason=CONSTANT)
    if drawn is None:
        return Estimate(point, reason=f"no interval: fewer than {FEWEST_ITEMS} items")
    defined = drawn[~np.isnan(drawn)]
    if defined.size < _MOSTLY * drawn.size:
        return Estimate(point, reason="no interval: undefined on more than 5 % of the resamples")
    low, high = np.percentile(defined, _PERCENTILES)
    return Estimate(point, float(low), float(high))


def _resampled(items: int, resamples: int, rng: np.random.Generator) -> Iterator[Array]:
    """How often each item was drawn, in blocks of resamples."""
    block = max(1, _CELLS_AT_ONCE // items)
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        drawn = rng.integers(0, items, size=(rows, items)) + np.arange(rows)[:, None] * items
        counts = np.bincount(drawn.ravel(), minlength=rows * items)
        yield counts.reshape(rows, items).astype(np.float64)
